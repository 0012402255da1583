"""The share of solved episodes over time, and the unit of its axis."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fakes.pictures import read_picture
from vla_eval.drawing.curves import draw_solved
from vla_eval.drawing.svg import NARROW, WIDE

SOLVED = {"teacher": (0.0, 0.5, 1.0), "student": (0.0, 0.25, 0.5)}
LOOKS = {"teacher": ("#010101", "-"), "student": ("#020202", "--")}


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(
    ("steps", "hz", "unit", "end"),
    [
        (600, 30.0, "time in the episode (s)", "20"),
        (600, None, "time in the episode (control steps)", "600"),
        (None, None, "time in the episode (% of the time limit)", "100"),
    ],
)
def test_a_curve_ends_where_the_time_is_over(width, steps, hz, unit, end):
    """At the share that was solved in the end, over a time in the best unit that is known."""
    curves = SimpleNamespace(limit_steps=steps, control_hz=hz, grid=(0.0, 0.5, 1.0), solved=SOLVED)
    picture = read_picture(draw_solved(curves, LOOKS, width))
    assert picture.place(unit)
    right = next(x for words, (x, _) in picture.words if words.removesuffix(".0") == end)
    # A label's place is its baseline, a few pixels below the middle of its line.
    none, every = picture.place("0%")[1], picture.place("100%")[1]
    # The lines of the legend come after those of the plot.
    lasts = [line[-1] for _, wide, line in picture.lines if wide == 2][: len(SOLVED)]
    assert [x for x, _ in lasts] == pytest.approx([right] * 2, abs=1)
    reached = sorted((none - 4.6 - y) / (none - every) for _, y in lasts)
    assert reached == pytest.approx([0.5, 1.0], abs=0.03)
