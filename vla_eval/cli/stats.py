"""``vlaeval stats``: intervals and verdicts from the counts in a paper's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from vla_eval.cli.clustered import Clustered, show
from vla_eval.cli.common import points, print_json, say_folded
from vla_eval.errors import EXIT_COMPLETE

__all__ = ["stats"]


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
        table: The kind of the counts.
    """
    from vla_eval.bounds import check_alpha, check_margin

    check_margin(table.margin, "--margin")
    check_alpha(table.alpha, "--alpha")
    if isinstance(table, Clustered):
        return show(table)
    value = _judged(table)
    if table.json:
        print_json(value)
    else:
        _print(value, table)
    return EXIT_COMPLETE


def _judged(table: Paired | Independent) -> dict[str, Any]:
    from vla_eval.judging.counts import judge_arms, judge_pairs

    margin, alpha = table.margin, table.alpha
    if isinstance(table, Paired):
        counts = (table.n11, table.n10, table.n01, table.n00)
        return judge_pairs(*counts, margin=margin, alpha=alpha)
    return judge_arms(table.x1, table.n1, table.x2, table.n2, margin=margin, alpha=alpha)


def _print(value: dict[str, Any], table: Paired | Independent) -> None:
    from vla_eval.stats import Flag, Verdict

    level = 100 * (1 - 2 * table.alpha)
    verdict = Verdict(value["verdict"])
    margin = f"{100 * table.margin:g} points"
    lines = [
        f"{verdict.upper()} at a margin of {margin}: {verdict.sentence}",
        *(f"Also {also.upper()}: {also.sentence}" for also in map(Verdict, value["also"])),
        "",
        _rates(table),
        f"difference   {points([value['difference']])} points, candidate minus reference",
        f"90 % interval  {points(value['ci90'])}",
        f"95 % interval  {points(value['ci95'])}",
    ]
    if level not in (90.0, 95.0):
        lines.append(f"{level:g} % interval  {points(value['ci_of_verdict'])}")
    exact = value["p_noninferior_exact"]
    method = "Tango" if isinstance(table, Paired) else "Miettinen-Nurminen"
    lines += [
        f"not worse by {margin}: p = {value['p_noninferior']:.4g} ({method})"
        + (f", p = {exact:.4g} (exact)" if exact is not None else ""),
        _failures(value["failure_ratio95"]),
        *(f"! {flag.upper()}: {flag.sentence}" for flag in map(Flag, value["flags"])),
    ]
    if verdict is Verdict.INCONCLUSIVE:
        lines.append("How many episodes would decide it: vlaeval power --help")
    say_folded(lines)


def _rates(table: Paired | Independent) -> str:
    if isinstance(table, Independent):
        x1, n1, x2, n2 = table.x1, table.n1, table.x2, table.n2
    else:
        n1 = n2 = table.n11 + table.n10 + table.n01 + table.n00
        x1, x2 = table.n11 + table.n10, table.n11 + table.n01
    return f"successes    {x1}/{n1} = {x1 / n1:.1%} against {x2}/{n2} = {x2 / n2:.1%}"


def _failures(interval: list[float | None]) -> str:
    low, high = interval
    upper = "inf" if high is None else f"{high:.2f}"
    return f"ratio of failure rates, 95 %  [{low:.2f}, {upper}]"
