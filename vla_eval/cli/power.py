"""``vlaeval power``: how many episodes a claim needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vla_eval.cli.common import print_json, print_table, say, say_folded
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.compare.shown import Shown

__all__ = ["power"]

_MARGIN = 0.05
_ALPHA = 0.05
_POWER = 0.8
_P = 0.9
_TRAINING_SD = 0.027


def power(
    *,
    run: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None,
    candidate: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    reference: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    p: float | None = None,
    difference: float | None = None,
    correlation: float | None = None,
    alpha: float | None = None,
    power: float | None = None,
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    states: Annotated[int | None, tyro.conf.arg(metavar="K")] = None,
    repeats: Annotated[int | None, tyro.conf.arg(metavar="M")] = None,
    icc: float | None = None,
    resize: Annotated[
        tuple[int, int, int] | None, tyro.conf.arg(metavar="AFTER PLANNED MOST")
    ] = None,
    seeds: Annotated[int | None, tyro.conf.arg(metavar="K")] = None,
    training_sd: float | None = None,
    design: Literal["distilled", "frozen", "independent"] | None = None,
    json: bool = False,
) -> int:
    """Compute the episodes that a claim of non-inferiority needs, or the power of a finished run.

    Example: vlaeval power --margin 0.05 --p 0.9

    Example: vlaeval power --margin 0.05 --p 0.95 --correlation 0.3 --episodes 200

    Example: vlaeval power --margin 0.1 --states 50 --repeats 4

    Example: vlaeval power --margin 0.1 --resize 40 80 200

    Example: vlaeval power --run runs/parity

    Example: vlaeval power --seeds 5 --training-sd 0.027 --margin 0.05

    Small designs are computed exactly, by a sum over all tables, larger ones by a formula; the powers
    of repeated states are partly simulated. A certificate must also pass the exact test, which needs a
    few more pairs: see the column "with exact test".

    Args:
        run: A run folder; computes the power of its pairs for a candidate at parity.
        candidate: An arm of the run; default the protocol's, or the first that is not the reference.
        reference: An arm of the run; default the protocol's, or the first that is not the candidate.
        margin: How much worse is still good enough, as a fraction; default 0.05, or the protocol's.
        p: Success rate of the reference, a fraction; default 0.9.
        difference: The expected difference, candidate minus reference, a fraction; default 0.
        correlation: Correlation of the arms on the same episode; default shows 0, 0.3 and 0.6, and
            with --states 0.3 alone.
        alpha: One-sided level; default 0.05, or the protocol's.
        power: Wanted chance of a certificate if the true difference is --difference; default 0.8.
        episodes: Also show the power of this many episodes.
        states: Show the power of this many different initial states, each repeated --repeats times.
        repeats: Number of episodes per state and arm, each with a different seed.
        icc: Share of the states whose repeats are copies of one another; default shows 0, 0.5, 1.
            With --seeds, share of the states in which all training seeds are alike; default 0.3.
        resize: Show the power and the expected pairs of a run that counts the discordant pairs among
            its first AFTER ones, and then sets its size from PLANNED to MOST pairs.
        seeds: Show the power of a claim about recipes, with this many training seeds a side, all on
            --states initial states (default 200).
        training_sd: Standard deviation of a recipe's success rate over its training seeds, a
            fraction; default 0.027, what Drift-VLA's three seeds leave for training.
        design: How the training seeds of both sides belong together: distilled (each student and its
            own teacher; the default), frozen (one reference checkpoint) or independent.
        json: Print for machines.
    """
    _check_levels(margin, alpha, power)
    by_states = (states, repeats, icc) != (None, None, None)
    of_a_run = (run, candidate, reference, episodes) != (None, None, None, None)
    _refuse_mixed(
        {
            "--resize sets the number of pairs; leave out --run, --states, --episodes and --seeds": (
                resize is not None and (of_a_run or by_states or seeds is not None)
            ),
            "--training-sd and --design belong to --seeds K, the training seeds a side": (
                seeds is None and (training_sd, design) != (None, None)
            ),
            "--seeds plans a comparison of recipes by --states and --repeats; leave out --run, "
            "--candidate, --reference and --episodes": seeds is not None and of_a_run,
        }
    )
    if seeds is not None:
        told = {
            "states": states, "repeats": repeats, "p": p, "difference": difference,
            "correlation": correlation, "alike": icc, "design": design, "margin": margin,
            "alpha": alpha, "power": power,
        }  # fmt: skip
        sd = _TRAINING_SD if training_sd is None else training_sd
        return _show_recipes(seeds, sd, told, json=json)
    if run is not None:
        if by_states:
            raise UsageError("--states, --repeats and --icc describe a design; a run has its own")
        if (p, difference, correlation, episodes) != (None, None, None, None):
            raise UsageError(
                "--p, --difference, --correlation and --episodes describe a plan; leave them out with "
                "--run, whose own results are used"
            )
        return _show_run(run, candidate, reference, margin, alpha, power or _POWER, json=json)
    if candidate is not None or reference is not None:
        raise UsageError("--candidate and --reference are arms of a run; name it with --run RUN")
    p = _P if p is None else p
    expected: dict[str, Any] = {
        "difference": difference or 0.0,
        "margin": _MARGIN if margin is None else margin,
        "alpha": _ALPHA if alpha is None else alpha,
    }
    if resize is not None:
        return _show_resizing(resize, p, correlation, power or _POWER, expected, json=json)
    if not by_states:
        expected |= {"correlation": correlation, "power": power or _POWER, "episodes": episodes}
        return _show_pairs(p, expected, json=json)
    if episodes is not None or power is not None:
        raise UsageError(
            "--episodes and --power do not go with --states: the number of episodes is states times "
            "repeats, and the power is the result"
        )
    expected |= {} if correlation is None else {"correlation": correlation}
    expected |= {} if icc is None else {"iccs": (icc,)}
    return _show_states(states, repeats, p, expected, json=json)


def _refuse_mixed(sentences: Mapping[str, bool]) -> None:
    for sentence, mixed in sentences.items():
        if mixed:
            raise UsageError(sentence)


def _show_recipes(seeds: int, sd: float, told: dict[str, Any], *, json: bool) -> int:
    from vla_eval.cli.recipes import print_recipes
    from vla_eval.planning.recipes import size_of_recipes

    given = {name: value for name, value in told.items() if value is not None}
    result = size_of_recipes(seeds, sd, **given)
    if json:
        print_json(result)
    else:
        print_recipes(result)
    return EXIT_COMPLETE


def _check_levels(margin: float | None, alpha: float | None, power: float | None) -> None:
    from vla_eval.bounds import check_alpha, check_margin

    if margin is not None:
        check_margin(margin, "--margin")
    if alpha is not None:
        check_alpha(alpha, "--alpha")
    if power is not None and not 1e-6 <= power < 1:
        raise UsageError(f"--power {power:g}: expected a number from 1e-06 to below 1")


def _show_run(
    run: Path,
    candidate: str | None,
    reference: str | None,
    margin: float | None,
    alpha: float | None,
    power: float,
    *,
    json: bool,
) -> int:
    from vla_eval.compare.shown import what_run_could_show

    shown = what_run_could_show(run, candidate, reference, margin=margin, alpha=alpha, power=power)
    if json:
        print_json(shown.to_json())
    else:
        _print_shown(shown)
    return EXIT_COMPLETE


def _show_pairs(p: float, expected: dict[str, Any], *, json: bool) -> int:
    from vla_eval.planning.pairs import size_of_pairs

    result = size_of_pairs(p, **expected)
    if json:
        print_json(result)
    else:
        _print_pairs(result)
    return EXIT_COMPLETE


def _show_resizing(
    sizes: tuple[int, int, int],
    p: float,
    correlation: float | None,
    power: float,
    expected: dict[str, Any],
    *,
    json: bool,
) -> int:
    from vla_eval.cli.resizing import print_resizing
    from vla_eval.planning.resizing import outlook_of_rule, rule_of

    rule = rule_of(sizes, margin=expected["margin"], alpha=expected["alpha"], power=power)
    correlations = (0.0, 0.3, 0.6) if correlation is None else (correlation,)
    value = outlook_of_rule(rule, (p,), correlations, difference=expected["difference"])
    if json:
        print_json(value)
    else:
        print_resizing(value)
    return EXIT_COMPLETE


def _show_states(
    states: int | None, repeats: int | None, p: float, expected: dict[str, Any], *, json: bool
) -> int:
    from vla_eval.cli.repeats import print_design
    from vla_eval.planning.repeats import size_of_repeats

    if states is None or repeats is None:
        raise UsageError(
            "--states K and --repeats M belong together, with or without --icc: K states, each run M times"
        )
    result = size_of_repeats(states, repeats, p, **expected)
    if json:
        print_json(result)
    else:
        print_design(result, _expected(result["difference"]))
    return EXIT_COMPLETE


def _print_pairs(result: dict[str, Any]) -> None:
    margin, p = 100 * result["margin"], result["p_reference"]
    best, worst = result["paired"][-1], result["paired"][0]
    lowest, highest = (row["pairs_certificate"] or row["pairs_formula"] for row in (best, worst))
    count = f"{lowest}" if lowest == highest else f"{lowest} to {highest}"
    claim = (
        f"{count} pairs certify, with a chance of {result['power']:.0%}, that a candidate "
        f"{_expected(result['difference'])} is not worse by {margin:g} points (reference at "
        f"{p:.1%}, one-sided alpha {result['alpha']:g})."
    )
    least = (
        f"If the arms never differ, {result['minimum_pairs']} pairs are the fewest that certify it."
    )
    lines = [claim, least]
    if not all(row["pairs_certificate"] for row in (best, worst)):
        lines.append(
            "These numbers are by formula; a certificate's exact test takes a few pairs more."
        )
    say_folded(lines)
    say()
    print_table(_rows(result))


def _expected(difference: float) -> str:
    if difference == 0:
        return "as good as the reference"
    return f"{abs(100 * difference):g} points {'better' if difference > 0 else 'worse'}"


def _rows(result: dict[str, Any]) -> list[list[str]]:
    episodes = result["episodes"]
    header = ["design", "pairs", "with exact test", "by formula"]
    rows = [header + ([f"power at {episodes}"] if episodes else [])]
    for row in result["paired"]:
        cells = [_count(row[name]) for name in ("pairs", "pairs_certificate", "pairs_formula")]
        rows.append([f"paired, correlation {row['correlation']:g}", *cells])
        if episodes:
            rows[-1].append(f"{row['power_at_episodes_certificate']:.1%}")
    unpaired = result["independent"]
    rows.append(["unpaired, episodes an arm", _count(unpaired["per_arm"]), "-", "-"])
    if episodes:
        rows[-1].append(f"{unpaired['power_at_episodes']:.1%}")
    return rows


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _print_shown(shown: Shown) -> None:
    margin, target = f"{100 * shown.margin:g} points", f"{shown.target:.0%}"
    smallest = "no margin"
    if shown.smallest_margin is not None:
        smallest = f"a margin of {100 * shown.smallest_margin:.1f} points"
    observed = (
        f"{shown.pairs} pairs of {shown.candidate} and {shown.reference}; the reference "
        f"succeeds in {shown.reference_rate:.1%}, outcomes correlate by {shown.correlation:.2f}."
    )
    needed = shown.pairs_needed
    take = "more than a thousand states" if needed is None else f"{needed} pairs"
    enough = f"With a chance of {target} these pairs certify {smallest}; {margin} take {take}."
    difference = (
        f"A true difference of {100 * shown.detectable:.1f} points would be found with a chance of "
        f"{target} (formula; the arms disagree in {shown.discordance:.1%})."
    )
    lines = [
        observed,
        *_repeated(shown),
        f"A candidate at parity had a chance of {shown.power:.0%} to be certified at {margin}.",
        enough,
        difference,
        "This is the power of the run's size; what it did show: vlaeval certify.",
    ]
    say_folded(lines)


def _repeated(shown: Shown) -> list[str]:
    """Return sentences on repeats of states, if there are any."""
    from vla_eval.cli.repeats import MODEL, times, too_few

    repeats = shown.repeats
    if repeats is None:
        return []
    states = (
        f"They are of {repeats.states} states, {times(repeats.repeats)}, judged by states with the "
        f"test '{repeats.test}'. Repeats of a state are alike by an ICC of {repeats.icc:.2f}: "
        f"estimated from this run, between 0 and 1, and taken as known. {MODEL}."
    )
    fewest = {repeats.test: repeats.minimum_states}
    return [states, *too_few(repeats.states, shown.margin, fewest)]
