"""The core stays light: it loads no simulator and no deep-learning package, and a command what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("lerobot", "libero", "mujoco", "robosuite", "torch")


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """Stand-ins for the heavy packages, so that the proof holds where they are not installed.

    Without them a guarded import (`try: import torch`) would pass unseen in a light environment.
    """
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text("")
    return tmp_path


def loaded_by(statement: str, stubs: Path) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(stubs), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.long
@pytest.mark.parametrize("module", ["vla_eval", "vla_eval.cli", "vlaeval_launcher"])
def test_import_loads_nothing_heavy(module: str, stubs: Path):
    """Importing the core, its command line or the launcher loads none of the heavy packages."""
    assert loaded_by(f"import {module}", stubs) == []


@pytest.mark.parametrize("heavy", HEAVY)
def test_the_proof_can_fail(heavy: str, stubs: Path):
    """A module that imports a heavy package, even guarded, is found out."""
    (stubs / "innocent.py").write_text(f"try:\n    import {heavy}\nexcept ImportError:\n    pass\n")
    assert loaded_by("import vla_eval\nimport innocent", stubs) == [heavy]


SLOW = ("gymnasium", "mujoco", "numpy", "pydantic", "scipy", "torch", "typeguard")


def loaded_to_answer(*arguments: str) -> set[str]:
    """Which packages that take long to load a command has loaded when it has answered."""
    program = (
        "import sys\n"
        "from vla_eval.cli import main\n"
        f"code = main({list(arguments)!r})\n"
        f"print(*sorted(set(sys.modules) & set({SLOW!r})), file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.long
def test_a_command_loads_what_it_needs_to_answer():
    """The list of verbs needs none of the slow packages; the catalogue only what registers its tasks."""
    assert loaded_to_answer("--help") == set()
    assert loaded_to_answer("list", "tasks") <= {"gymnasium", "numpy"}
    planned = loaded_to_answer("plan", "so101-quickstart")
    assert "pydantic" in planned  # so the proof can fail
    assert planned.isdisjoint({"mujoco", "scipy", "torch"})
