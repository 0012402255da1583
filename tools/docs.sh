#!/usr/bin/env bash
# Builds the documentation's site into .site/html:  tools/docs.sh
# The builder has an environment of its own, .venv-docs, for it is no part of the package. The package and the
# SO-101 simulator are in it too, at the locked versions: the notebooks are executed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=$(cat tools/docs-requirements.txt pyproject.toml requirements.lock | cksum)
if [[ $(cat .venv-docs/.stamp 2> /dev/null || true) != "$wanted" ]]; then
  python3 -m venv --clear .venv-docs
  # pip takes no hashes from constraints.
  sed -E '/^ +--hash/d; s/ \\$//' requirements.lock > .venv-docs/constraints.txt
  .venv-docs/bin/pip install --quiet --requirement tools/docs-requirements.txt
  .venv-docs/bin/pip install --quiet --constraint .venv-docs/constraints.txt --editable '.[so101]'
  echo "$wanted" > .venv-docs/.stamp
fi
.venv-docs/bin/python tools/notebooks.py .site/notebooks
.venv-docs/bin/python tools/docs_site.py .site/pages .site/notebooks
.venv-docs/bin/zensical build --strict
echo "open .site/html/index.html"
