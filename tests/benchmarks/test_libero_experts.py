"""The committed results of the LIBERO experts: tables, numbers and documentation agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from vla_eval.stats.proportions import wilson_interval

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")


@pytest.fixture(scope="module")
def result() -> dict:
    return json.loads((RESULTS / "libero_experts.json").read_text())


def rows(text: str) -> list[str]:
    """Return a page's rows of counts."""
    return [line for line in text.splitlines() if line.startswith("| libero_") and " % |" in line]


def test_the_tables_are_those_of_the_numbers(result):
    """The Markdown file is what the benchmark writes from the JSON file."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from libero_experts import markdown

    assert (RESULTS / "libero_experts.md").read_text() == markdown(result)


def test_the_documentation_shows_the_same_suites(result):
    """Every row of the page is a row of the results, and every suite has one."""
    shown = rows((ROOT / "docs" / "libero-experts.md").read_text())
    assert set(shown) <= set(rows((RESULTS / "libero_experts.md").read_text()))
    assert [row.split("|")[1].strip() for row in shown] == [s["name"] for s in result["suites"]]


def test_all_forty_tasks_add_up(result):
    """Counts of tasks give those of their suites, and the intervals are Wilson's."""
    assert tuple(suite["name"] for suite in result["suites"]) == SUITES
    for suite in result["suites"]:
        assert len(suite["tasks"]) == 10
        for count in ("episodes", "successes"):
            assert suite[count] == sum(task[count] for task in suite["tasks"])
        for row in (suite, *suite["tasks"]):
            assert row["successes"] + sum(row["failures"].values()) == row["episodes"]
            assert row["wilson95"] == pytest.approx(
                wilson_interval(row["successes"], row["episodes"]), abs=1e-4
            )
