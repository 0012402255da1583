"""The picture of an audit: intervals against the margins, what is larger than the axis, the zone of loss."""

from __future__ import annotations

import pytest

from fakes.pictures import read_picture
from vla_eval.audit import audit, parse_claims
from vla_eval.audit.figure import draw
from vla_eval.drawing.svg import NARROW, WIDE

HEAD = """
schema_version = 1
title = "mine"
margins = [0.05, 0.1]
[sources.here]
title = "a paper"
short = "paper"
arxiv = "2601.00001"
"""
CLAIM = """
[[claims]]
id = "{0}"
kind = "rates"
source = "here"
where = "table 1"
says = "as good"
asserts = "parity"
candidate = {{ name = "student", successes = {1}, n = 100 }}
reference = {{ name = "teacher", successes = {2}, n = 100 }}
"""
COUNTS = (("equal", 80, 80), ("better", 80, 20), ("worse", 62, 83))


@pytest.fixture(params=[WIDE, NARROW])
def drawn(request):
    claims = "".join(CLAIM.format(*each) for each in COUNTS)
    found = audit(parse_claims(HEAD + claims, "x"))
    return found, read_picture(draw(found, request.param)), request.param == NARROW


def test_losses_beyond_the_first_margin_are_a_zone(drawn):
    """From the left edge to that margin; on a narrow sheet beside each bar, under no text."""
    _, picture, narrow = drawn
    zones = picture.shapes_of("zone")
    margin = picture.place("−5")[0]
    assert [max(x for x, _ in zone) for zone in zones] == pytest.approx(
        [margin] * len(zones), abs=1
    )
    heights = [[y for _, y in zone] for zone in zones]
    if not narrow:
        assert len(zones) == 1
        return
    middles = [line[0][1] for color in COLORS for line in picture.lines_of(color, 5.0)]
    assert len(zones) == len(middles) == len(COUNTS)
    assert all(
        min(span) < middle < max(span)
        for span, middle in zip(heights, sorted(middles), strict=True)
    )


COLORS = ("candidate", "reference", "control")


def test_intervals_are_cut_off_at_the_axis_with_an_arrow(drawn):
    """The one of 95 % thin, that of 90 % thick inside of it; an arrow only where a limit is beyond."""
    found, picture, _ = drawn
    zero, five = picture.place("0")[0], picture.place("+5")[0]

    def points(x: float) -> float:
        return 5 * (x - zero) / (five - zero)

    for width, name in ((1.6, "ci95"), (5.0, "ci90")):
        shown = [line for color in COLORS for line in picture.lines_of(color, width)]
        for line, audited in zip(
            sorted(shown, key=lambda line: line[0][1]), found.claims, strict=True
        ):
            limits = [max(-30, min(30, 100 * at)) for at in getattr(audited.comparison, name)]
            assert [points(x) for x, _ in line] == pytest.approx(limits, abs=0.1)
    arrows = [
        points(sum(x for x, _ in shape) / 3)
        for color in COLORS
        for shape in picture.shapes_of(color)
        if len(shape) == 3
    ]
    better, worse = found.claims[1].comparison, found.claims[2].comparison
    assert better.ci95[0] > 0.3
    assert worse.ci95[0] < -0.3 < worse.ci95[1] < 0
    assert sorted(arrows) == pytest.approx([-29.5, 29.5], abs=0.6)
