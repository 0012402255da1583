"""Comparison of two policies: paired if they saw the same scenes, by the protocol's method."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from vla_eval.compare.gather import Contest, Entry
from vla_eval.judging import ledger
from vla_eval.judging.ledger import Pairing, won
from vla_eval.judging.looks import judged_by
from vla_eval.judging.methods import JudgingMethod, judging
from vla_eval.stats import (
    PairedTable,
    miettinen_nurminen_interval,
    miettinen_nurminen_z,
    stratified_independent_interval,
    stratified_independent_z,
)
from vla_eval.stats._numeric import Interval, normal_sf

__all__ = ["Estimate", "estimate", "method_of", "pairing"]


@dataclass(frozen=True)
class Estimate:
    """Candidate minus reference, before any adjustment."""

    method: str
    difference: float
    ci95: Interval
    simultaneous95: Interval
    p: float
    table: PairedTable | None = None
    unpaired_because: str = ""
    heterogeneity_p: float | None = None


def estimate(field: Contest, ours: Entry, theirs: Entry, *, pairs: int) -> Estimate:
    """Compare two policies.

    Paired: by the protocol's method (:mod:`vla_eval.judging.methods`), so that a certificate of the same
    pairs shows the same interval. Unpaired: Miettinen and Nurminen, from effective counts if states
    repeat, stratified if tasks differ in size.

    Args:
        field: all policies, with the protocol and its keys.
        ours: the first policy.
        theirs: the second policy.
        pairs: number of pairs of policies in the comparison, for the simultaneous interval.
    """
    levels = (0.05, 0.05 / pairs)
    paired = pairing(field, ours, theirs)
    if paired.objection:
        return _unpaired(field, ours, theirs, levels, paired.objection)
    method = method_of(field, paired)
    unequal = method.agreement()
    return Estimate(
        method.name,
        method.difference,
        method.interval(levels[0]),
        method.interval(levels[1]),
        method.p_different(),
        table=method.table,
        heterogeneity_p=unequal.p if unequal else None,
    )


def pairing(field: Contest, ours: Entry, theirs: Entry) -> Pairing:
    """Pair two policies on the plan."""
    return ledger.pair(field.keys, ours.episodes, theirs.episodes)


def method_of(field: Contest, found: Pairing) -> JudgingMethod:
    """Return the protocol's method for successes on these pairs."""
    protocol = field.protocol
    # A ranking is of success rates, also where certificates judge another measure.
    analysis = protocol.analysis.model_copy(update={"measure": None})
    return judging(found.outcomes(), analysis, judged_by(protocol))


def _unpaired(
    field: Contest, ours: Entry, theirs: Entry, levels: tuple[float, float], reason: str
) -> Estimate:
    by_task = _strata(ours, theirs)
    strata, declared = list(by_task.values()), field.protocol.analysis.weights
    sizes = {(n1, n2) for _, n1, _, n2 in strata}
    repeats = field.protocol.analysis.cluster != "none"
    if (len(sizes) > 1 or declared) and not repeats:
        parts = [1.0 if declared is None else declared[task] for task in by_task]
        weights = [part / sum(parts) for part in parts]
        difference = sum(
            weight * (x1 / n1 - x2 / n2)
            for weight, (x1, n1, x2, n2) in zip(weights, strata, strict=True)
        )
        z = stratified_independent_z(strata, 0.0, weights=weights)
        limits = [
            stratified_independent_interval(strata, alpha=level, weights=weights)
            for level in levels
        ]
        method = "Miettinen-Nurminen by task"
    else:
        (x1, n1), (x2, n2) = (_counts(entry, repeats=repeats) for entry in (ours, theirs))
        difference = x1 / n1 - x2 / n2
        z = miettinen_nurminen_z(x1, n1, x2, n2, 0.0)
        limits = [miettinen_nurminen_interval(x1, n1, x2, n2, alpha=level) for level in levels]
        method = "Miettinen-Nurminen, effective counts" if repeats else "Miettinen-Nurminen"
    p = min(1.0, 2 * normal_sf(abs(z)))
    return Estimate(method, difference, limits[0], limits[1], p, unpaired_because=reason)


def _counts(entry: Entry, *, repeats: bool) -> tuple[float, float]:
    """Return (successes, episodes), divided by the variance inflation where states repeat."""
    states = entry.episodes.by_state() if repeats else None
    return (
        (float(entry.episodes.successes), float(entry.episodes.n))
        if states is None
        else states.effective
    )


def _strata(ours: Entry, theirs: Entry) -> dict[str, tuple[float, int, float, int]]:
    """Return (x1, n1, x2, n2) of every task that both ran."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for offset, entry in ((0, ours), (2, theirs)):
        for record in entry.records:
            cell = counts[f"{record.suite}/{record.task}"]
            cell[offset] += won(record)
            cell[offset + 1] += 1
    return {task: (x1, n1, x2, n2) for task, (x1, n1, x2, n2) in counts.items() if n1 and n2}
