"""The report as text, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Collection

from vla_eval.drawing.terminal import folded, table
from vla_eval.judging.looks import look_sentence
from vla_eval.judging.measures import Measure
from vla_eval.judging.methods import JudgingMethod
from vla_eval.judging.reactions import REACTION_HEAD
from vla_eval.judging.resizing import decides_by_pairs, resizing_sentence
from vla_eval.judging.virtual import VIRTUAL_HEAD, virtual_sentence
from vla_eval.plan import expand, look_sizes
from vla_eval.stats import wilson_interval
from vla_eval.summary.model import ArmSummary, Pair, RunSummary

__all__ = ["difference_text", "interval_text", "points", "rate_text", "report_text", "span"]

_PHASES = {
    "build": "building scenes",
    "reset": "resetting",
    "advance": "physics",
    "observe": "rendering",
    "infer": "policy",
}


def report_text(summary: RunSummary, pairs: Collection[tuple[str, str]] | None = None) -> str:
    """Return the whole report.

    Args:
        summary: the run.
        pairs: pairs of arms to show; None: all.
    """
    protocol = summary.protocol
    most = "at most " if decides_by_pairs(protocol) else ""
    episodes = f"{most}{len(expand(protocol))}"
    state = "complete" if summary.complete else "NOT COMPLETE"
    looks = [look_sentence(look, len(look_sizes(protocol))) for look in summary.looks[-1:]]
    lines = [
        f"{protocol.label} · {protocol.title}",
        f"protocol {protocol.sha256[:12]} · {episodes} episodes an arm · {state}",
        *([sentence] if (sentence := virtual_sentence(protocol)) else []),
        *looks,
        *([f"{summary.beyond} results beyond the stop, not used"] if summary.beyond else []),
        *([resizing_sentence(summary.resizing)] if summary.resizing else []),
        *_warnings(summary),
        "",
        *_arm_table(summary),
        *_virtual_table(summary),
        *_reaction_table(summary),
        *_within_table(summary),
    ]
    if len(summary.tasks) > 1:
        lines += ["", *_task_table(summary)]
    for pair in summary.pairs:
        if pairs is None or (pair.candidate, pair.reference) in pairs:
            lines += ["", *_pair_lines(pair)]
    lines += ["", *_time_lines(summary)]
    return folded(lines)


def _warnings(summary: RunSummary) -> list[str]:
    lines = []
    if summary.standins:
        lines.append(
            f"! {summary.standins} episodes ran on STAND-IN ASSETS: fit for tests, not for publishing"
        )
    if summary.protocol.overrides:
        lines.append(f"! the protocol was modified on the command line: {summary.protocol.changes}")
    lines += [
        f"! {name}: WHO THIS POLICY IS, IS UNKNOWN: its server does not say; fit for a report, not "
        "for a certificate"
        for name in summary.unknown
    ]
    lines += [
        f"! {name}: last line cut off by a kill; ignored, its episode counts as not run"
        for name in summary.torn
    ]
    lines += [f"! NOT DETERMINISTIC: {sentence}" for sentence in summary.contradictions[:3]]
    lines += [f"! {summary.objection}"] if summary.objection else []
    for name, arm in summary.arms.items():
        if arm.errors:
            low, high = arm.worst_and_best_rate()
            lines.append(
                f"! {name}: {arm.errors} episodes are missing after infrastructure errors "
                f"(rate {low:.1%} if all failed, {high:.1%} if all succeeded)"
            )
        if arm.retried:
            lines.append(
                f"! {name}: {arm.retried} episodes have a result only after an attempt that was lost "
                "while the policy was running; a certificate counts them against the candidate"
            )
        if arm.clipped_actions:
            lines.append(f"! {name}: {arm.clipped_actions} actions were out of bounds and clipped")
    return lines


def _arm_table(summary: RunSummary) -> list[str]:
    # In virtual time the latency is declared; wall times mean nothing there.
    paused = summary.protocol.run.realtime is None
    times = ["infer p50"] if paused else []
    rows = [["arm", "success", "rate", "95 % Wilson", "mean score", *times, "NFE"]]
    rows += [[name, *_arm_cells(arm, paused=paused)] for name, arm in summary.arms.items()]
    return table(rows, numbers=True)


def _arm_cells(arm: ArmSummary, *, paused: bool) -> list[str]:
    low, high = arm.wilson95
    time = "-" if arm.infer_ms_p50 is None else f"{arm.infer_ms_p50:.1f} ms"
    return [
        f"{arm.successes}/{arm.n}",
        f"{arm.successes / arm.n:.1%}" if arm.n else "-",
        f"[{low:.1%}, {high:.1%}]",
        "-" if arm.mean_score is None else f"{arm.mean_score:.3f}",
        *([time] if paused else []),
        "-" if arm.nfe_per_chunk is None else f"{arm.nfe_per_chunk:g}",
    ]


def _virtual_table(summary: RunSummary) -> list[str]:
    """Return delays and stalls by arm, in ticks; nothing for a paused run."""
    rows = [
        [name, *arm.virtual.cells()]
        for name, arm in summary.arms.items()
        if arm.virtual is not None
    ]
    return ["", *table([["in ticks", *VIRTUAL_HEAD], *rows], numbers=True)] if rows else []


def _reaction_table(summary: RunSummary) -> list[str]:
    """Return reaction times by arm and event, in ticks; nothing where nothing is done to the scenes."""
    rows = [
        [name, event, *reactions.cells()]
        for name, arm in summary.arms.items()
        for event, reactions in arm.reactions.items()
    ]
    return ["", *table([["in ticks", *REACTION_HEAD], *rows], numbers=True)] if rows else []


def _within_table(summary: RunSummary) -> list[str]:
    """Return successes by time of each arm; nothing for a paused run."""
    if summary.curves is None:
        return []
    arms = summary.curves.within
    head = ["solved within", *(each.time for each in next(iter(arms.values())))]
    rows = [[name, *(f"{each.solved}/{each.n}" for each in times)] for name, times in arms.items()]
    return ["", *table([head, *rows], numbers=True)]


def _task_table(summary: RunSummary) -> list[str]:
    rows = [["task", *summary.arms]]
    for task in summary.tasks:
        cells = []
        for arm in summary.arms.values():
            rate = arm.tasks.get(task)
            cells.append(interval_text(rate.successes, rate.n, rate.wilson95) if rate else "-")
        rows.append([task, *cells])
    return table(rows, numbers=True)


def rate_text(successes: int, n: int) -> str:
    """Return a count of successes with Wilson's 95 % interval: ``40/50 [67%, 89%]``."""
    return interval_text(successes, n, wilson_interval(successes, n))


