#!/usr/bin/env bash
# Sets .venv up:  tools/setup.sh dev | first-look | quickstart | install | extras | lock
#   dev         the core and the tools that test it (no simulator, no torch)
#   first-look  the package and the SO-101 simulator (no torch, no LIBERO)
#   quickstart  that, and torch for the trained policies
#   install     everything: SO-101, LIBERO, the development tools
#   extras      that, and what is used around a run: trackers, Rerun, the libraries of the examples
#   lock        compiles requirements.lock anew, with the newest versions that fit; installs nothing
# Writes nothing outside the checkout, except what apt installs and the cache of a uv that was
# already on PATH. A second call with nothing changed only compares a hash.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

level=${1:-}
case $level in
  dev | first-look | quickstart | install | extras | lock) ;;
  *) echo "usage: tools/setup.sh dev|first-look|quickstart|install|extras|lock" >&2; exit 4 ;;
esac

say() { echo "setup: $*" >&2; }
stop() { echo "setup: STOPPED. $*" >&2; exit 3; }

# The folder counts too: a virtual environment that was moved or copied does not work.
key=$({ pwd; cat pyproject.toml requirements.lock tools/setup.sh; } | sha256sum)
fresh() {
  [[ $level != lock ]] && [[ -x .venv/bin/python && -r .venv/.stamp-$1 && $(< ".venv/.stamp-$1") == "$key" ]]
}
# What is set up for a level serves those before it, too.
done_before() {
  { [[ $level != extras ]] && fresh install; } || fresh "$level" || { [[ $level == first-look ]] && fresh quickstart; }
}
if done_before; then exit 0; fi

# Two calls at once (make -j, two terminals) take turns; the second finds the work done.
exec 9< . && flock 9
if done_before; then exit 0; fi

# apt_install PACKAGE...: as root where apt is at hand, otherwise says the command and stops.
apt_install() {
  if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
    stop "Missing from this system: $*. Run this, then call make again:
  sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
  fi
  say "installing $* with apt"
  local install=(apt-get install -qq -y --no-install-recommends "$@")
  export DEBIAN_FRONTEND=noninteractive
  # Lists are fetched only when they turn out to be absent or stale.
  "${install[@]}" > /dev/null 2>&1 || { apt-get update -qq && "${install[@]}" > /dev/null; } ||
    stop "apt could not install $*; its own words are above."
}

is_312() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' > /dev/null 2>&1; }

# Each candidate is run, not only looked up: a pyenv shim exists for versions that it refuses to start.
find_312() {
  local candidate
  for candidate in python3.12 python3 python "${PYENV_ROOT:-${HOME:-/}/.pyenv}"/versions/3.12*/bin/python; do
    if is_312 "$candidate"; then "$candidate" -c 'import sys; print(sys.executable)'; return; fi
  done
}

# Installs the locked uv into .venv/.boot with the pip of any Python 3.
bootstrap_uv() {
  local python boot=.venv/.boot
  for python in "$@"; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' > /dev/null 2>&1 || continue
    # Debian and Ubuntu split ensurepip off into a package of its own.
    "$python" -c 'import ensurepip, venv' > /dev/null 2>&1 ||
      apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    say "no uv on PATH: installing the locked one into $boot"
    mkdir -p .venv
    "$python" -m venv --clear "$boot"
    # pip takes hashes from a requirements file only, not from constraints.
    sed -n '/^uv==/,/[^\\]$/p' requirements.lock > "$boot/uv.lock"
    "$boot/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
      --no-deps --require-hashes -r "$boot/uv.lock" ||
      stop "pip could not install uv; its own words are above."
    return
  done
  stop "No Python found: install python3 (3.12 if there is one), for example with
  sudo apt-get install -y python3 python3-venv"
}

# Like pip, trust what the system trusts: behind a company's proxy uv's own list does not do. (A bare
# machine has no list; older uv knows the second name.)
if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then
  export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} UV_NATIVE_TLS=${UV_NATIVE_TLS:-true}
