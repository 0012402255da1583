#!/usr/bin/env bash
# Plants faults in the code and counts those that the tests notice:  tools/mutants.sh [ROOM...] [OPTION...]
# The planter has an environment of its own, .venv-mutants, for it is no part of the package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=$(cksum tools/mutants/requirements.txt)
if [[ $(cat .venv-mutants/.stamp 2> /dev/null || true) != "$wanted" ]]; then
  # The Python of the tests: what compiles for the planter must compile for them.
  .venv/bin/python -m venv --clear .venv-mutants
  .venv-mutants/bin/pip install --quiet --requirement tools/mutants/requirements.txt
  echo "$wanted" > .venv-mutants/.stamp
fi
exec .venv/bin/python tools/mutants "$@"
