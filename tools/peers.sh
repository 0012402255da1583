#!/usr/bin/env bash
# Builds the environments in which the tests meet the packages of other projects:  tools/peers.sh DIR
#   DIR/openpi   openpi-client, which needs NumPy 1
#   DIR/harness  AllenAI's vla-eval, whose package has the same name as ours; it sees the simulators of
#                this checkout's .venv, but not this project
# Then:  VLA_EVAL_PEERS=DIR .venv/bin/pytest -m slow tests/policies/remote
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:?usage: tools/peers.sh DIR}
mkdir -p "$folder"

if command -v uv > /dev/null; then uv=uv; else uv=$here/.venv/.boot/bin/uv; fi
python=$("$here/.venv/bin/python" -c 'import sys; print(sys.base_prefix + "/bin/python3.12")')

"$uv" venv --quiet --clear --python "$python" "$folder/openpi"
"$uv" pip install --quiet --python "$folder/openpi/bin/python" openpi-client==0.1.2 \
  typing-extensions  # which it imports and does not ask for

"$uv" venv --quiet --clear --python "$python" "$folder/harness"
"$uv" pip install --quiet --python "$folder/harness/bin/python" \
  --constraints "$here/requirements.lock" vla-eval==0.8.0
# A line in a .pth file adds a folder, and does not read the .pth files in it: ours stays out.
site=lib/python3.12/site-packages
echo "$here/.venv/$site" > "$folder/harness/$site/simulators.pth"

"$folder/openpi/bin/python" -I -c 'import openpi_client.websocket_client_policy'
"$folder/harness/bin/python" -I -c 'import libero, vla_eval.model_servers.predict as m; print(m.__file__)'
