"""Power of a finished run: computed from its size instead of its result.

It uses only the number of pairs and states, the reference's rate, the discordance of the arms and the
correlation of repeats. The power at the observed difference ("observed power") would only repeat the
p-value, so the candidate is assumed to be at parity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_eval.compare.gather import Contest, Entry, gather
from vla_eval.compare.pairwise import method_of, pairing
from vla_eval.errors import UsageError, did_you_mean
from vla_eval.judging.methods import Repeats as ByState
from vla_eval.stats import (
    ClusteredPairs,
    ClusterTest,
    PairedCase,
    PairedTable,
    estimated_icc,
    minimum_states,
    pairs_by_formula,
    pairs_needed,
    power_clustered,
    power_paired,
    smallest_margin,
)
from vla_eval.stats._numeric import z_quantile

__all__ = ["RepeatedStates", "Shown", "what_it_could_show", "what_run_could_show"]

_EXACT_UP_TO = 300
"""Pairs for which the search over the exact test takes some seconds at most."""
_STATES_UP_TO = 1000
"""Largest number of states in the search for the needed ones; some seconds at most."""


@dataclass(frozen=True)
class RepeatedStates:
    """Repeats of initial states in a run, and their test."""

    states: int
    repeats: int
    """Number of repeats per state; the nearest whole number if some are missing."""
    icc: float
    """Intraclass correlation of the repeats of a state, estimated from the run, in [0, 1]: the power
    uses it as the share of states whose repeats are copies."""
    test: ClusterTest
    minimum_states: int
    """Fewest states that show the margin if no pair is discordant, at any number of repeats."""


@dataclass(frozen=True)
class Shown:
    """Claims that these pairs can certify."""

    candidate: str
    reference: str
    pairs: int
    vif: float
    """Design effect of repeated initial states; 1 without repeats. Descriptive; no verdict uses it."""
    effective_pairs: int
    """Pairs divided by the design effect; descriptive too."""
    reference_rate: float
    discordance: float
    """Share of the pairs in which exactly one arm succeeded."""
    correlation: float
    """Correlation of the outcomes; 0 if an arm's outcome never varies, or if it is negative."""
    margin: float
    alpha: float
    target: float
    """The requested power."""
    power: float
    """Probability that a candidate at parity is certified at the margin."""
    smallest_margin: float | None
    """Smallest margin that is certified at parity with the requested power; None if even a margin of 50
    points cannot be certified."""
    pairs_needed: int | None
    """Pairs that certify the margin at parity with the requested power and the same number of repeats;
    None if more than some thousand states are needed."""
    exact: bool
    """Whether these three values include the exact test, which needs a few per cent more pairs."""
    detectable: float
    """True difference that is found to differ from 0 with the requested power (formula)."""
    repeats: RepeatedStates | None = None
    """Repeats of initial states, if there are any; then the three values above are simulated."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return asdict(self)


@dataclass(frozen=True)
class _Outlook:
    """Power, smallest margin and pairs needed."""

    power: float
    smallest_margin: float | None
    pairs_needed: int | None
    exact: bool


def what_it_could_show(
    field: Contest,
    candidate: str,
    reference: str,
    *,
    margin: float | None = None,
    alpha: float | None = None,
    power: float = 0.8,
) -> Shown:
    """Return the claims that the pairs of two arms can certify.

    Args:
        field: the arms of a run.
        candidate: name of the candidate's arm.
        reference: name of the reference's arm.
        margin: default the protocol's.
        alpha: one-sided; default the protocol's.
        power: requested power.

    Raises:
        UsageError: the arms cannot be paired.
    """
    entries = {entry.name: entry for entry in field.entries}
    margin = field.protocol.analysis.margin if margin is None else margin
    alpha = field.protocol.analysis.alpha if alpha is None else alpha
    table, clusters = _pairs(field, entries[candidate], entries[reference])
    # Half a success keeps the rate inside (0, 1), where a power can be computed.
    rate = min(max((table.n11 + table.n01) / table.n, 0.5 / table.n), 1 - 0.5 / table.n)
    correlation = min(max(0.0, table.correlation or 0.0), 0.99)
    case = PairedCase(rate, 0.0, correlation)
    if clusters is None:
        repeats = None
        outlook = _of_pairs(table.n, case, margin=margin, alpha=alpha, target=power)
    else:
        repeats = _repeats(clusters, field, margin=margin, alpha=alpha)
        outlook = _of_states(repeats, case, margin=margin, alpha=alpha, target=power)
    vif = 1.0 if clusters is None else clusters.vif
    return Shown(
        candidate=candidate,
        reference=reference,
        pairs=table.n,
        vif=vif,
        effective_pairs=max(1, math.floor(table.n / vif)),
        reference_rate=rate,
        discordance=table.discordance,
        correlation=correlation,
        margin=margin,
        alpha=alpha,
        target=power,
        **asdict(outlook),
        detectable=(z_quantile(1 - alpha) + z_quantile(power))
        * math.sqrt(max(table.discordance, 1 / table.n) * vif / table.n),
        repeats=repeats,
    )


def what_run_could_show(
    run: Path,
    candidate: str | None = None,
    reference: str | None = None,
    *,
    margin: float | None = None,
    alpha: float | None = None,
    power: float = 0.8,
) -> Shown:
    """Return the claims that the pairs of two arms of a run folder can certify.

    Args:
        run: the run folder.
        candidate: name of an arm; default the protocol's, or the first arm except the reference.
        reference: name of an arm; default the protocol's, or the first arm except the candidate.
        margin: default the protocol's.
        alpha: one-sided; default the protocol's.
        power: requested power.

    Raises:
        UsageError: no run, unknown arms, arms that cannot be paired, or a measure that is not success.
    """
    field = gather([run])
    measure = field.protocol.analysis.measure
    if measure is not None:
        raise UsageError(
            f"{run}: its protocol judges '{measure}', and this is the power for successes; the power "
            "for other measures is in the certificate: vlaeval certify"
        )
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


def _of_pairs(n: int, case: PairedCase, *, margin: float, alpha: float, target: float) -> _Outlook:
    needed = pairs_by_formula(case, margin=margin, alpha=alpha, power=target)
    exact = max(n, needed) <= _EXACT_UP_TO
    if exact:
        needed = pairs_needed(case, margin=margin, alpha=alpha, power=target, guard=True)
    try:
        smallest: float | None = smallest_margin(n, case, alpha=alpha, power=target, guard=exact)
    except ValueError:
        smallest = None
    power = power_paired(n, case, margin=margin, alpha=alpha, guard=exact)
    return _Outlook(power, smallest, needed, exact)


def _of_states(
    of: RepeatedStates, case: PairedCase, *, margin: float, alpha: float, target: float
) -> _Outlook:
    def power(states: int, delta: float) -> float:
        powers = power_clustered(states, of.repeats, case, icc=of.icc, margin=delta, alpha=alpha)
        return powers.of(of.test)

    step = _first(lambda half: power(of.states, half / 2000) >= target, 100, 1000)
    needed = _first(lambda k: power(k, margin) >= target, of.states, _STATES_UP_TO)
    return _Outlook(
        power=power(of.states, margin),
        smallest_margin=None if step is None else step / 2000,
        pairs_needed=None if needed is None else needed * of.repeats,
        exact=False,
    )


def _first(holds: Callable[[int], bool], guess: int, most: int) -> int | None:
    """Return the first number from 1 to ``most`` for which a monotonic condition holds, or None."""
    low, high = 1, min(guess, most)
    while not holds(high):
        if high == most:
            return None
        low, high = high + 1, min(2 * high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _repeats(
    clusters: ClusteredPairs, field: Contest, *, margin: float, alpha: float
) -> RepeatedStates:
    asked: ClusterTest = field.protocol.analysis.cluster_test or "both"
    # Same rule as for the verdict: states with different numbers of repeats are judged by the bets.
    test: ClusterTest = asked if clusters.equal else "bets"
    states = len(clusters.pairs)
    return RepeatedStates(
        states=states,
        repeats=max(1, round(clusters.n / states)),
        icc=estimated_icc(clusters),
        test=test,
        minimum_states=minimum_states(margin, alpha=alpha, test=test),
    )


def _pairs(field: Contest, ours: Entry, theirs: Entry) -> tuple[PairedTable, ClusteredPairs | None]:
    paired = pairing(field, ours, theirs)
    if paired.objection:
        raise UsageError(
            f"'{ours.name}' and '{theirs.name}' are not paired ({paired.objection}); for unpaired arms "
            "give rates: vlaeval power --p RATE --episodes N"
        )
    method = method_of(field, paired)
    return method.table, method.clusters if isinstance(method, ByState) else None
