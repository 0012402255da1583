"""``vlaeval stats``: the pocket calculator for a table in a paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vla_eval.cli.clustered import Clustered, show
from vla_eval.cli.common import print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError, VlaEvalError

if TYPE_CHECKING:
    from vla_eval.stats import CrossCheck, Judgement

__all__ = ["stats"]

_DISAGREEMENT = 0.005
"""Newcombe's interval may differ by this much; more is worth a flag."""


@dataclass(frozen=True)
class Paired:
    """Two arms on the same episodes: Tango's interval and the exact unconditional test."""

    n11: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N11")]
    """Episodes in which both arms succeeded."""
    n10: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N10")]
    """Only the candidate succeeded."""
    n01: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N01")]
    """Only the reference succeeded."""
    n00: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N00")]
    """Neither succeeded."""
    margin: float = 0.05
    """How much worse is still good enough, as a fraction."""
    alpha: float = 0.05
    """One-sided level."""
    json: bool = False
    """Print for machines."""


_MOST_PAIRS = 100_000
_MOST_EPISODES = 10**9


@dataclass(frozen=True)
class Independent:
    """Two arms on different episodes: Miettinen and Nurminen's interval."""

    x1: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="X1")]
    """Successes of the candidate."""
    n1: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N1")]
    """Episodes of the candidate."""
    x2: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="X2")]
    """Successes of the reference."""
    n2: Annotated[tyro.conf.Positional[int], tyro.conf.arg(metavar="N2")]
    """Episodes of the reference."""
    margin: float = 0.05
    """How much worse is still good enough, as a fraction."""
    alpha: float = 0.05
    """One-sided level."""
    json: bool = False
    """Print for machines."""


def stats(
    table: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Paired, tyro.conf.subcommand("paired")]
        | Annotated[Independent, tyro.conf.subcommand("independent")]
        | Annotated[Clustered, tyro.conf.subcommand("clustered")]
    ],
) -> int:
    """Compute intervals and a verdict from counts, for example from a table in a paper.

    Example: vlaeval stats paired 386 9 5 0 --margin 0.05

    Example: vlaeval stats independent 395 400 391 400

    Example: vlaeval stats clustered counts.json --margin 0.1

    The candidate comes first. The verdict belongs to the interval of level 1 - 2 alpha.

    Args:
        table: What is known.
    """
    if not 1e-4 <= table.margin < 1:
        raise UsageError(f"--margin {table.margin:g}: expected a fraction from 0.0001 to below 1")
    if not 1e-6 <= table.alpha < 0.5:
        raise UsageError(f"--alpha {table.alpha:g}: expected a level from 0.000001 to below 0.5")
    if isinstance(table, Clustered):
        return show(table)
    value, judgement = _paired(table) if isinstance(table, Paired) else _independent(table)
    if table.json:
        print_json(value)
    else:
        _print(value, judgement, table)
    return EXIT_COMPLETE


def _paired(table: Paired) -> tuple[dict[str, Any], Judgement]:
    from vla_eval.stats import (
        Flag,
        PairedTable,
        cross_checks_paired,
        exact_p_noninferior,
        failure_ratio_paired,
        is_ceiling,
        judge_paired,
        tango_p_noninferior,
    )

    if min(table.n11, table.n10, table.n01, table.n00) < 0:
        raise UsageError("counts of pairs cannot be negative")
    if table.n11 + table.n10 + table.n01 + table.n00 > _MOST_PAIRS:
        raise UsageError(f"more than {_MOST_PAIRS:,} pairs: the exact test would take minutes")
    counts = PairedTable(table.n11, table.n10, table.n01, table.n00)
    if counts.n == 0:
        raise UsageError("there are no pairs in this table")
    discordant = (counts.n10, counts.n01, counts.n)
    judgement = judge_paired(counts, margin=table.margin, alpha=table.alpha)
    value = _value(
        table,
        judgement,
        difference=counts.difference,
        intervals={level: counts.interval(alpha=level) for level in _levels(table.alpha)},
        p=(
            tango_p_noninferior(*discordant, margin=table.margin),
            exact_p_noninferior(*discordant, margin=table.margin),
        ),
    )
    value["failure_ratio95"] = _finite(failure_ratio_paired(counts))
    value["cross_checks"] = _checked(cross_checks_paired(counts))
    if is_ceiling((counts.n11 + counts.n01) / counts.n, margin=table.margin):
        value["flags"].append(Flag.CEILING.value)
    return value, judgement


