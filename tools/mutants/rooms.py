"""The rooms of the table: modules, their tests, and what has changed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["CHANGED", "Room", "changed", "files_of", "home_of", "rooms"]

CHANGED = "changed"
"""Name of the room of changed lines."""
_PACKAGES = ("vla_eval", "envs", "policies")
_EVERYWHERE = ("tests/repository/test_models.py",)
"""Tests that concern every module: they read the models of all."""
_HUNK = re.compile(r"^@@ -\S+ \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


@dataclass(frozen=True)
class Room:
    """Modules that are judged together."""

    name: str
    modules: tuple[str, ...]
    """Paths; ``path:3-9,20-20`` means some lines only."""
    tests: tuple[str, ...]
    """Files and folders of tests, beside those that stand where a module does."""
    take: int
    """Number of mutants."""
    target: float
    """Share of mutants that tests should notice, in percent."""
    decisive: bool = False
    """Whether verdicts depend on it, so that it is run when no room is named."""
    long: bool = False
    """Whether its mutants meet the tests that are marked ``long``, too."""
    budget_s: float = 4.0
    """Processor time for the tests of one mutant."""


def rooms(root: Path) -> dict[str, Room]:
    """Return the rooms of ``rooms.toml`` by name; a module belongs to the first room that names it."""
    table = tomllib.loads((Path(__file__).parent / "rooms.toml").read_text(encoding="utf-8"))
    taken: set[str] = set()
    found = {}
    for name, entry in table.items():
        paths = sorted(
            str(path.relative_to(root))
            for pattern in entry["modules"]
            for path in root.glob(pattern)
        )
        modules = tuple(path for path in paths if path not in taken)
        taken |= set(modules)
        found[name] = Room(name, **{"tests": (), **entry, "modules": modules})
    return found


def changed(root: Path, base: str, take: int) -> Room:
    """Return the room of the lines that are new since a branch began, in the packages that have rooms."""
    command = ["git", "diff", "-U0", "--no-color", "--relative", "--merge-base", base, "--"]
    diff = subprocess.run(
        [*command, *_PACKAGES], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    modules = []
    for part in diff.split("\ndiff --git "):
        name = re.search(r"^\+\+\+ b/(\S+\.py)$", part, re.MULTILINE)
        spans = [(int(at), int(long or 1)) for at, long in _HUNK.findall(part)]
        lines = ",".join(f"{at}-{at + long - 1}" for at, long in spans if long)
        if name and lines:
            modules.append(f"{name[1]}:{lines}")
    return Room(CHANGED, tuple(modules), (), take, 0)


def files_of(room: Room, module: str, root: Path) -> list[str]:
    """Return the files of tests that may concern a module, those that stand where it does first.

    ``vla_eval/gate/compare.py`` is tested in ``tests/gate/``, ``envs/vla_eval_envs/so101/units.py`` in
    ``tests/envs/so101/``, and ``vla_eval/plan.py``, of no room of its own, in ``tests/test_plan*.py``.
    """
    path = PurePosixPath(module)
    home = root / home_of(module)
    alone = len(path.parts) == 2
    own = sorted(home.glob(f"test_{path.stem}*.py" if alone else "test_*.py"))
    beside = [file for name in (*room.tests, *_EVERYWHERE) for file in _files(root / name)]
    return list(dict.fromkeys(str(file.relative_to(root)) for file in (*own, *beside)))


def home_of(module: str) -> PurePosixPath:
    """Return the folder of tests that stands where a module does."""
    parts = PurePosixPath(module).parent.parts
    return PurePosixPath(
        "tests", *(parts[1:] if parts[0] == "vla_eval" else (parts[0], *parts[2:]))
    )


def _files(path: Path) -> Iterable[Path]:
    return sorted(path.glob("**/test_*.py")) if path.is_dir() else [path]
