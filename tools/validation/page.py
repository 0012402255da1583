"""The page of the documentation that shows all bars; written by ``tools/validate.py --page``."""

from __future__ import annotations

from bars import Bar

_HEAD = """# Validation

<!-- Written by `.venv/bin/python tools/validate.py --page docs/validation.md`; do not edit. -->

A certificate is worth what its statistics keep of their promises, so the promises are checked:
`make validate` computes error rates, coverage and power of every method here, by summing over all
possible tables where that can be done and by simulation with fixed seeds elsewhere, and holds them
against limits that were set beforehand. Each check is also run on a method that is known to be wrong
(Wald's interval, repeats taken for independent pairs, a bootstrap of few training seeds, peeking …).
That control has to break the limits; if it does not, the check is blind and `make validate` fails.

Some controls are what this project did itself. Tango's score without the exact test errs in up to 7.2 %
where 5 % are promised (25 pairs, 10 points: .9^25 is the chance that no pair is discordant), and in up
to 8.7 % where it is to show harm. Tango's score over √VIF, by which repeats of initial states were
judged, errs in up to 36 %: where no pair is discordant nothing tells how alike repeats are, and the VIF
was taken for 1.

All {bars} bars pass, {controls} of them controls that are caught.
"""
_TABLE = """
| what | observed | limits | |
|---|--:|---|---|
"""


def page(found: dict[str, list[Bar]], about: dict[str, str]) -> str:
    """Return the page.

    Args:
        found: bars by the title of their section.
        about: for each section what is computed.
    """
    bars = [bar for each in found.values() for bar in each]
    parts = [_HEAD.format(bars=len(bars), controls=sum(bar.control for bar in bars))]
    for title, each in found.items():
        first, _, _ = about[title].partition("\n\n    Args:")
        text = "\n\n".join(
            " ".join(paragraph.split()) for paragraph in first.split("\n\n") if paragraph.strip()
        )
        parts.append(f"\n## {title}\n\n{text}\n{_TABLE}" + "".join(row(bar) for bar in each))
    return "".join(parts)


def row(bar: Bar) -> str:
    """Return the bar's row of its table."""
    low, high = f"{100 * bar.low:.4g}", f"{100 * bar.high:.4g}"
    if bar.low == 0 or bar.high == 1:
        limits = f"at most {high} %" if bar.low == 0 else f"at least {low} %"
    else:
        limits = f"{low} to {high} %"
    state = "wrong method, caught" if bar.control else "kept"
    return f"| {bar.what} | {100 * bar.observed:.3f} % | {limits} | {state} |\n"