def _independent(table: Independent) -> tuple[dict[str, Any], Judgement]:
    from vla_eval.stats import (
        Flag,
        cross_checks_independent,
        failure_ratio_independent,
        is_ceiling,
        judge_independent,
        miettinen_nurminen_interval,
        miettinen_nurminen_p_noninferior,
        newcombe_disagreement,
    )

    counts = (table.x1, table.n1, table.x2, table.n2)
    for successes, n in (counts[:2], counts[2:]):
        if not 0 <= successes <= n or n == 0:
            raise UsageError(f"{successes} successes in {n} episodes cannot be")
        if n > _MOST_EPISODES:
            raise UsageError(
                f"{n} episodes are more than the {_MOST_EPISODES:,} that can be judged"
            )
    judgement = judge_independent(*counts, margin=table.margin, alpha=table.alpha)
    value = _value(
        table,
        judgement,
        difference=table.x1 / table.n1 - table.x2 / table.n2,
        intervals={
            level: miettinen_nurminen_interval(*counts, alpha=level)
            for level in _levels(table.alpha)
        },
        p=(miettinen_nurminen_p_noninferior(*counts, margin=table.margin), None),
    )
    value["failure_ratio95"] = _finite(failure_ratio_independent(*counts))
    value["cross_checks"] = _checked(cross_checks_independent(*counts))
    value["newcombe_disagreement"] = newcombe_disagreement(*counts)
    holds = {
        Flag.UNPAIRED: True,
        Flag.CEILING: is_ceiling(table.x2 / table.n2, margin=table.margin),
        Flag.SMALL_SAMPLE: value["newcombe_disagreement"] > _DISAGREEMENT,
    }
    value["flags"] += [flag.value for flag, held in holds.items() if held]
    return value, judgement


def _checked(checks: tuple[CrossCheck, ...]) -> dict[str, float]:
    """Return what statsmodels computed too, or refuse to print numbers that two programs dispute."""
    for check in checks:
        if not check.agrees:
            raise VlaEvalError(
                f"{check.name}: {check.ours:.9g} here, {check.theirs:.9g} in statsmodels; one of "
                "them is wrong: please report this table"
            )
    return {check.name: check.theirs for check in checks}


def _levels(alpha: float) -> tuple[float, float, float]:
    return 0.10, 0.05, 2 * alpha


def _finite(interval: tuple[float, float]) -> list[float | None]:
    return [interval[0], interval[1] if interval[1] < float("inf") else None]


def _value(
    table: Paired | Independent,
    judgement: Judgement,
    *,
    difference: float,
    intervals: dict[float, tuple[float, float]],
    p: tuple[float, float | None],
) -> dict[str, Any]:
    return {
        "difference": difference,
        "ci90": list(intervals[0.10]),
        "ci95": list(intervals[0.05]),
        "p_noninferior": p[0],
        "p_noninferior_exact": p[1],
        "verdict": judgement.verdict.value,
        "also": [each.value for each in judgement.also],
        "margin": table.margin,
        "alpha": table.alpha,
        "ci_of_verdict": list(intervals[2 * table.alpha]),
        "flags": [],
    }


def _print(value: dict[str, Any], judgement: Judgement, table: Paired | Independent) -> None:
    from vla_eval.stats import Flag, Verdict
    from vla_eval.summary.text import fold

    paired = isinstance(table, Paired)
    level = 100 * (1 - 2 * table.alpha)
    low, high = value["ci_of_verdict"]
    margin = f"{100 * table.margin:g} points"
    lines = [
        f"{judgement.verdict.upper()} at a margin of {margin}: {judgement.verdict.sentence}",
        *(f"Also {each.upper()}: {each.sentence}" for each in judgement.also),
        "",
        _rates(table),
        f"difference   {_points([value['difference']])} points, candidate minus reference",
        f"90 % interval  {_points(value['ci90'])}",
        f"95 % interval  {_points(value['ci95'])}",
    ]
    if level not in (90.0, 95.0):
        lines.append(f"{level:g} % interval  {_points((low, high))}")
    exact = value["p_noninferior_exact"]
    method = "Tango" if paired else "Miettinen-Nurminen"
    lines += [
        f"not worse by {margin}: p = {value['p_noninferior']:.4g} ({method})"
        + (f", p = {exact:.4g} (exact)" if exact is not None else ""),
        _failures(value["failure_ratio95"]),
    ]
    lines += [f"! {Flag(each).upper()}: {Flag(each).sentence}" for each in value["flags"]]
    if judgement.verdict is Verdict.INCONCLUSIVE:
        lines.append("How many episodes would decide it: vlaeval power --help")
    say("\n".join(folded for line in lines for folded in fold(line)))


def _rates(table: Paired | Independent) -> str:
    if isinstance(table, Independent):
        x1, n1, x2, n2 = table.x1, table.n1, table.x2, table.n2
    else:
        n1 = n2 = table.n11 + table.n10 + table.n01 + table.n00
        x1, x2 = table.n11 + table.n10, table.n11 + table.n01
    return f"successes    {x1}/{n1} = {x1 / n1:.1%} against {x2}/{n2} = {x2 / n2:.1%}"


def _points(values: Any) -> str:
    inner = ", ".join(f"{100 * each:+.2f}" for each in values)
    return inner if len(values) == 1 else f"[{inner}]"


def _failures(interval: list[float | None]) -> str:
    low, high = interval
    upper = "inf" if high is None else f"{high:.2f}"
    return f"ratio of failure rates, 95 %  [{low:.2f}, {upper}]"
