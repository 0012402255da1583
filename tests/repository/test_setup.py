"""The lock is complete and names no place; the set-up does no needless work and says what it wants."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, Version]:
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, flags=re.MULTILINE)
    return {name: Version(version) for name, version in pins}


def requirements_of(path: str) -> list[Requirement]:
    lines = (ROOT / path).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def declared() -> list[Requirement]:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*PROJECT["dependencies"], *extras]]


def test_lock_holds_every_declared_dependency():
    """What pyproject.toml and the set-up ask for is locked, at a version that satisfies them."""
    pins = locked()
    for requirement in [*declared(), *requirements_of("tools/lock-tools.in")]:
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not locked: run `make lock`"
        assert pins[name] in requirement.specifier, f"{name}: run `make lock`"


def test_lock_keeps_lerobots_caps():
    """No locked version is one that LeRobot could not live with later."""
    pins = locked()
    for cap in requirements_of("tools/lock-constraints.txt"):
        name = canonicalize_name(cap.name)
        assert name not in pins or pins[name] in cap.specifier


def test_every_pin_has_hashes():
    """Each locked version carries at least one sha256, and nothing is pinned without `==`."""
    blocks = re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE)
    pins = [block for block in blocks if block.strip() and not block.startswith("#")]
    assert len(pins) == len(locked())
    for block in pins:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.split()[0]


def test_lock_names_no_place():
    """The lock can be used with any index: it has no URL, no option and no path in it."""
    assert "://" not in LOCK
    assert not re.search(r"^--|^-[a-z] | @ |/", LOCK, flags=re.MULTILINE)


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="only the environment of tools/setup.sh is locked"
)
def test_environment_is_the_lock():
    """The set-up installed nothing that is not locked, and nothing at another version."""
    pins = locked()
    installed = {
        canonicalize_name(distribution.name): Version(distribution.version)
        for distribution in importlib.metadata.distributions(path=[str(p) for p in site_packages()])
    }
    del installed["vla-eval-suite"]
    assert {n: v for n, v in installed.items() if pins.get(n) != v} == {}


def site_packages() -> list[Path]:
    return list((ROOT / ".venv").glob("lib/python3*/site-packages"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what tools/setup.sh reads, without an environment."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def commands(folder: Path, **scripts: str) -> Path:
    """A PATH of nothing but coreutils-like commands and the given shell scripts."""
    folder.mkdir()
    for name in ("bash", "cat", "dirname", "flock", "id", "mkdir", "rm", "sed", "sha256sum"):
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name}"))
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


def set_up(checkout: Path, path: Path, level: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "tools/setup.sh", level],
        env={"PATH": str(path), "HOME": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )


# Stands for uv: notes how it was called, and makes an environment whose Python succeeds at all.
FAKE_UV = """
case "$1" in
  --version) echo "uv 0.13.8" ;;
  venv) echo venv >> uv.log; mkdir -p .venv/bin
        printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/python; /bin/chmod +x .venv/bin/python ;;
  pip) echo "$*" >> uv.log ;;
