"""The board as one static page: no date and no path, so that anybody can rebuild it byte for byte."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from vla_eval.board.build import Board, Claim, Group
from vla_eval.certificate.page.meaning import signs
from vla_eval.certificate.wording import Words
from vla_eval.drawing.rates import Rate, draw_rates
from vla_eval.drawing.svg import NARROW, WIDE
from vla_eval.drawing.templating import render

__all__ = ["board_page"]

_MOST_DRAWN = 40


def board_page(board: Board) -> str:
    """Return the page; equal boards give equal bytes."""
    return render(
        "board.html.j2",
        Path(__file__).parent / "templates",
        board=board,
        figures=[Markup(_figure(group, at)) for at, group in enumerate(board.groups)],  # noqa: S704 - matplotlib escapes the names
        apart=_apart,
        difference=_difference,
        signs=signs,
    )


def _figure(group: Group, number: int) -> str:
    rates = [
        Rate(arm.name, arm.successes, arm.n, arm.wilson95, arm.missing)
        for arm in group.ranking.arms[:_MOST_DRAWN]
    ]
    return "".join(draw_rates(rates, f"rates{number}-", width) for width in (WIDE, NARROW))


def _apart(group: Group) -> str:
    """Say which policies cannot be told apart from the best one."""
    ranking = group.ranking
    best = ranking.arms[0]
    equal = [arm.name for arm in ranking.arms[1:] if set(arm.letters) & set(best.letters)]
    if not equal:
        return f"{best.name} succeeds more often than every other policy here."
    return f"These episodes cannot tell {', '.join(equal)} from {best.name}: there is no single best one."


def _difference(claim: Claim) -> str:
    """Return a claim's difference with its 95 % interval and the margin, in its unit."""
    certificate, comparison = claim.certificate, claim.certificate.comparison
    words = Words.of(certificate)
    limits = words.typeset_span(comparison.ci95)
    return (
        f"{words.typeset(comparison.difference)} {words.unit}, 95 % {limits}, "
        f"margin {words.margin(certificate.margin)}"
    )
