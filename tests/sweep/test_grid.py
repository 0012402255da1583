"""`vlaeval sweep`: a grid of ordinary runs, continued by the same command, in one table."""

from __future__ import annotations

import csv
import json
import re
from types import SimpleNamespace

import pytest

from vla_eval.cli import main
from vla_eval.errors import ProtocolError, UsageError
from vla_eval.summary.model import TaskRate
from vla_eval.sweep import load_grid, table_lines

GRID = """
protocol = "protocol.toml"
set = ["run.n_action_steps={horizon}"]
[grid]
horizon = [1, 4]
[arms]
walk = "fakes.policies:InWorker"
stay = "hold?chunk_size={horizon}"
"""


@pytest.fixture
def grid(tmp_path, protocol_file):
    protocol_file(count=3)

    def write(text: str = GRID):
        path = tmp_path / "grid.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.long
def test_cells_are_runs_and_the_table_has_their_counts(grid, tmp_path, capsys):
    """Every cell is a run folder; the table's counts are theirs; the same command changes nothing."""
    command = ["sweep", str(grid()), "--out", str(tmp_path / "out"), "--workers", "1", "--trust"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["horizon"], row["arm"]) for row in rows] == [
        (1, "walk"),
        (1, "stay"),
        (4, "walk"),
        (4, "stay"),
    ]
    for row in rows:
        results = json.loads(
            (tmp_path / "out" / f"horizon={row['horizon']}" / "results.json").read_text()
        )
        arm = results["arms"][row["arm"]]
        assert (row["successes"], row["n"]) == (arm["successes"], 3)
        field = f"{row['successes']}/3 [{row['wilson95_low']:.0%}, {row['wilson95_high']:.0%}]"
        assert field in first
    assert {row["successes"] for row in rows if row["arm"] == "stay"} == {0}
    assert {row["successes"] for row in rows if row["arm"] == "walk"} == {3}
    written = (tmp_path / "out" / "sweep.md").read_text().splitlines()
    assert written[0] == "| cell | task | walk | stay |"
    assert [line.split(" | ")[0] for line in written[2:]] == ["| horizon=1", "| horizon=4"]
    fields = [line.strip("| ").split(" | ") for line in (written[0], *written[2:])]
    assert [re.split(" {2,}", line) for line in first.splitlines()] == fields
    with (tmp_path / "out" / "sweep.csv").open() as file:
        assert [row["n"] for row in csv.DictReader(file)] == ["3"] * 4


def test_a_wide_table_has_a_row_for_each_arm(grid):
    """Four arms do not fit a terminal of 80 columns beside each other; nothing is cut off."""
    (cell, _), names = load_grid(grid()), ("flow-matching", "snapflow", "meanflow", "drift")
    rate = TaskRate(7, 9, (0.45, 0.94))
    arms = {name: SimpleNamespace(tasks={"PickPlace": rate}) for name in names}
    lines = table_lines([(cell, SimpleNamespace(arms=arms))])
    assert [line.split()[2] for line in lines] == ["arm", *names]
    assert all(line.endswith("7/9 [45%, 94%]") for line in lines[1:])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (("{horizon}", "{h}"), UsageError, "names an axis that \\[grid\\] does not have"),
        (("[1, 4]", "[]"), UsageError, "'grid.horizon': needs values"),
        (("[1, 4]", "[1, 1]"), UsageError, "each of them once"),
        (("[1, 4]", "['a/b']"), UsageError, "names of folders"),
        (("[1, 4]", "[0]"), ProtocolError, "n_action_steps"),
        (("[arms]", "[armz]"), UsageError, "'arms' is missing|unknown key 'armz'"),
        (("protocol.toml", "nothing"), ProtocolError, "nothing"),
    ],
)
def test_bad_grids_are_refused_before_anything_runs(change, kind, message, grid):
    """Every cell is checked first."""
    with pytest.raises(kind, match=message):
        load_grid(grid(GRID.replace(*change)))
