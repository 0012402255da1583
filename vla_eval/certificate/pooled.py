"""Several runs of the same arms on different states, admitted as one body of evidence.

Each run is admitted by itself first. Together they are refused unless the protocols agree in everything
but their name, states and seeds, the policies are the same, and no initial state is in two runs: a
second run of the same states is no independent evidence.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vla_eval.certificate.comparison import Level, cases
from vla_eval.certificate.evidence import Evidence, gather, refuse_mixed_simulators
from vla_eval.certificate.parts import RunPart
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.files.differences import name_differences
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.resizing import decides_by_pairs
from vla_eval.judging.roles import Roles
from vla_eval.protocol import Protocol

__all__ = ["gather_all", "parts_of"]

_NAMES = ("protocol", "version", "title", "source", "leaves_open", "overrides")
"""Fields of a protocol that may differ between runs that are pooled, beside states and seeds."""


def gather_all(paths: Sequence[Path], roles: Roles) -> Evidence:
    """Admit the evidence of one run, or of several together.

    Args:
        paths: the run folders, in any order.
        roles: the role of each arm, the same in all runs.

    Raises:
        RunFolderError: a run cannot be admitted, or the runs do not belong together.
        UsageError: the roles cannot be filled, or a run is sequential.
    """
    runs = [gather(path, roles) for path in paths]
    if len(runs) == 1:
        return runs[0]
    runs.sort(key=lambda run: datetime.fromisoformat(run.first_attempt_at))
    for run in runs[1:]:
        _refuse_other_plan(runs[0], run)
        _refuse_other_policies(runs[0], run)
    _refuse_states_twice(runs)
    pooled = replace(
        runs[0],
        keys=tuple(key for run in runs for key in run.keys),
        arms={name: _merged([run.arms[name] for run in runs]) for name in roles.names},
        records_sha256=_digest(run.records_sha256 for run in runs),
        timings_sha256=_digest(run.timings_sha256 for run in runs),
        sessions={slot: call for run in runs for slot, call in run.sessions.items()},
        parts=tuple(runs),
    )
    refuse_mixed_simulators(runs[0].path, pooled)
    return pooled


def _digest(hashes: Any) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _merged(arms: Sequence[ArmEpisodes]) -> ArmEpisodes:
    reasons: Counter[str] = Counter()
    for arm in arms:
        reasons.update(arm.error_reasons)
    return ArmEpisodes(
        arms[0].name,
        {key: record for arm in arms for key, record in arm.finals.items()},
        missing=tuple(key for arm in arms for key in arm.missing),
        retried=frozenset().union(*(arm.retried for arm in arms)),
        attempts=sum(arm.attempts for arm in arms),
        error_reasons=reasons,
    )


def _shape(protocol: Protocol) -> dict[str, Any]:
    """Return all of a protocol that runs must share to be pooled."""
    shape = protocol.model_dump(mode="json", exclude_none=True, exclude=set(_NAMES))
    total = sum(len(block.init_state_numbers()) for block in protocol.blocks)
    for block, dumped in zip(protocol.blocks, shape["blocks"], strict=True):
        dumped["init_states"] = f"{len(block.init_state_numbers()) / total:.6f} of all states"
    for seeds in ("env_seeds", "policy_seeds"):
        shape["run"][seeds] = f"{len(shape['run'][seeds])} seeds"
    return shape


def _refuse_other_plan(first: Evidence, run: Evidence) -> None:
    if decides_by_pairs(first.protocol):
        raise UsageError(
            f"{first.path}: is a run with looks or a resized one, which is judged alone; only runs of fixed size are "
            "judged together"
        )
    measure = first.protocol.analysis.measure
    if measure is not None:
        raise UsageError(
            f"{first.path}: its protocol judges '{measure}'; only runs that judge successes are judged "
            "together"
        )
    ours, theirs = _shape(first.protocol), _shape(run.protocol)
    if ours != theirs:
        raise RunFolderError(
            f"{first.path} and {run.path} cannot be judged together: their protocols may differ in "
            f"states and seeds only ({name_differences(ours, theirs)})"
        )


def _refuse_other_policies(first: Evidence, run: Evidence) -> None:
    for name in first.roles.names:
        ours, theirs = (each.arm(name).identity or {} for each in (first, run))
        if ours != theirs:
            raise RunFolderError(
                f"arm '{name}' is another policy in {run.path} than in {first.path} "
                f"({name_differences(ours, theirs)}); only runs of the same policies are judged together"
            )


def _refuse_states_twice(runs: Sequence[Evidence]) -> None:
    home: dict[tuple[str, str, int], Evidence] = {}
    for run in runs:
        for state in {(key.suite, key.task, key.init_state) for key in run.keys}:
            if state in home:
                raise RunFolderError(
                    f"initial state {state[2]} of {state[0]}/{state[1]} is in {home[state].path} and in "
                    f"{run.path}: the same state again is no new evidence; pool runs on other states"
                )
            home[state] = run


def parts_of(evidence: Evidence, level: Level) -> tuple[RunPart, ...]:
    """Return the runs with their e-values; empty for a single run."""
    candidate = evidence.roles.candidate
    parts = []
    for run in evidence.parts:
        observed, worst, _ = cases(run, candidate)
        parts.append(
            RunPart(
                protocol=run.protocol.label,
                protocol_sha256=run.protocol.sha256,
                records_sha256=run.records_sha256,
                first_episode_at=run.first_attempt_at,
                pairs=observed.table.n,
                difference=observed.difference,
                e_value=worst.e_value(-level.margin),
            )
        )
    return tuple(parts)
