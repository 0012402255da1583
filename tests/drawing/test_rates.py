"""Rows of success rates: a bar from limit to limit, a dot at the rate, names and counts beside it."""

from __future__ import annotations

import pytest

from fakes.pictures import read_picture
from vla_eval.drawing.rates import Rate, draw_rates
from vla_eval.drawing.svg import NARROW, WIDE

RATES = (Rate("teacher", 45, 50, (0.79, 0.96)), Rate("student", 20, 40, (0.35, 0.65), missing=10))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_rate_stands_at_its_per_cent(width):
    """Bar and dot are read off the axis that is printed below; a row lies below the one before."""
    markup = draw_rates(RATES, "rates", width)
    picture = read_picture(markup)
    left, right = picture.place("0")[0], picture.place("100")[0]

    def percent(x: float) -> float:
        return 100 * (x - left) / (right - left)

    bars = picture.lines_of("candidate", 6)
    assert [[percent(x) for x, _ in bar] for bar in bars] == [
        pytest.approx([79, 96], abs=0.1),
        pytest.approx([35, 65], abs=0.1),
    ]
    dots = picture.shapes_of("paper")
    middles = [sum(x for x, _ in dot) / len(dot) for dot in dots]
    assert [percent(x) for x in middles] == pytest.approx([90, 50], abs=1)
    assert bars[0][0][1] < bars[1][0][1]
    height = float(markup.partition('height="')[2].partition('"')[0])
    assert all(0 < y < height for _, (_, y) in picture.words), "all of it is on the sheet"


def test_names_stand_left_of_the_bars_and_counts_right_of_them():
    """What is missing is said beside the rate."""
    picture = read_picture(draw_rates(RATES, "rates", WIDE))
    left, right = picture.place("0")[0], picture.place("100")[0]
    for bar, name, words in zip(
        picture.lines_of("candidate", 6),
        ("teacher", "student"),
        ("45/50 = 90.0 %", "20/40 = 50.0 %, 10 missing"),
        strict=True,
    ):
        assert picture.place(name)[0] < left
        assert picture.place(words)[0] > right
        assert abs(picture.place(name)[1] - bar[0][1]) < 8, "on the bar's row"
        assert abs(picture.place(words)[1] - bar[0][1]) < 8
