"""``vlaeval stats clustered``: a verdict from the counts of every initial state."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vla_eval.cli.common import print_json, print_table, say
from vla_eval.errors import EXIT_COMPLETE, UsageError, did_you_mean

if TYPE_CHECKING:
    from vla_eval.stats import ClusteredPairs, Judgement

__all__ = ["Clustered", "show"]

_KEYS = ("n", "won", "lost")
_MOST_BYTES = 1_000_000
_MOST_STATES = 2000
"""The exact test of more takes minutes."""
_MOST_PAIRS = 1_000_000
"""Of one state."""


@dataclass(frozen=True)
class Clustered:
    """Repeats of initial states: a verdict that holds however the repeats depend on each other.

    Example: vlaeval stats clustered counts.json --margin 0.1, where counts.json holds
    {"n": [4, 4, 4], "won": [0, 1, 0], "lost": [0, 0, 2]}
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.json")]
    """{"n": [...], "won": [...], "lost": [...]}: pairs of each state, and how many of them only the
    candidate and only the reference succeeded in."""
    margin: float = 0.05
    """How much worse is still good enough, as a fraction."""
    alpha: float = 0.05
    """One-sided level."""
    test: Literal["both", "worst-repeat", "bets"] = "both"
    """worst-repeat: a state lost in any repeat is lost, and won only if all are; exact. bets: on the
    means of the states. both: the smaller p-value, doubled."""
    json: bool = False
    """Print for machines."""


def show(asked: Clustered) -> int:
    """Judge the counts in a file, and print the verdict.

    Raises:
        UsageError: a file that does not hold such counts, or counts that the test cannot judge.
    """
    from vla_eval.stats import judge_clustered

    data = read_counts(asked.file)
    if asked.test == "worst-repeat" and not data.equal:
        raise UsageError(
            f"{asked.file}: the states have different numbers of repeats, which only the test "
            "'bets' can judge"
        )
    judgement = judge_clustered(data, margin=asked.margin, alpha=asked.alpha, test=asked.test)
    value = _value(data, judgement, asked)
    if asked.json:
        print_json(value)
    else:
        _print(value, judgement, asked)
    return EXIT_COMPLETE


def read_counts(file: Path) -> ClusteredPairs:
    """Return the counts in a file of ``{"n": [...], "won": [...], "lost": [...]}``.

    Raises:
        UsageError: no such file, or not such counts; says which state.
    """
    import numpy as np

    from vla_eval.stats import ClusteredPairs

    found = _parsed(file)
    for key in _KEYS:
        if key not in found:
            raise UsageError(f"{file}: the key '{key}' is missing; expected n, won and lost")
    for key in found:
        if key not in _KEYS:
            raise UsageError(f"{file}: unknown key '{key[:40]}'{did_you_mean(key, _KEYS)}")
    columns = [_counts(file, key, found[key]) for key in _KEYS]
    sizes = [len(column) for column in columns]
    if len(set(sizes)) > 1:
        lengths = ", ".join(f"{key} {size}" for key, size in zip(_KEYS, sizes, strict=True))
        raise UsageError(f"{file}: one entry a state is expected in each list, not {lengths}")
    if not 1 <= sizes[0] <= _MOST_STATES:
        raise UsageError(f"{file}: {sizes[0]} states; expected 1 to {_MOST_STATES}")
    for state, (pairs, won, lost) in enumerate(zip(*columns, strict=True), start=1):
        if pairs == 0:
            raise UsageError(f"{file}: state {state} has no pairs (n = 0); leave it out")
        if won + lost > pairs:
            raise UsageError(
                f"{file}: state {state} has {won} pairs won and {lost} lost, of {pairs} pairs"
            )
    return ClusteredPairs(*(np.array(column, dtype=np.int64) for column in columns))


def _parsed(file: Path) -> dict[str, Any]:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{file}: is no regular file")
        if status.st_size > _MOST_BYTES:
            raise UsageError(f"{file}: is larger than {_MOST_BYTES // 1000} kB, too large")
        found = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, OSError):
            said = error.strerror or "cannot be read"
        elif isinstance(error, _TwiceError):
            said = str(error)
        else:
            said = "is not JSON"
        raise UsageError(f"{file}: {said}") from error
    if not isinstance(found, dict):
        raise UsageError(f'{file}: expected an object {{"n": [...], "won": [...], "lost": [...]}}')
    return found


