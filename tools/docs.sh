#!/usr/bin/env bash
# Builds the documentation's site into .site/html:  tools/docs.sh
# The builder has an environment of its own, .venv-docs, for it is no part of the package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=$(cksum tools/docs-requirements.txt)
if [[ $(cat .venv-docs/.stamp 2> /dev/null || true) != "$wanted" ]]; then
  python3 -m venv --clear .venv-docs
  .venv-docs/bin/pip install --quiet --requirement tools/docs-requirements.txt
  echo "$wanted" > .venv-docs/.stamp
fi
.venv-docs/bin/python tools/docs_site.py .site/pages
.venv-docs/bin/zensical build --strict
echo "open .site/html/index.html"
