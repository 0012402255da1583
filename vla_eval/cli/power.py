"""``vlaeval power``: how many episodes a claim needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict

import tyro

from vla_eval.cli.common import print_json, print_table, say
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.compare.shown import Shown
    from vla_eval.stats import PairedCase

__all__ = ["power"]


class _Design(TypedDict):
    margin: float
    alpha: float
    power: float


_CORRELATIONS = (0.0, 0.3, 0.6)
_CORRELATION = 0.3
"""Of the arms on one episode, where only one is shown."""
_STATES_UP_TO = 2000
_POWER = 0.8
_EXACT_UP_TO = 4000
"""Pairs for which the sum over all tables takes some seconds at most."""
_GUARD_UP_TO = 1200


def power(
    *,
    run: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None,
    candidate: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    reference: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    p: float = 0.9,
    difference: float = 0.0,
    correlation: float | None = None,
    alpha: float | None = None,
    power: float | None = None,
    episodes: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    states: Annotated[int | None, tyro.conf.arg(metavar="K")] = None,
    repeats: Annotated[int | None, tyro.conf.arg(metavar="M")] = None,
    icc: float | None = None,
    json: bool = False,
) -> int:
    """Say how many episodes a claim of non-inferiority needs; or what a finished run could show.

    Example: vlaeval power --margin 0.05 --p 0.9

    Example: vlaeval power --margin 0.05 --p 0.95 --correlation 0.3 --episodes 200

    Example: vlaeval power --margin 0.1 --states 50 --repeats 4

    Example: vlaeval power --run runs/parity

    Numbers are exact (a sum over all tables) where that takes seconds, else by formula. A
    certificate also needs the exact test, whose price is shown.

    Args:
        run: A run folder: what could its pairs have shown, for a candidate at parity?
        candidate: Which arm of the run; default the protocol's, or the first.
        reference: Which arm of the run; default the protocol's, or the second.
        margin: How much worse is still good enough, as a fraction; default 0.05, or the protocol's.
        p: Success rate of the reference.
        difference: What you expect, candidate minus reference.
        correlation: Between the arms on the same episode; default shows 0, 0.3 and 0.6, and with
            --states 0.3 alone.
        alpha: One-sided level; default 0.05, or the protocol's.
        power: Chance to certify a candidate as good as expected; default 0.8.
        episodes: Also show the power that this many episodes give.
        states: What this many different initial states show, each repeated --repeats times.
        repeats: Episodes of every state and arm, with other seeds.
        icc: Share of the states whose repeats are copies of one another; default shows 0, 0.5, 1.
        json: Print for machines.
    """
    bounds = (("margin", margin, 1e-4, 1), ("alpha", alpha, 1e-6, 0.5), ("power", power, 1e-6, 1))
    for name, value, low, top in bounds:
        if value is not None and not low <= value < top:
            raise UsageError(f"--{name} {value:g}: expected a number from {low:g} to below {top:g}")
    given = (states, repeats, icc) != (None, None, None)
    if run is not None:
        if given:
            raise UsageError("--states, --repeats and --icc describe a design; a run has its own")
        return _show_run(run, candidate, reference, margin, alpha, power or _POWER, json=json)
    if candidate is not None or reference is not None:
        raise UsageError("--candidate and --reference are arms of a run; name it with --run RUN")
    margin = 0.05 if margin is None else margin
    alpha = 0.05 if alpha is None else alpha
    if difference <= -margin:
        raise UsageError(
            f"--difference {difference:g}: a candidate that much worse is not within a margin of "
            f"{margin:g}"
        )
    if given:
        if episodes is not None or power is not None:
            raise UsageError("--states and --repeats say the episodes, and the power is computed")
        rho = _CORRELATION if correlation is None else correlation
        (case,) = _cases(p, difference, (rho,), strict=True)
        return _show_states(_states(states, repeats, icc), case, margin, alpha, json=json)
    correlations = _CORRELATIONS if correlation is None else (correlation,)
    cases = _cases(p, difference, correlations, strict=correlation is not None)
    design = _Design(margin=margin, alpha=alpha, power=power or _POWER)
    return _show_pairs(cases, design, episodes, json=json)


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
    shown = _of_run(run, candidate, reference, margin=margin, alpha=alpha, power=power)
    if json:
        print_json(shown.to_json())
    else:
        _print_shown(shown)
    return EXIT_COMPLETE


def _show_pairs(
    cases: list[PairedCase], design: _Design, episodes: int | None, *, json: bool
) -> int:
    if episodes is not None and not 1 <= episodes <= _EXACT_UP_TO:
        raise UsageError(f"--episodes {episodes}: expected 1 to {_EXACT_UP_TO}")
    result: dict[str, Any] = {
        **design,
        "p_reference": cases[0].p_reference,
        "difference": cases[0].difference,
    }
    result |= _numbers(cases, design, episodes)
    if json:
        print_json(result)
    else:
        _print(result)
    return EXIT_COMPLETE


class _States(NamedTuple):
    states: int
    repeats: int
    iccs: tuple[float, ...]


def _states(states: int | None, repeats: int | None, icc: float | None) -> _States:
    """Return a design of repeated states, or refuse it."""
    from vla_eval.cli.repeats import ICCS

    if states is None or repeats is None:
        raise UsageError("--states K and --repeats M belong together: K states, each run M times")
    for name, value, top in (("states", states, _STATES_UP_TO), ("repeats", repeats, 100)):
        if not 1 <= value <= top:
            raise UsageError(f"--{name} {value}: expected 1 to {top}")
    if icc is not None and not 0 <= icc <= 1:
        raise UsageError(f"--icc {icc:g}: expected a number from 0 to 1")
    return _States(states, repeats, ICCS if icc is None else (icc,))


def _show_states(
    design: _States, case: PairedCase, margin: float, alpha: float, *, json: bool
) -> int:
    from vla_eval.cli.repeats import design_numbers, print_design

    result: dict[str, Any] = {
        "margin": margin,
        "alpha": alpha,
        "p_reference": case.p_reference,
        "difference": case.difference,
        "correlation": case.correlation,
    }
    states, repeats, iccs = design
    result |= design_numbers(states, repeats, case, iccs=iccs, margin=margin, alpha=alpha)
    if json:
        print_json(result)
    else:
        print_design(result, _expected(case.difference))
    return EXIT_COMPLETE


def _cases(
    p: float, difference: float, correlations: tuple[float, ...], *, strict: bool
) -> list[PairedCase]:
    from vla_eval.stats import PairedCase

    cases = []
    for rho in correlations:
        try:
            cases.append(PairedCase(p, difference, rho))
        except ValueError as error:
            # Of the default correlations those that cannot be are left out; 0 always can.
            if strict or rho == 0:
                raise UsageError(str(error)) from error
    return cases


def _numbers(cases: list[PairedCase], design: _Design, episodes: int | None) -> dict[str, Any]:
    from vla_eval.stats import episodes_per_arm, minimum_pairs, minimum_pairs_exact
    from vla_eval.stats import power_independent as unpaired_power

    margin, alpha = design["margin"], design["alpha"]
    rates = (cases[0].p_candidate, cases[0].p_reference)
    rows = [_row(case, design, episodes) for case in cases]
    cheap = rows[0]["pairs_formula"] <= _EXACT_UP_TO
    unpaired: dict[str, Any] = {"per_arm": episodes_per_arm(*rates, **design) if cheap else None}
    if episodes is not None:
        at = unpaired_power(episodes, *rates, margin=margin, alpha=alpha)
        unpaired["power_at_episodes"] = at
    return {
        "episodes": episodes,
        "minimum_pairs": minimum_pairs_exact(margin, alpha=alpha),
        "minimum_pairs_tango": minimum_pairs(margin, alpha=alpha),
        "paired": rows,
        "independent": unpaired,
    }


def _row(case: PairedCase, design: _Design, episodes: int | None) -> dict[str, Any]:
    from vla_eval.stats import pairs_by_formula, pairs_needed, power_paired

    formula = pairs_by_formula(case, **design)
    row: dict[str, Any] = {
        "correlation": case.correlation,
        "discordance": case.p10 + case.p01,
        "pairs_formula": formula,
        "pairs": pairs_needed(case, **design) if formula <= _EXACT_UP_TO else None,
        "pairs_certificate": (
            pairs_needed(case, **design, guard=True) if formula <= _GUARD_UP_TO else None
        ),
    }
    if episodes is not None:
        for name, guard in (("power_at_episodes", False), ("power_at_episodes_certificate", True)):
            row[name] = power_paired(
                episodes, case, margin=design["margin"], alpha=design["alpha"], guard=guard
            )
    return row


def _print(result: dict[str, Any]) -> None:
    from vla_eval.summary.text import fold

    margin, p = 100 * result["margin"], result["p_reference"]
    best, worst = result["paired"][-1], result["paired"][0]
    lowest, highest = (each["pairs_certificate"] or each["pairs_formula"] for each in (best, worst))
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
    say("\n".join(folded for line in lines for folded in fold(line)) + "\n")
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


def _of_run(
    run: Path,
    candidate: str | None,
    reference: str | None,
    *,
    margin: float | None,
    alpha: float | None,
    power: float,
) -> Shown:
    from vla_eval.compare import gather
    from vla_eval.compare.shown import what_it_could_show
    from vla_eval.errors import did_you_mean

    field = gather([run])
    names = [entry.name for entry in field.entries]
    if len(names) < 2:
        raise UsageError(f"{run}: has episodes of {len(names)} arms; a comparison takes two")
    analysis = field.protocol.analysis
    ours, theirs = candidate or analysis.candidate, reference or analysis.reference
    ours = ours or next(name for name in names if name != theirs)
    theirs = theirs or next(name for name in names if name != ours)
    for name in (ours, theirs):
        if name not in names:
            raise UsageError(f"the run has no arm '{name}'{did_you_mean(name, names)}")
    if ours == theirs:
        raise UsageError(f"arm '{ours}' cannot be candidate and reference at once")
    return what_it_could_show(field, ours, theirs, margin=margin, alpha=alpha, power=power)


def _print_shown(shown: Shown) -> None:
    from vla_eval.summary.text import fold

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
    say("\n".join(folded for line in lines for folded in fold(line)))


def _repeated(shown: Shown) -> list[str]:
    """Return what is said of repeats of states, if there are any."""
    from vla_eval.cli.repeats import MODEL, times, too_few

    of = shown.repeats
    if of is None:
        return []
    states = (
        f"They are of {of.states} states, {times(of.repeats)}, judged by states with the test '{of.test}'. "
        f"Repeats of a state are alike by an ICC of {of.icc:.2f}: estimated from this run, between 0 "
        f"and 1, and taken as known. {MODEL}."
    )
    return [states, *too_few(of.states, shown.margin, {of.test: of.minimum_states})]
