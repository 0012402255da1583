#!/usr/bin/env bash
# Builds the documentation's site into .site/html:  tools/docs.sh
# The builder has an environment of its own, .venv-docs, for it is no part of the package. The package and the
# SO-101 simulator are in it too, at the locked versions: the notebooks are executed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=$(cat tools/docs-requirements.txt pyproject.toml requirements.lock | cksum)
if [[ $(cat .venv-docs/.stamp 2> /dev/null || true) != "$wanted" ]]; then
  "$(command -v python3.12 || echo python3)" -m venv --clear .venv-docs
  .venv-docs/bin/pip install --quiet "$(grep -o '^uv==[^ ]*' requirements.lock)"
  # uv does not read pip's configuration; see tools/setup.sh.
  index=$(.venv-docs/bin/pip config get global.index-url 2> /dev/null || true)
  if [[ -n $index ]]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}; fi
  if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
    export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
  fi
  .venv-docs/bin/uv pip install --quiet --python .venv-docs/bin/python --constraints requirements.lock \
    --build-constraints requirements.lock --requirements tools/docs-requirements.txt --editable '.[so101]'
  echo "$wanted" > .venv-docs/.stamp
fi
.venv-docs/bin/python tools/notebooks.py .site/notebooks
.venv-docs/bin/python tools/docs_site.py .site/pages .site/notebooks
.venv-docs/bin/zensical build --strict
echo "open .site/html/index.html"
