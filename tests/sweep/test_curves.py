"""Grids with an axis of delays: the latencies of their cells, restricted times, and the drawing."""

from __future__ import annotations

import csv
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from fakes.pictures import read_picture
from vla_eval.analysis import BreakEven
from vla_eval.cli import main
from vla_eval.drawing.svg import standalone
from vla_eval.errors import UsageError
from vla_eval.judging.break_even import AtDelay, Bracket
from vla_eval.realtime.latency import microseconds_of, ticks_of
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.sweep import curves as module
from vla_eval.sweep import grid as grids
from vla_eval.sweep import load_grid
from vla_eval.sweep.curves import Curve, Point, draw_curves, restricted_time

GRID = """
protocol = "protocol.toml"
ticks = [0, 3]
[arms]
walk = "fakes.policies:InWorker"
"a.b" = "hold"
"""
VIRTUAL = 'latency = "virtual"\n[run.realtime]\nmode = "async"\nmachine = "a800-pi05"\n'


@pytest.fixture(autouse=True)
def _rate(monkeypatch):
    for place in (grids, module):
        monkeypatch.setattr(place, "control_hz", lambda _: 10)


@pytest.fixture
def grid(tmp_path, protocol_file):
    protocol_file(count=1, run=VIRTUAL)

    def write(text: str = GRID):
        path = tmp_path / "grid.toml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("rate_hz", [10, 12.5, 20, 30, 50])
def test_a_delay_is_the_longest_latency_of_its_ticks(rate_hz):
    """One microsecond more would be another tick."""
    for ticks in range(40):
        latency = microseconds_of(ticks, rate_hz)
        assert ticks_of(latency, rate_hz) == ticks
        assert ticks_of(latency + 1, rate_hz) == ticks + 1


def test_a_cell_gives_every_arm_its_delay(grid):
    """In place of the machine's latency; with the machine kept for the arms' own delays."""
    cells = load_grid(grid())
    assert [cell.name for cell in cells] == ["ticks=0", "ticks=3"]
    for cell, total_us in zip(cells, (0, 300_000), strict=True):
        arms = cell.protocol.run.realtime.arms
        assert {name: arm.total_us for name, arm in arms.items()} == {
            "walk": total_us,
            "a.b": total_us,
        }
        assert cell.machines.machine.name == "a800-pi05"
        assert not cell.machines.arms


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[0, 3]", "[0, 0]"), "each of them once"),
        (("[0, 3]", "[-1]"), "greater than or equal to 0"),
        (("[0, 3]", '["a"]'), "valid integer"),
        (("[arms]", "[grid]\nticks = [1]\n[arms]"), "is there twice"),
    ],
)
def test_a_wrong_axis_is_refused(grid, change, words):
    """Before anything runs."""
    with pytest.raises(UsageError, match=words):
        load_grid(grid(GRID.replace(*change)))


def test_a_paused_protocol_has_no_axis_of_delays(grid, protocol_file):
    """Its world stands still."""
    path = grid()
    protocol_file(count=1)
    with pytest.raises(UsageError, match="needs a protocol in virtual time"):
        load_grid(path)


def test_the_control_rate_must_be_known(grid, monkeypatch):
    """A delay in control steps is a time only at a rate."""
    monkeypatch.setattr(grids, "control_hz", lambda _: None)
    with pytest.raises(UsageError, match="one control rate"):
        load_grid(grid())


def episode(state: int, steps: int, *, success: bool, seed: int = 0) -> EpisodeRecord:
    return EpisodeRecord(
        arm="walk",
        suite="fake",
        task="Point",
        init_state=state,
        env_seed=0,
        policy_seed=seed,
        env_id="",
        outcome="success" if success else "failure",
        steps=steps,
        protocol_sha256="",
        policy_sha256="",
        timing=Timing(started_at="2026-11-29T00:00:00+00:00"),
    )


