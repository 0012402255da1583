"""Paired counts of each arm and task, from the records of runs of one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_eval.analysis import Analysis
from vla_eval.compare import Contest, Entry, gather
from vla_eval.compare.pairwise import pairing
from vla_eval.errors import UsageError, did_you_mean
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Outcome
from vla_eval.judging.methods import judging
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.timings import inference_ms, quantile
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import refuse_unidentified

__all__ = ["CELLS", "REFERENCE", "collect"]

REFERENCE = "fm-10"
"""Name of the arm that every arm is paired with."""
CELLS = ("n11", "n10", "n01", "n00")
"""Counts of pairs; the first digit is the arm, the second the reference, 1 is success."""


def collect(paths: Sequence[Path]) -> dict[str, Any]:
    """Return the counts of runs of one protocol, by arm and task, paired with the reference.

    Raises:
        UsageError: there is no reference, an arm is incomplete or unidentified, an episode ended twice
            and differently, or scenes of a pair differ.
    """
    contest = gather(paths)
    if contest.contradictions:
        raise UsageError(contest.contradictions[0])
    entries = {entry.name: entry for entry in contest.entries}
    if REFERENCE not in entries:
        raise UsageError(
            f"{', '.join(map(str, paths))}: no arm is called '{REFERENCE}', with which all arms are "
            f"paired{did_you_mean(REFERENCE, entries)}"
        )
    header = RunFolder.open(paths[0]).header
    run = contest.protocol.run
    return {
        "protocol": {"label": contest.protocol.label, "sha256": header.protocol_sha256},
        "versions": dict(header.versions),
        "repeats": len(run.env_seeds) * len(run.policy_seeds),
        "arms": {name: _arm(contest, entry, entries[REFERENCE]) for name, entry in entries.items()},
    }


def _arm(contest: Contest, entry: Entry, reference: Entry) -> dict[str, Any]:
    episodes, records = entry.episodes, entry.records
    if episodes.n != len(contest.keys):
        raise UsageError(
            f"arm '{entry.name}' has results of {episodes.n} of {len(contest.keys)} episodes; continue "
            f"its run ({', '.join(entry.folders)}) before its numbers are published"
        )
    refuse_unidentified(entry.arm)
    return {
        "spec": entry.arm.spec,
        "weights_sha256": (entry.arm.identity or {})["weights_sha256"],
        "nfe": sum(record.nfe for record in records) / sum(record.inferences for record in records),
        "infer_ms_p50": round(quantile(inference_ms(records), 0.5) or 0.0, 1),
        "tasks": _tasks(contest, entry, reference),
    }


def _tasks(contest: Contest, entry: Entry, reference: Entry) -> dict[str, Any]:
    """Return an arm's pairs with the reference by task, as the ledger counts them."""
    pairs = pairing(contest, entry, reference)
    if pairs.objection:
        raise UsageError(f"arms '{entry.name}' and '{reference.name}': {pairs.objection}")
    analysis = contest.protocol.analysis
    outcomes = ledger.by_task(pairs.outcomes())
    tasks = {
        name.partition("/")[2]: _counts(arm, outcomes[name], analysis)
        for name, arm in pairs.candidate.by_task().items()
    }
    return dict(sorted(tasks.items()))


def _counts(arm: ArmEpisodes, outcomes: Sequence[Outcome], analysis: Analysis) -> dict[str, Any]:
    """Return the pairs of one task; where initial states repeat, with the intervals by state."""
    scores = [record.score for record in arm.finals.values()]
    counts = {
        **asdict(ledger.table(outcomes)),
        "mean_score": round(sum(scores) / len(scores), 4),
    }
    if analysis.cluster == "none":
        return counts
    return {
        **counts,
        "wilson95": [round(limit, 4) for limit in rate_interval(arm, analysis)],
        "ci95": [round(limit, 4) for limit in judging(outcomes, analysis).interval(0.05)],
    }
