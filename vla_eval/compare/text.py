"""A comparison at the terminal, at most 80 columns wide."""

from __future__ import annotations

from vla_eval.compare.results import PairResult, RankedArm, Ranking
from vla_eval.drawing.svg import shorten
from vla_eval.drawing.terminal import folded, table
from vla_eval.judging.virtual import VIRTUAL_HEAD, virtual_sentence

__all__ = ["POST_HOC", "comparison_text"]

POST_HOC = (
    "POST-HOC: a comparison describes and certifies nothing. A shared letter means that these "
    "episodes do not tell two policies apart, not that they are equal; for a claim of parity use "
    "vlaeval certify."
)

_NAME = 20


def comparison_text(comparison: Ranking) -> str:
    """Return the comparison without its tasks, which are on the HTML page."""
    protocol = comparison.protocol
    size = f"{comparison.planned} episodes an arm · {len(comparison.arms)} policies"
    lines = [
        f"{protocol.label} · {protocol.title}",
        f"protocol {protocol.sha256[:12]} · {size}",
        *([sentence] if (sentence := virtual_sentence(protocol)) else []),
        *(f"! {warning}" for warning in comparison.warnings),
        "",
        *table([_HEAD, *(_arm(arm) for arm in comparison.arms)], numbers=True),
        *_virtual(comparison),
        *_within(comparison),
        "",
        *table([_PAIR_HEAD, *(_pair(pair) for pair in comparison.pairs)], numbers=True),
        "",
    ]
    if comparison.cochran is not None and len(comparison.arms) > 2:
        q, p = comparison.cochran
        lines.append(f"all equal: Cochran's Q = {q:.1f}, p = {p:.2g}")
    if any(arm.pareto for arm in comparison.arms):
        lines.append("* no other policy is both as successful and as fast")
    lines.append(POST_HOC)
    return folded(lines)


_HEAD = ["policy", "success", "rate", "95 % Wilson", "letters", "infer", "NFE"]


def _arm(arm: RankedArm) -> list[str]:
    low, high = arm.wilson95
    return [
        shorten(arm.name, _NAME) + (" *" if arm.pareto else ""),
        f"{arm.successes}/{arm.n}",
        f"{arm.rate:.1%}",
        f"[{low:.1%}, {high:.1%}]",
        arm.letters,
        "-" if arm.infer_ms is None else f"{arm.infer_ms:.3g} ms",
        "-" if arm.nfe is None else f"{arm.nfe:g}",
    ]


def _virtual(comparison: Ranking) -> list[str]:
    """Return delays and stalls by policy, in ticks; nothing for paused runs."""
    rows = [
        [shorten(arm.name, _NAME), *arm.virtual.cells()]
        for arm in comparison.arms
        if arm.virtual is not None
    ]
    return ["", *table([["in ticks", *VIRTUAL_HEAD], *rows], numbers=True)] if rows else []


def _within(comparison: Ranking) -> list[str]:
    """Return successes by time of each policy; nothing for paused runs."""
    if comparison.curves is None:
        return []
    arms = comparison.curves.within
    head = ["solved within", *(each.time for each in next(iter(arms.values())))]
    rows = [
        [shorten(name, _NAME), *(f"{each.solved}/{each.n}" for each in times)]
        for name, times in arms.items()
    ]
    return ["", *table([head, *rows], numbers=True)]


_PAIR_HEAD = ["first against second", "difference", "95 % interval", "p, Holm", ""]


def _pair(pair: PairResult) -> list[str]:
    low, high = (100 * limit for limit in pair.ci95)
    names = f"{shorten(pair.first, 16)} v {shorten(pair.second, 16)}"
    return [
        names,
        f"{100 * pair.difference:+.1f}",
        f"[{low:+.1f}, {high:+.1f}]",
        "<0.0001" if pair.p_holm < 1e-4 else f"{pair.p_holm:.4f}",
        "differ" if pair.differ else "",
    ]