def test_a_failure_counts_the_whole_limit(grid):
    """40 steps at 10 Hz; repeats of a state count once."""
    protocol = load_grid(grid())[0].protocol
    episodes = [
        episode(0, 10, success=True),
        episode(1, 7, success=False),
        *(episode(2, steps, success=True, seed=steps) for steps in (20, 40)),
    ]
    seconds, (low, high) = restricted_time(episodes, protocol)
    assert seconds == pytest.approx((1 + 4 + 3) / 3)
    assert 0 <= low < seconds < high <= 4


def test_the_drawing_marks_an_arms_own_delay(grid):
    """A ring in both panels if that delay is on the grid, and none if it is not."""
    cell = load_grid(grid())[0]
    points = tuple(Point(d, 0.5, (0.3, 0.7), 2.0, (1.0, 3.0)) for d in (0, 3))
    on, off = (Curve("<b>", own, points) for own in (3, 2))
    drawn, plain = (standalone(draw_curves([curve], cell)) for curve in (on, off))
    ET.fromstring(drawn)
    assert "<b>" not in drawn
    assert "a800-pi05" in drawn
    assert drawn.count("<use") == plain.count("<use") + 2
    without = replace(cell, machines=cell.machines.model_copy(update={"machine": None}))
    assert "ring" not in draw_curves([on], without)


def bracket_of(kept_up: int | None, better: int | None) -> Bracket:
    declared = BreakEven(
        candidate="one", candidate_ticks=0, reference="ten", reference_ticks=(0, 3, 8)
    )
    delays = tuple(AtDelay(d, 40, 0.1, (0.0, 0.2), 0.01, 0.01) for d in (0, 3, 8))
    return Bracket(declared, 0.1, 0.05, delays, kept_up, better)


@pytest.mark.parametrize(
    ("kept_up", "better", "words"),
    [
        (3, 8, ["ten keeps up", "one at 0 is better"]),
        (None, 8, ["ten keeps up: not shown", "one at 0 is better"]),
        (3, None, ["ten keeps up", "one at 0 is better: not shown"]),
    ],
)
def test_the_drawing_says_where_the_reference_keeps_up(grid, kept_up, better, words):
    """A bar for each statement that is shown, and words where it is not."""
    cell = load_grid(grid())[0]
    curve = Curve("ten", None, tuple(Point(d, 0.5, (0.3, 0.7), 2.0, (1, 3)) for d in (0, 3, 8)))
    drawn = draw_curves([curve], cell, bracket_of(kept_up, better))
    texts = [each.text for each in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if "keeps up" in text or "better" in text] == words
    bars = drawn.count("stroke-width: 5")
    assert bars == (kept_up is not None) + (better is not None)


def test_a_bar_reaches_from_the_first_to_the_last_delay_of_its_statement(grid):
    """The reference keeps up at 0 and 3; the candidate is better at 8: a little beyond each of them."""
    cell = load_grid(grid())[0]
    curve = Curve("ten", None, tuple(Point(d, 0.5, (0.3, 0.7), 2.0, (1, 3)) for d in (0, 3, 8)))
    picture = read_picture(draw_curves([curve], cell, bracket_of(3, 8)))
    kept_up, better = ([x for x, _ in line] for line in picture.lines_of("ink", 5))
    at_8 = next(x for text, (x, _) in picture.words if text == "8")
    tick = (better[1] - better[0]) / 0.6
    assert sum(better) / 2 == pytest.approx(at_8, abs=0.5)
    assert kept_up == pytest.approx([at_8 - 8.3 * tick, at_8 - 4.7 * tick], abs=0.5)


@pytest.mark.long
def test_a_sweep_over_delays_is_drawn(grid, tmp_path, capsys):
    """One file beside the table; every cell is a run of its own."""
    path = grid(GRID.replace('"a.b" = "hold"\n', ""))
    out = tmp_path / "out"
    assert main(["sweep", str(path), "--out", str(out), "--workers", "1", "--trust"]) == 0
    assert "ticks=3" in capsys.readouterr().out
    assert (out / "ticks.svg").read_text().startswith("<?xml")
    fresh, old = csv.DictReader((out / "sweep.csv").read_text().splitlines())
    assert float(fresh["stalled_share"]) == 0 < float(old["stalled_share"])
    assert float(fresh["age_mean"]) < float(old["age_mean"])
