"""Ranking of the policies: all pairs, adjusted; letters; Pareto-optimal policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from vla_eval.compare.gather import Contest, Entry
from vla_eval.compare.pairwise import estimate, pairing
from vla_eval.compare.results import PairResult, RankedArm, Ranking
from vla_eval.errors import UsageError
from vla_eval.judging.curves import Curves, curves_of, differences_within
from vla_eval.judging.ledger import won
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.timings import inference_ms, quantile
from vla_eval.judging.virtual import VirtualArm
from vla_eval.stats import benjamini_hochberg, cochran_q, compact_letters, holm

__all__ = ["compare"]


def compare(field: Contest, *, alpha: float = 0.05) -> Ranking:
    """Compare all policies with each other.

    Args:
        field: the policies.
        alpha: probability of any false difference among all pairs (Holm).

    Raises:
        UsageError: a policy has no finished episode.
    """
    for entry in field.entries:
        if not entry.episodes.n:
            raise UsageError(f"arm '{entry.name}' has no finished episode; leave it out with --arm")
    arms = sorted((_arm(field, entry) for entry in field.entries), key=lambda arm: -arm.rate)
    entries = {entry.name: entry for entry in field.entries}
    pairs = _pairs(field, [entries[arm.name] for arm in arms], alpha)
    different = [(pair.first, pair.second) for pair in pairs if pair.differ]
    letters = compact_letters([arm.name for arm in arms], different)
    best = _pareto(arms)
    tasks = {f"{key.suite}/{key.task}": None for key in field.keys}
    return Ranking(
        protocol=field.protocol,
        alpha=alpha,
        planned=len(field.keys),
        arms=tuple(
            replace(arm, letters=letters[arm.name], pareto=best.get(arm.name)) for arm in arms
        ),
        pairs=tuple(pairs),
        cochran=_cochran(field),
        tasks=tuple(tasks),
        warnings=tuple(_warnings(field, pairs)),
        curves=_curves(field, arms),
    )


def _arm(field: Contest, entry: Entry) -> RankedArm:
    episodes, analysis = entry.episodes, field.protocol.analysis
    records, times = entry.records, inference_ms(entry.records)
    states = episodes.by_state() if analysis.cluster != "none" else None
    inferences = sum(record.inferences for record in records)
    virtual = VirtualArm.of(records, entry.arm.identity)
    declared_us = None if virtual is None else virtual.latency_us
    return RankedArm(
        name=entry.name,
        spec=entry.arm.spec,
        folders=entry.folders,
        n=episodes.n,
        successes=episodes.successes,
        wilson95=rate_interval(episodes, analysis),
        vif=None if states is None else states.vif,
        missing=len(episodes.missing) + len(episodes.pending),
        mean_score=sum(record.score for record in records) / len(records),
        infer_ms=quantile(times, 0.5) if declared_us is None else declared_us / 1e3,
        infer_ms_p95=quantile(times, 0.95) if declared_us is None else None,
        nfe=sum(record.nfe for record in records) / inferences if inferences else None,
        letters="",
        pareto=None,
        tasks={name: (task.successes, task.n) for name, task in episodes.by_task().items()},
        virtual=virtual,
    )


def _pairs(field: Contest, entries: Sequence[Entry], alpha: float) -> list[PairResult]:
    couples = list(combinations(entries, 2))
    estimates = [estimate(field, first, second, pairs=len(couples)) for first, second in couples]
    p_values = [pair.p for pair in estimates]
    return [
        PairResult(
            first=first.name,
            second=second.name,
            table=pair.table,
            unpaired_because=pair.unpaired_because,
            method=pair.method,
            difference=pair.difference,
            ci95=pair.ci95,
            simultaneous95=pair.simultaneous95,
            p=pair.p,
            p_holm=adjusted,
            q_bh=screened,
            differ=adjusted < alpha,
            heterogeneity_p=pair.heterogeneity_p,
            within=()
            if pair.table is None
            else differences_within(
                field.protocol,
                field.keys,
                first.episodes,
                second.episodes,
                comparisons=len(couples),
            ),
        )
        for (first, second), pair, adjusted, screened in zip(
            couples, estimates, holm(p_values), benjamini_hochberg(p_values), strict=True
        )
    ]


def _pareto(arms: Sequence[RankedArm]) -> dict[str, bool]:
    """Return for each policy with times whether no other policy is both as successful and as fast."""
    timed = [(arm.name, arm.rate, arm.infer_ms) for arm in arms if arm.infer_ms is not None]
    return {
        name: not any(
            other_rate >= rate and other_ms <= ms and (other_rate, other_ms) != (rate, ms)
            for _, other_rate, other_ms in timed
        )
        for name, rate, ms in timed
    }


def _curves(field: Contest, arms: Sequence[RankedArm]) -> Curves | None:
    """Return the curves under the policies' names here, best policy first."""
    episodes = {entry.name: replace(entry.episodes, name=entry.name) for entry in field.entries}
    return curves_of(field.protocol, [episodes[arm.name] for arm in arms])


def _cochran(field: Contest) -> tuple[float, float] | None:
    """Return Cochran's Q and its p-value if episodes are independent and all can be paired."""
    if field.protocol.analysis.cluster != "none":
        return None
    first, *others = field.entries
    if any(pairing(field, first, other).objection for other in others):
        return None
    finals = [entry.episodes.finals for entry in field.entries]
    common = [key for key in field.keys if all(key in records for records in finals)]
    return cochran_q(np.array([[won(records[key]) for records in finals] for key in common]))


def _warnings(field: Contest, pairs: Sequence[PairResult]) -> list[str]:
    records = [record for entry in field.entries for record in entry.records]
    standins = sum(1 for record in records if record.provenance.get("standins"))
    warnings = []
    if standins:
        warnings.append(f"{standins} episodes ran on STAND-IN ASSETS: not for publishing.")
    warnings += [
        f"{entry.name}: its server does not say which policy it serves; the policy is unknown."
        for entry in field.entries
        if any(not record.policy_known for record in entry.records)
    ]
    if field.protocol.analysis.measure is not None:
        warnings.append(
            f"Success rates are ranked; the protocol's certificates judge another measure "
            f"('{field.protocol.analysis.measure}')."
        )
    if field.protocol.overrides:
        warnings.append(f"The protocol was modified on the command line: {field.protocol.changes}.")
    warnings += [
        (
            f"{entry.name}: of {len(field.keys)} planned episodes {len(entry.episodes.pending)} were "
            f"not run and {len(entry.episodes.missing)} ended in infrastructure errors; they are in no "
            "rate."
        )
        for entry in field.entries
        if entry.episodes.pending or entry.episodes.missing
    ]
    warnings += [f"Not deterministic: {text}." for text in field.contradictions[:3]]
    unpaired = dict.fromkeys(pair.unpaired_because for pair in pairs if pair.unpaired_because)
    warnings += [f"Not paired, so intervals are wider: {reason}." for reason in unpaired]
    warnings += [
        f"{entry.name}: {len(entry.episodes.retried)} results came after an attempt that was lost while "
        "the policy ran; they are counted as they came."
        for entry in field.entries
        if entry.episodes.retried
    ]
    return warnings
