"""Two policies: paired where they saw the same scenes, with clusters and tasks respected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_eval.compare.gather import Entry, Field
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord
from vla_eval.stats import (
    ClusteredPairs,
    ClusteredRate,
    PairedTable,
    heterogeneity_paired,
    mcnemar_p,
    miettinen_nurminen_interval,
    miettinen_nurminen_z,
    stratified_independent_interval,
    stratified_independent_z,
    stratified_paired_interval,
    stratified_paired_z,
    tango_interval,
)
from vla_eval.stats._numeric import Interval, normal_sf

__all__ = ["Estimate", "clustered_pairs", "clustered_rate", "count", "estimate", "pairing"]


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


def estimate(field: Field, ours: Entry, theirs: Entry, *, pairs: int) -> Estimate:
    """Compare two policies.

    Paired: Tango's interval and McNemar's mid-p; with repeats of initial states Tango/√VIF; with
    tasks of different size the stratified score. Unpaired: Miettinen and Nurminen, from effective
    counts where states repeat, stratified where tasks differ in size.

    Args:
        field: for the protocol and its keys.
        ours: the first policy.
        theirs: the second.
        pairs: pairs of policies in the comparison, for the simultaneous interval.
    """
    levels = (0.05, 0.05 / pairs)
    records, reason = pairing(field.keys, ours, theirs)
    if reason:
        return _unpaired(field, ours, theirs, levels, reason)
    return _paired(field, records, levels)


def pairing(
    keys: Sequence[EpisodeKey], ours: Entry, theirs: Entry
) -> tuple[list[tuple[EpisodeRecord, EpisodeRecord]], str]:
    """Return the pairs of records, and why they may not be used as pairs, if so."""
    both = [key for key in keys if key in ours.finals and key in theirs.finals]
    records = [(ours.finals[key], theirs.finals[key]) for key in both]
    if not records:
        return [], "no episode was run by both"
    unknown = sum(not (one.scene_hash and other.scene_hash) for one, other in records)
    if unknown:
        return records, f"{unknown} of {len(records)} common episodes have no scene hash"
    unequal = sum(one.scene_hash != other.scene_hash for one, other in records)
    if unequal:
        return records, f"the scenes of {unequal} of {len(records)} common episodes differ"
    return records, ""


def _won(record: EpisodeRecord) -> bool:
    return record.outcome == "success"


def count(records: Sequence[tuple[EpisodeRecord, EpisodeRecord]]) -> PairedTable:
    """Return the counts of pairs of records."""
    outcomes = [(_won(one), _won(other)) for one, other in records]
    return PairedTable(
        n11=outcomes.count((True, True)),
        n10=outcomes.count((True, False)),
        n01=outcomes.count((False, True)),
        n00=outcomes.count((False, False)),
    )


def _paired(
    field: Field,
    records: list[tuple[EpisodeRecord, EpisodeRecord]],
    levels: tuple[float, float],
) -> Estimate:
    by_task: dict[str, list[tuple[EpisodeRecord, EpisodeRecord]]] = defaultdict(list)
    for each in records:
        by_task[f"{each[0].suite}/{each[0].task}"].append(each)
    table, strata = count(records), [count(each) for each in by_task.values()]
    clusters = clustered_pairs(records) if field.protocol.analysis.cluster != "none" else None
    unequal = len({stratum.n for stratum in strata}) > 1
    if clusters is not None:
        method = "Tango by initial state"
        difference, p = clusters.difference, _two_sided(clusters)
        limits = [clusters.interval(alpha=level) for level in levels]
    elif unequal:
        method = "stratified score by task"
        difference = float(np.mean([stratum.difference for stratum in strata]))
        p = 2 * normal_sf(abs(stratified_paired_z(strata, 0.0)))
        limits = [stratified_paired_interval(strata, alpha=level) for level in levels]
    else:
        method, difference, p = "Tango, McNemar mid-p", table.difference, mcnemar_p(table)
        limits = [tango_interval(table.n10, table.n01, table.n, alpha=level) for level in levels]
    agree = heterogeneity_paired(strata).p if len(strata) > 1 and clusters is None else None
    return Estimate(method, difference, limits[0], limits[1], p, table=table, heterogeneity_p=agree)


def clustered_pairs(
    records: Sequence[tuple[EpisodeRecord, EpisodeRecord]],
) -> ClusteredPairs | None:
    """Return the counts of each initial state, if there are several."""
    counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for one, other in records:
        cluster = counts[one.suite, one.task, one.init_state]
        cluster[0] += 1
        cluster[1] += _won(one) and not _won(other)
        cluster[2] += _won(other) and not _won(one)
    if len(counts) < 2:
        return None
    pairs, wins, losses = np.array(list(counts.values()), dtype=np.int64).T
    return ClusteredPairs(pairs, wins, losses)


def _two_sided(clusters: ClusteredPairs) -> float:
    better = clusters.p_noninferior(margin=0.0)
    return min(1.0, 2 * min(better, 1 - better))


def clustered_rate(finals: dict[EpisodeKey, EpisodeRecord]) -> ClusteredRate | None:
    """Return one policy's counts of each initial state, if there are several."""
    counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for record in finals.values():
        cluster = counts[record.suite, record.task, record.init_state]
        cluster[0] += 1
        cluster[1] += _won(record)
    if len(counts) < 2:
        return None
    episodes, successes = np.array(list(counts.values()), dtype=np.int64).T
    return ClusteredRate(episodes, successes)


def _unpaired(
    field: Field, ours: Entry, theirs: Entry, levels: tuple[float, float], reason: str
) -> Estimate:
    strata = _strata(ours, theirs)
    sizes = {(n1, n2) for _, n1, _, n2 in strata}
    rates = [clustered_rate(each.finals) for each in (ours, theirs)]
    repeats = field.protocol.analysis.cluster != "none" and None not in rates
    if len(sizes) > 1 and not repeats:
        weights = [1 / len(strata)] * len(strata)
        difference = sum(
            weight * (x1 / n1 - x2 / n2)
            for weight, (x1, n1, x2, n2) in zip(weights, strata, strict=True)
        )
        z = stratified_independent_z(strata, 0.0)
        limits = [stratified_independent_interval(strata, alpha=level) for level in levels]
        method = "Miettinen-Nurminen by task"
    else:
        x1, n1 = _totals(ours) if not repeats or rates[0] is None else rates[0].effective
        x2, n2 = _totals(theirs) if not repeats or rates[1] is None else rates[1].effective
        difference = x1 / n1 - x2 / n2
        z = miettinen_nurminen_z(x1, n1, x2, n2, 0.0)
        limits = [miettinen_nurminen_interval(x1, n1, x2, n2, alpha=level) for level in levels]
        method = "Miettinen-Nurminen, effective counts" if repeats else "Miettinen-Nurminen"
    p = min(1.0, 2 * normal_sf(abs(z)))
    return Estimate(method, difference, limits[0], limits[1], p, unpaired_because=reason)


def _totals(entry: Entry) -> tuple[float, float]:
    return float(sum(map(_won, entry.finals.values()))), float(len(entry.finals))


def _strata(ours: Entry, theirs: Entry) -> list[tuple[float, int, float, int]]:
    """Return (x1, n1, x2, n2) of every task that both ran."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for offset, entry in ((0, ours), (2, theirs)):
        for record in entry.finals.values():
            cell = counts[f"{record.suite}/{record.task}"]
            cell[offset] += _won(record)
            cell[offset + 1] += 1
    return [(x1, n1, x2, n2) for x1, n1, x2, n2 in counts.values() if n1 and n2]
