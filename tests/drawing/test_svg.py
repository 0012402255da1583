"""Axes of drawings: a logarithmic one has plain numbers, as many as can be read."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from fakes.pictures import read_picture
from vla_eval.drawing.svg import Sheet, plain_log


@pytest.mark.parametrize(
    ("limits", "ticks"),
    [
        ((1, 500), [1, 2, 5, 10, 20, 50, 100, 200, 500]),
        ((3, 30), [5, 10, 20]),
        ((0.5, 500), [1, 10, 100]),
    ],
)
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_has_plain_numbers(which, limits, ticks):
    """1, 2 and 5 of each decade, both ends with them; only powers of ten where these are too many."""
    axes = Figure().add_subplot()
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits})
    plain_log(axes, which)
    axis = axes.xaxis if which == "x" else axes.yaxis
    shown = [at for at in axis.get_majorticklocs() if limits[0] <= at <= limits[1]]
    assert shown == pytest.approx(ticks)
    assert axis.get_major_formatter()(0.5, 0) == "0.5"


def test_a_sheet_has_the_size_and_the_distances_that_were_asked_for():
    """In pixels, and with its words for screen readers."""
    with Sheet.open("one", 200, 100, 'a "label"') as sheet:
        axes = sheet.axes(20, 10, 40, 30)
        axes.plot([0, 1], [0, 1], color="#010101")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0, 0, "corner", va="baseline")
        axes.text(1, 1, "other", va="baseline")
    assert 'viewBox="0 0 200 100"' in sheet.markup
    assert "aria-label='a \"label\"'" in sheet.markup
    picture = read_picture(sheet.markup)
    assert picture.place("corner") == pytest.approx((20, 70), abs=0.1)
    assert picture.place("other") == pytest.approx((160, 10), abs=0.1)
