"""``vlaeval stats clustered``: a verdict from the counts of every initial state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vla_eval.cli.common import points, print_json, print_table, say, say_folded
from vla_eval.errors import EXIT_COMPLETE

__all__ = ["Clustered", "show"]


@dataclass(frozen=True)
class Clustered:
    """Repeats of initial states: a verdict that is valid for any dependence of the repeats.

    Example: vlaeval stats clustered counts.json --margin 0.1

    The file may hold three states, each with four repeats:

    {"n": [4, 4, 4], "won": [0, 1, 0], "lost": [0, 0, 2]}
    """

    file: Annotated[
        tyro.conf.Positional[Path],
        tyro.conf.arg(
            metavar="FILE.json",
            help='{"n": [...], "won": [...], "lost": [...]}: for each state the number of pairs, '
            "of pairs that only the candidate won, and of pairs that only the reference won.",
        ),
    ]
    margin: float = 0.05
    """How much worse is still good enough, as a fraction."""
    alpha: float = 0.05
    """One-sided level."""
    test: Annotated[
        Literal["both", "worst-repeat", "bets"],
        tyro.conf.arg(
            help="worst-repeat: a state lost in any repeat is lost, and won only if all are; exact. "
            "bets: on the means of the states. both: the smaller p-value, doubled.",
        ),
    ] = "both"
    json: bool = False
    """Print for machines."""


def show(asked: Clustered) -> int:
    """Judge the counts in a file, and print the verdict.

    Raises:
        UsageError: the file does not hold such counts, or the test cannot judge them.
    """
    from vla_eval.judging.counts import judge_states
    from vla_eval.judging.states_file import read_states

    value = judge_states(
        read_states(asked.file),
        margin=asked.margin,
        alpha=asked.alpha,
        test=asked.test,
        where=str(asked.file),
    )
    if asked.json:
        print_json(value)
    else:
        _print(value)
    return EXIT_COMPLETE


def _print(value: dict[str, Any]) -> None:
    from vla_eval.stats import Verdict

    margin = f"{100 * value['margin']:g} points"
    verdict = Verdict(value["verdict"])
    say_folded(
        [
            f"{verdict.upper()} at a margin of {margin}: {verdict.sentence}",
            *(f"Also {also.upper()}: {also.sentence}" for also in map(Verdict, value["also"])),
            "",
        ]
    )
    print_table(_rows(value, margin))
    holds = (
        "Repeats of one state are not taken for independent pairs: the test holds however they "
        "depend on each other."
    )
    effect = (
        f"The design effect, {value['vif']:.2f}, describes how alike the repeats of a state look; "
        "it decides nothing."
    )
    say_folded(["", holds, effect])
    if verdict is Verdict.INCONCLUSIVE:
        say("What another design would show: vlaeval power --states K --repeats M")


def _rows(value: dict[str, Any], margin: str) -> list[list[str]]:
    least, most = value["repeats"]
    count = f"{least}" if least == most else f"{least} to {most}"
    times = "each once" if most == 1 else f"{count} repeats of each"
    won, lost = value["pairs_won"], value["pairs_lost"]
    any_, all_ = value["states_lost_in_any_repeat"], value["states_won_in_all_repeats"]
    worst = value["p_worst_repeat"]
    level = 100 * (1 - 2 * value["alpha"])
    by = "bets, as repeats are unequal" if value["test"] == "both" and worst is None else None
    rows = [
        ["states", f"{value['states']}, {times}: {value['pairs']} pairs"],
        ["pairs", f"{won} won by the candidate alone, {lost} by the reference alone"],
        ["states recoded", f"{any_} lost in any repeat, {all_} won in all"],
        ["difference", f"{100 * value['difference']:+.2f} points, candidate minus reference"],
        ["90 % interval", points(value["ci90"])],
        ["95 % interval", points(value["ci95"])],
    ]
    if level not in (90.0, 95.0):
        rows.append([f"{level:g} % interval", points(value["ci_of_verdict"])])
    rows += [
        [f"not worse by {margin}", f"p = {value['p_noninferior']:.4g} ({by or value['test']})"],
        ["  by worst-repeat", "-" if worst is None else f"p = {worst:.4g}, exact, of the recoded"],
        ["  by bets", f"p = {value['p_bets']:.4g}, on the means of the states"],
    ]
    return rows