fi

python=$(find_312)
# Before 0.5, uv did not check hashes that come from constraints the way that is relied on below.
if command -v uv > /dev/null && [[ $(uv --version 2> /dev/null) =~ ^uv\ (0\.[5-9]|0\.[1-9][0-9]|[1-9]) ]]; then
  uv=uv
else
  uv=.venv/.boot/bin/uv
  # shellcheck disable=SC2086  # no 3.12, no word
  "$uv" --version > /dev/null 2>&1 || bootstrap_uv $python python3 /usr/bin/python3
  # pip's index may be configured to a mirror that our own uv has never heard of.
  index=$(.venv/.boot/bin/python -m pip config get global.index-url 2> /dev/null || true)
  if [[ -n $index ]]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}; fi
  export UV_CACHE_DIR=${UV_CACHE_DIR:-$PWD/.venv/.cache}
fi

# A Python that uv fetches stays inside the checkout.
if [[ -z $python ]]; then export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$PWD/.venv/.python}; fi

if [[ $level == lock ]]; then
  # No URL, no host, no path of this machine gets into the lock.
  exec "$uv" pip compile pyproject.toml tools/lock-tools.in --all-extras \
    --constraints tools/lock-constraints.txt --python-version 3.12 --universal --upgrade \
    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --quiet --output-file requirements.lock
fi

if ! is_312 .venv/bin/python || [[ $(cat .venv/.home 2> /dev/null) != "$PWD" ]]; then
  # Commands in bin/ name the folder they were installed in: of a moved environment nothing is kept.
  rm -rf .venv/bin .venv/lib .venv/lib64 .venv/.stamp-*
  say "creating .venv with ${python:-a Python 3.12 that uv fetches}"
  "$uv" venv --quiet --no-project --allow-existing --python "${python:-3.12}" .venv ||
    stop "There is no Python 3.12 here and uv could not fetch one: install Python 3.12 (a package
  python3.12, 'pyenv install 3.12', or 'uv python install 3.12'), then call make again."
  pwd > .venv/.home
fi

# The lock is given as constraints: uv takes versions and hashes from it, also for the back ends
# that build source packages, so one lock serves every choice of extras. (A file of requirements
# would install all of it.)
packages() {
  say "installing the locked packages for [$1]"
  "$uv" pip install --quiet --python .venv/bin/python --constraints requirements.lock \
    --build-constraints requirements.lock --editable ".[$1]"
}

if [[ $level == dev ]]; then
  packages dev
  echo "$key" > .venv/.stamp-dev
  exit 0
fi

# Small things first: a missing GL library shows before gigabytes of torch are downloaded.
gl_packages="libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0"
packages so101
# shellcheck disable=SC2086
.venv/bin/python tools/check_gl.py 2> /dev/null || { apt_install $gl_packages; .venv/bin/python tools/check_gl.py; } ||
  stop "MuJoCo cannot render with EGL or OSMesa, although $gl_packages are installed."
echo "$key" > .venv/.stamp-first-look

if [[ $level == quickstart ]]; then
  packages so101,flow
  echo "$key" > .venv/.stamp-quickstart
fi

if [[ $level == install || $level == extras ]]; then
  packages so101,so101-meshes,libero,lerobot,remote,cluster,dev
  # OpenCV, which robosuite imports, links against libraries that no wheel carries.
  .venv/bin/python -c 'import cv2' 2> /dev/null || { apt_install libgl1 libglib2.0-0; .venv/bin/python -c 'import cv2'; }
  echo "$key" > .venv/.stamp-install
fi

if [[ $level == extras ]]; then
  packages publish,rerun,tensorboard,trackio,wandb,mlflow
  "$uv" pip install --quiet --python .venv/bin/python --constraints requirements.lock \
    lightning gymnasium-robotics
  echo "$key" > .venv/.stamp-extras
fi