esac
"""


def test_second_call_does_nothing(checkout: Path):
    """The second call does not call uv again; a changed lock does, without a new environment."""
    path = commands(checkout / "bin", uv=FAKE_UV)
    log = checkout / "uv.log"

    first = set_up(checkout, path, "quickstart")
    assert first.returncode == 0, first.stderr
    calls = log.read_text().splitlines()
    assert calls[0] == "venv"
    assert [c.split()[-1] for c in calls[1:]] == [".[so101]", ".[so101,flow]"]
    assert "--constraints requirements.lock --build-constraints requirements.lock" in calls[1]

    second = set_up(checkout, path, "quickstart")
    assert (second.returncode, second.stderr) == (0, "")
    assert log.read_text().splitlines() == calls

    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert set_up(checkout, path, "quickstart").returncode == 0
    assert log.read_text().splitlines() == [*calls, *calls[1:]]


def test_larger_levels_cover_smaller_ones(checkout: Path):
    """After `install`, `quickstart` has nothing to do; after `quickstart`, `install` has; `extras` adds to it."""
    path = commands(checkout / "bin", uv=FAKE_UV)
    log = checkout / "uv.log"
    assert set_up(checkout, path, "first-look").returncode == 0
    assert log.read_text().splitlines()[-1].endswith(".[so101]")
    assert set_up(checkout, path, "quickstart").returncode == 0
    assert log.read_text().splitlines()[-1].endswith(".[so101,flow]")
    before = log.read_text()
    assert set_up(checkout, path, "first-look").returncode == 0
    assert log.read_text() == before
    assert set_up(checkout, path, "install").returncode == 0
    assert (
        log.read_text()
        .splitlines()[-1]
        .endswith(".[so101,so101-meshes,libero,lerobot,remote,cluster,dev]")
    )
    before = log.read_text()
    assert set_up(checkout, path, "quickstart").returncode == 0
    assert set_up(checkout, path, "dev").returncode == 0
    assert log.read_text() == before
    assert set_up(checkout, path, "extras").returncode == 0
    assert ".[publish,rerun,tensorboard,trackio,wandb,mlflow]" in log.read_text()
    before = log.read_text()
    assert set_up(checkout, path, "extras").returncode == 0
    assert set_up(checkout, path, "install").returncode == 0
    assert log.read_text() == before


def test_the_core_is_set_up_without_a_simulator(checkout: Path):
    """`dev` installs the development tools alone, where MuJoCo cannot render too."""
    path = commands(
        checkout / "bin", uv=FAKE_UV.replace("exit 0", 'case "$1" in tools/*) exit 1;; esac')
    )
    log = checkout / "uv.log"
    assert set_up(checkout, path, "dev").returncode == 0
    assert [call.split()[-1] for call in log.read_text().splitlines()] == ["venv", ".[dev]"]
    before = log.read_text()
    assert set_up(checkout, path, "dev").returncode == 0
    assert log.read_text() == before


def test_stops_with_the_exact_command_where_gl_is_missing(checkout: Path):
    """Without a GL library and without root, the set-up stops and says what to type."""
    # Any run of the environment's Python fails, so MuJoCo cannot render.
    no_gl = FAKE_UV.replace("exit 0", 'case "$1" in tools/*) exit 1;; esac')
    path = commands(checkout / "bin", uv=no_gl)
    (path / "id").unlink()
    (path / "id").write_text("#!/bin/sh\necho 1000\n")
    (path / "id").chmod(0o755)
    done = set_up(checkout, path, "quickstart")
    assert done.returncode == 3
    assert "sudo apt-get install -y --no-install-recommends libegl1 libegl-mesa0" in done.stderr
    assert not (checkout / ".venv/.stamp-first-look").exists()


def test_refuses_an_unknown_level(checkout: Path):
    """A misspelt level is a usage error, before anything is done."""
    done = set_up(checkout, commands(checkout / "bin"), "everything")
    assert done.returncode == 4
    assert "usage" in done.stderr


@pytest.mark.parametrize(
    ("line", "offends"),
    [
        ("https://" + "pypi" + ".org/simple", True),
        ("see /" + "home/alice/data", True),
        ("export HOME=/" + "root/x", True),
        ("docs at https://example.com/" + "home/page", False),
        ("a relative envs/" + "work/table.py", False),
    ],
)
def test_forbidden_names_are_found(line: str, offends: bool, tmp_path: Path):
    """The check behind `make lint` finds hosts and machine paths, and leaves URLs alone."""
    file = tmp_path / "page.md"
    file.write_text(f"first\n{line}\n")
    found = runpy.run_path(str(ROOT / "tools/check_names.py"))["offences"](file)
    assert [text.split(": names")[0] for text in found] == ([f"{file}:2"] if offends else [])
