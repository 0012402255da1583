"""Run folders that no policy ran: records with random outcomes and times, for benchmarks of their readers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vla_eval.plan import PlannedEpisode, expand
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.header import Arm, RunHeader, identity_sha256
from vla_eval.runs.provenance import versions
from vla_eval.runs.store import RecordWriter

__all__ = ["make_run"]

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_SESSION = "00000000"
_PER_WRITE = 500
_STEPS_PER_INFERENCE = 10


def make_run(folder: Path, protocol: Protocol, rates: Mapping[str, float]) -> int:
    """Write a complete run of a protocol; return the number of its records.

    Arms win an episode independently of each other, at any control step from the 60th to the time limit,
    and infer after every ten steps.

    Args:
        folder: a new folder.
        protocol: what was run.
        rates: the arms' success rates; the candidate first, then the reference.
    """
    arms = [
        Arm(
            name=name, spec="hold", identity={"name": name, "spec": "hold", "code_sha256": "0" * 64}
        )
        for name in rates
    ]
    header = RunHeader(
        status="complete",
        protocol_sha256=protocol.sha256,
        protocol=protocol,
        arms=tuple(arms),
        created_at=_BEGAN.isoformat(),
        versions=versions(),
    )
    (folder / "episodes").mkdir(parents=True)
    (folder / "run.json").write_text(header.model_dump_json(indent=2) + "\n")
    (folder / "protocol.json").write_text(protocol.canonical_json() + "\n")
    rng, kept, count = random.Random(0), [], 0
    with RecordWriter(folder / f"episodes/20260101T000000-{_SESSION}-0001-w0.jsonl") as writer:
        for episode in expand(protocol):
            for arm in arms:
                kept.append(_record(rng, count, episode, arm, rates[arm.name], protocol.sha256))
                count += 1
            if len(kept) >= _PER_WRITE:
                writer.extend(kept)
                kept.clear()
        writer.extend(kept)
    return count


def _record(
    rng: random.Random, number: int, episode: PlannedEpisode, arm: Arm, rate: float, protocol: str
) -> EpisodeRecord:
    key, won = episode.key, rng.random() < rate
    steps = rng.randint(60, episode.max_steps) if won else episode.max_steps
    inferences = -(-steps // _STEPS_PER_INFERENCE)
    infer_ms = tuple(round(rng.uniform(40, 60), 4) for _ in range(inferences))
    return EpisodeRecord(
        arm=arm.name,
        suite=key.suite,
        task=key.task,
        init_state=key.init_state,
        env_seed=key.env_seed,
        policy_seed=key.policy_seed,
        env_id=episode.env_id,
        instruction="pick up the block and put it into the box",
        outcome="success" if won else "failure",
        reason=None if won else "time_limit",
        score=float(won),
        steps=steps,
        inferences=inferences,
        nfe=10 * inferences,
        scene_hash=hashlib.sha256(str(key).encode()).hexdigest(),
        end_hash=rng.randbytes(32).hex(),
        actions_sha256=rng.randbytes(32).hex(),
        provenance={"mujoco": "3.3.2", "gl": "egl", "standins": False},
        protocol_sha256=protocol,
        policy_sha256=identity_sha256(arm.identity or {}),
        timing=Timing(
            started_at=(_BEGAN + timedelta(seconds=10 * number)).isoformat(timespec="milliseconds"),
            wall_s=9.0,
            reset_s=0.5,
            advance_s=2.5,
            observe_s=4.0,
            infer_s=round(sum(infer_ms) / 1e3, 6),
            infer_ms=infer_ms,
            machine="made",
            session=_SESSION,
        ),
    )
