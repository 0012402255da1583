"""A comparison for people: one HTML file that works offline, and Markdown for a pull request."""

from __future__ import annotations

from pathlib import Path

from vla_eval.compare.figure import draw_pareto
from vla_eval.compare.results import PairResult, RankedArm, Ranking
from vla_eval.compare.text import POST_HOC
from vla_eval.drawing import words
from vla_eval.drawing.curves import draw_solved
from vla_eval.drawing.svg import LOOKS, NARROW, WIDE
from vla_eval.files.plain import markdown
from vla_eval.judging.virtual import VIRTUAL_HEAD, virtual_sentence

__all__ = ["html_page", "markdown_page"]


def html_page(comparison: Ranking, *, command: str) -> str:
    """Return the page; equal comparisons give equal bytes.

    Args:
        comparison: the comparison to show.
        command: the command that writes the page.
    """
    from markupsafe import Markup

    from vla_eval.drawing.templating import render

    drawn = "".join(draw_pareto(comparison.arms, width) for width in (WIDE, NARROW))
    return render(
        "compare.html.j2",
        Path(__file__).parent / "templates",
        comparison=comparison,
        protocol=comparison.protocol,
        figure=Markup(drawn),  # noqa: S704 - matplotlib escapes the names
        hard=_hardest_first(comparison),
        virtual=virtual_sentence(comparison.protocol),
        virtual_head=VIRTUAL_HEAD,
        curves=Markup(_drawn_curves(comparison)),  # noqa: S704 - as above
        matrix=len(comparison.arms) <= _MATRIX,
        post_hoc=POST_HOC,
        command=command,
    )


def _drawn_curves(comparison: Ranking) -> str:
    if comparison.curves is None:
        return ""
    looks = {
        name: LOOKS[index % len(LOOKS)][:2] for index, name in enumerate(comparison.curves.solved)
    }
    return "".join(draw_solved(comparison.curves, looks, width) for width in (WIDE, NARROW))


_MATRIX = 12
"""Most policies for which the pairs are shown as a matrix."""


def _hardest_first(comparison: Ranking) -> list[str]:
    """Return the tasks, the one with the fewest successes first."""

    def mean(task: str) -> float:
        counts = [arm.tasks[task] for arm in comparison.arms if task in arm.tasks]
        return sum(x / n for x, n in counts) / len(counts) if counts else 2.0

    return sorted(comparison.tasks, key=mean)


def markdown_page(comparison: Ranking) -> str:
    """Return the comparison as GitHub's Markdown."""
    protocol = comparison.protocol
    lines = [
        f"### {len(comparison.arms)} policies on {markdown(protocol.label)}",
        "",
        *([f"{markdown(sentence)}."] if (sentence := virtual_sentence(protocol)) else []),
        *(f"> **{markdown(warning)}**" for warning in comparison.warnings),
        "",
        "| policy | success | 95 % Wilson | letters | inference, median | NFE | Pareto |",
        "|---|---|---|---|---|---|---|",
        *(_arm(arm) for arm in comparison.arms),
        *_virtual(comparison),
        *_within(comparison),
        "",
        "| first | second | difference, points | 95 % | all pairs at once, 95 % | p, Holm |",
        "|---|---|---|---|---|---|",
        *(_pair(pair) for pair in comparison.pairs),
        "",
    ]
    if len(comparison.tasks) > 1:
        names = " | ".join(markdown(arm.name) for arm in comparison.arms)
        lines += [f"| task | {names} |", "|---|" + "---|" * len(comparison.arms)]
        lines += [_task(comparison, task) for task in _hardest_first(comparison)]
        lines.append("")
    lines += [POST_HOC.replace("vlaeval certify", "`vlaeval certify`"), ""]
    lines.append(f"Protocol `{protocol.sha256}`.")
    return "\n".join(lines) + "\n"


def _virtual(comparison: Ranking) -> list[str]:
    """Return delays and stalls by policy as a table; nothing for paused runs."""
    rows = [
        f"| {markdown(arm.name)} | {' | '.join(arm.virtual.cells())} |"
        for arm in comparison.arms
        if arm.virtual is not None
    ]
    head = f"| in ticks | {' | '.join(VIRTUAL_HEAD)} |"
    return ["", head, "|---|" + "---|" * len(VIRTUAL_HEAD), *rows] if rows else []


def _within(comparison: Ranking) -> list[str]:
    """Return successes by time, of each policy and of each pair, as tables; nothing for paused runs."""
    if comparison.curves is None:
        return []
    arms = comparison.curves.within
    times = [each.time for each in next(iter(arms.values()))]
    head, line = " | ".join(times), "|---|" + "---|" * len(times)
    rows = [
        f"| {markdown(name)} | {' | '.join(f'{each.solved}/{each.n}' for each in found)} |"
        for name, found in arms.items()
    ]
    pairs = [
        f"| {markdown(pair.first)} v {markdown(pair.second)} | "
        + " | ".join(
            f"{words.points(each.difference)} {words.interval(each.simultaneous95)}"
            for each in pair.within
        )
        + " |"
        for pair in comparison.pairs
        if pair.within
    ]
    difference = ["", f"| difference, all pairs and times at once, 95 % | {head} |", line, *pairs]
    return ["", f"| solved within | {head} |", line, *rows, *(difference if pairs else [])]


def _arm(arm: RankedArm) -> str:
    low, high = arm.wilson95
    latency = "–" if arm.infer_ms is None else f"{arm.infer_ms:.3g} ms"
    nfe = "–" if arm.nfe is None else f"{arm.nfe:g}"
    pareto = "yes" if arm.pareto else "–" if arm.pareto is None else "no"
    return (
        f"| {markdown(arm.name)} | {arm.successes}/{arm.n} = {words.percent(arm.rate)} | "
        f"{words.percent(low)} to {words.percent(high)} | {arm.letters} | {latency} | {nfe} | "
        f"{pareto} |"
    )


def _pair(pair: PairResult) -> str:
    shown = words.points(pair.difference)
    return (
        f"| {markdown(pair.first)} | {markdown(pair.second)} | {f'**{shown}**' if pair.differ else shown} "
        f"| {words.interval(pair.ci95)} | {words.interval(pair.simultaneous95)} | "
        f"{words.p_value(pair.p_holm).removeprefix('= ')} |"
    )


def _task(comparison: Ranking, task: str) -> str:
    cells = []
    for arm in comparison.arms:
        successes, n = arm.tasks.get(task, (0, 0))
        cells.append(f"{successes}/{n}" if n else "–")
    return f"| {markdown(task)} | {' | '.join(cells)} |"
