"""A grid over delays with a break-even: what its file declares, and what the sweep writes."""

from __future__ import annotations

import json

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.sweep import curves, load_grid
from vla_eval.sweep import grid as grids

VIRTUAL = 'latency = "virtual"\n[run.realtime]\nmode = "blocking"\nmachine = "a800-pi05"\n'
GRID = """
protocol = "protocol.toml"
ticks = [8, 0]
[break_even]
candidate = "one"
candidate_ticks = 0
reference = "ten"
[arms]
one = "fakes.policies:InWorker"
ten = "fakes.policies:InWorker?version=2"
"""


@pytest.fixture
def grid(tmp_path, protocol_file, monkeypatch):
    for place in (grids, curves):
        monkeypatch.setattr(place, "control_hz", lambda _: 10)

    def write(text: str = GRID, **protocol):
        protocol_file(run=VIRTUAL, **protocol)
        path = tmp_path / "grid.toml"
        path.write_text(text)
        return path

    return write


def test_every_cell_declares_what_is_compared(grid):
    """With the delays in order, so that the hash of each run covers the order of the tests."""
    declared = [cell.protocol.analysis.break_even for cell in load_grid(grid())]
    assert declared[0] == declared[1]
    assert declared[0].reference_ticks == (0, 8)
    assert (declared[0].candidate, declared[0].candidate_ticks) == ("one", 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('candidate = "one"', 'candidate = "on"'), "the arm 'on', which the grid does not have"),
        (("candidate_ticks = 0", "candidate_ticks = 1"), "a delay of 1 control steps"),
        (("ticks = [8, 0]\n", ""), "Field|reference_ticks|at least 2|2 items"),
    ],
)
def test_a_break_even_of_other_arms_or_delays_is_refused(grid, change, words):
    """Before anything runs."""
    with pytest.raises(UsageError, match=words):
        load_grid(grid(GRID.replace(*change)))


def test_delays_of_the_protocol_must_be_on_the_grid(grid, protocol_file, tmp_path):
    """A protocol may declare the break-even too."""
    text = GRID.replace(
        '[break_even]\ncandidate = "one"\ncandidate_ticks = 0\nreference = "ten"', ""
    )
    path = grid(text)
    table = (
        '{ candidate = "one", candidate_ticks = 0, reference = "ten", reference_ticks = [0, 4] }'
    )
    protocol = tmp_path / "protocol.toml"
    protocol.write_text(protocol.read_text() + f"break_even = {table}\n")
    with pytest.raises(UsageError, match="a delay of 4 control steps"):
        load_grid(path)


@pytest.mark.long
def test_a_sweep_says_where_the_reference_falls_behind(grid, tmp_path, capsys):
    """A robot that waits 0.8 s for each chunk runs out of time; sentences, table and file agree."""
    path, out = grid(max_steps=30), tmp_path / "out"
    assert main(["sweep", str(path), "--out", str(out), "--workers", "1", "--trust"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "delay of the reference" in shown
    (found,) = json.loads((out / "break-even.json").read_text()).values()
    assert [each["ticks"] for each in found["delays"]] == [0, 8]
    assert found["delays"][0]["difference"] == 0
    assert found["delays"][1]["difference"] == 1
    assert found["superior_from"] == 8
    assert "it is better than ten at each declared delay from 8 control steps on" in shown