def interval_text(successes: int, n: int, interval: tuple[float, float]) -> str:
    """Return a count of successes with an interval of its rate."""
    return f"{successes}/{n} [{interval[0]:.0%}, {interval[1]:.0%}]"


def _pair_lines(pair: Pair) -> list[str]:
    counts = pair.table
    lines = [f"{pair.candidate} against {pair.reference}, paired by episode:"]
    if pair.unequal_scenes:
        lines.append(
            f"! {pair.unequal_scenes} episodes are not paired: the arms' scenes differ (scene_hash)"
        )
    if pair.unknown_scenes:
        lines.append(
            f"! {pair.unknown_scenes} episodes are not paired: they have no scene_hash, so nobody "
            "knows whether the arms saw the same scene"
        )
    if pair.method is None:
        return [*lines, "  no pairs yet"]
    rows = [
        ["", f"{pair.reference} succeeds", "fails"],
        [f"{pair.candidate} succeeds", str(counts.n11), str(counts.n10)],
        ["fails", str(counts.n01), str(counts.n00)],
    ]
    return [
        *lines,
        *(f"  {line}" for line in table(rows, numbers=True)),
        f"  {difference_text(pair.method, pair.measure)}",
        *(f"  {line}" for line in _within_lines(pair)),
    ]


def _within_lines(pair: Pair) -> list[str]:
    """Return a table of the difference by time; nothing for a paused run."""
    if not pair.within:
        return []
    rows = [
        [each.time, points(each.difference), span(each.ci95), span(each.simultaneous95)]
        for each in pair.within
    ]
    head = ["solved within", "difference", "95 %, this time", "95 %, all times"]
    return table([head, *rows], numbers=True)


def difference_text(method: JudgingMethod, measure: Measure) -> str:
    """Return a difference in points, with the intervals of the protocol's method."""
    return (
        f"{measure.difference} {points(method.difference)} {measure.unit}; {method.name} 95 % "
        f"{span(method.interval(0.05))}, 90 % {span(method.interval(0.10))}"
    )


def points(value: float) -> str:
    """Return a difference of rates in percentage points: ``-1.1``."""
    return f"{100 * value:+.1f}"


def span(interval: tuple[float, float]) -> str:
    """Return an interval of a difference in percentage points: ``[-3.1, +0.9]``."""
    return f"[{points(interval[0])}, {points(interval[1])}]"


def _time_lines(summary: RunSummary) -> list[str]:
    totals = dict.fromkeys(_PHASES, 0.0)
    for arm in summary.arms.values():
        for name in totals:
            totals[name] += arm.seconds[name]
    whole = sum(totals.values())
    if whole == 0:
        return []
    parts = [f"{_PHASES[name]} {totals[name] / whole:.0%}" for name in totals]
    return [f"time in episodes: {whole:.1f} s = " + ", ".join(parts)]
