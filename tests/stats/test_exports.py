"""The package of statistics names what other packages use, and no more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_eval import stats

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("vla_eval", "envs", "policies", "plugins", "tools", "benchmarks", "examples")


def used() -> Iterator[str]:
    """Names that code outside the package, and outside the tests, imports from it."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if ROOT / "vla_eval" / "stats" in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "vla_eval.stats":
                    yield from (each.name for each in node.names)


@pytest.mark.long
def test_every_export_has_a_user():
    """A statistic that only tests call is none of the package's: it belongs to `references`."""
    assert set(stats.__all__) <= set(used())