class _TwiceError(ValueError):
    """A key occurs twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(f"the key '{key[:40]}' occurs twice")
        found[key] = value
    return found


def _counts(file: Path, key: str, values: Any) -> list[int]:
    if not isinstance(values, list):
        raise UsageError(f"{file}: '{key}' is not a list with one entry a state")
    for state, value in enumerate(values, start=1):
        # A bool is an int to Python, and not to people.
        if type(value) is not int:
            raise UsageError(f"{file}: '{key}' of state {state} is not a whole number")
        if not 0 <= value <= _MOST_PAIRS:
            raise UsageError(f"{file}: '{key}' of state {state} is not in 0 to {_MOST_PAIRS}")
    return values


def _value(data: ClusteredPairs, judgement: Judgement, asked: Clustered) -> dict[str, Any]:
    margin, alpha, test = asked.margin, asked.alpha, asked.test
    levels = {0.10, 0.05, 2 * alpha}
    intervals = {level: list(data.interval(alpha=level, test=test)) for level in levels}
    worst = data.p_noninferior(margin=margin, test="worst-repeat") if data.equal else None
    return {
        "verdict": judgement.verdict.value,
        "also": [each.value for each in judgement.also],
        "difference": data.difference,
        "ci90": intervals[0.10],
        "ci95": intervals[0.05],
        "ci_of_verdict": intervals[2 * alpha],
        "p_noninferior": data.p_noninferior(margin=margin, test=test),
        "p_worst_repeat": worst,
        "p_bets": data.p_noninferior(margin=margin, test="bets"),
        "states": len(data.pairs),
        "states_lost_in_any_repeat": int((data.losses > 0).sum()),
        "states_won_in_all_repeats": int((data.wins == data.pairs).sum()),
        "pairs": data.n,
        "pairs_won": int(data.wins.sum()),
        "pairs_lost": int(data.losses.sum()),
        "repeats": [int(data.pairs.min()), int(data.pairs.max())],
        "vif": data.vif,
        "margin": margin,
        "alpha": alpha,
        "test": test,
    }


def _print(value: dict[str, Any], judgement: Judgement, asked: Clustered) -> None:
    from vla_eval.stats import Verdict
    from vla_eval.summary.text import fold

    margin = f"{100 * asked.margin:g} points"
    verdict = judgement.verdict
    lines = [
        f"{verdict.upper()} at a margin of {margin}: {verdict.sentence}",
        *(f"Also {each.upper()}: {each.sentence}" for each in judgement.also),
    ]
    say("\n".join(folded for line in lines for folded in fold(line)) + "\n")
    print_table(_rows(value, margin))
    holds = (
        "Repeats of one state are not taken for independent pairs: the test holds however they "
        "depend on each other."
    )
    effect = (
        f"The design effect, {value['vif']:.2f}, describes how alike the repeats of a state look; "
        "it decides nothing."
    )
    say("\n" + "\n".join(folded for line in (holds, effect) for folded in fold(line)))
    if verdict is Verdict.INCONCLUSIVE:
        say("What another design would show: vlaeval power --states K --repeats M")


def _rows(value: dict[str, Any], margin: str) -> list[list[str]]:
    least, most = value["repeats"]
    each = f"{least}" if least == most else f"{least} to {most}"
    times = "each once" if most == 1 else f"{each} repeats of each"
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
        ["90 % interval", _points(value["ci90"])],
        ["95 % interval", _points(value["ci95"])],
    ]
    if level not in (90.0, 95.0):
        rows.append([f"{level:g} % interval", _points(value["ci_of_verdict"])])
    rows += [
        [f"not worse by {margin}", f"p = {value['p_noninferior']:.4g} ({by or value['test']})"],
        ["  by worst-repeat", "-" if worst is None else f"p = {worst:.4g}, exact, of the recoded"],
        ["  by bets", f"p = {value['p_bets']:.4g}, on the means of the states"],
    ]
    return rows


def _points(interval: list[float]) -> str:
    return f"[{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"
