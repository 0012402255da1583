"""Whole certifications of simulated policies whose true success is known: records, store, certify.

Each repetition writes one record an episode with the store's own writer, and `issue` judges the
folder as `vlaeval certify` does: it reads, checks hashes, chains, scenes and looks, and decides. Two
truths: the candidate is worse by exactly the margin, where every certificate is false, and parity,
where the planned power has to be reached. The control judges a run of fixed size after every fifth
of it and stops at the first certificate, which `certify` refuses to do.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from bars import Bar

from vla_eval.certificate import Certificate, Roles, issue
from vla_eval.judging.look_files import take_looks
from vla_eval.judging.looks import sequential_plan
from vla_eval.keys import EpisodeKey
from vla_eval.plan import Shard, expand, look_sizes
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import RecordWriter
from vla_eval.stats import Decision, Judgement, PairedCase, operating_characteristics, power_paired

PAIRS, MARGIN, RATE, CORRELATION = 100, 0.10, 0.9, 0.3
ALPHA = 0.05
ARMS = ("candidate", "reference")


def fixed(null: int = 2000, parity: int = 1000) -> Iterator[Bar]:
    """100 pairs at a margin of 10 points, judged once by `certify`, reference success 0.9.

    Args:
        null: certifications of a candidate that is worse by exactly the margin.
        parity: certifications of a candidate as good as the reference.
    """
    false = _certified("fixed", worse_by=MARGIN, repetitions=null, seed=110)
    yield _false("false certificates, fixed N, certify end to end", false, null)
    case = PairedCase(RATE, 0.0, CORRELATION)
    planned = power_paired(PAIRS, case, margin=MARGIN, alpha=ALPHA, guard=True)
    found = _certified("fixed", worse_by=0.0, repetitions=parity, seed=111)
    yield _planned("power at parity, fixed N, certify end to end", found, planned, parity)


def sequential(null: int = 2000, parity: int = 1000) -> Iterator[Bar]:
    """The same in five looks of up to 100 pairs; see :func:`fixed`."""
    with Simulation.open("obrien-fleming-5") as simulation:
        plan = sequential_plan(simulation.protocol)
    if plan is None:
        raise AssertionError
    outlook = operating_characteristics(plan, PairedCase(RATE, 0.0, CORRELATION))
    false = _certified("obrien-fleming-5", worse_by=MARGIN, repetitions=null, seed=112)
    yield _false("false certificates, five looks, certify end to end", false, null)
    found = _certified("obrien-fleming-5", worse_by=0.0, repetitions=parity, seed=113)
    yield _planned(
        "power at parity, five looks, certify end to end", found, outlook.certified, parity
    )


def peeking(repetitions: int = 400) -> Iterator[Bar]:
    """The control: after every fifth the pairs so far, judged as if they were all that was planned."""
    rng = np.random.default_rng(114)
    sizes = [PAIRS * look // 5 for look in range(1, 6)]
    opened = [Simulation.open("fixed", pairs=size) for size in sizes]
    false = 0
    try:
        for _ in range(repetitions):
            outcomes = draw(rng, MARGIN)
            false += any(
                holds(each.certify(outcomes[:size]))
                for each, size in zip(opened, sizes, strict=True)
            )
    finally:
        for each in opened:
            each.close()
    share = false / repetitions
    yield _false("false certificates, peeking after every fifth", share, repetitions, control=True)


def _false(what: str, share: float, repetitions: int, *, control: bool = False) -> Bar:
    return Bar(what, share, high=ALPHA + 3 * _error(ALPHA, repetitions), control=control)


def _planned(what: str, found: float, planned: float, repetitions: int) -> Bar:
    return Bar(what, found, low=planned - 3 * _error(planned, repetitions))


def _error(share: float, repetitions: int) -> float:
    return math.sqrt(share * (1 - share) / repetitions)


def _certified(stopping: str, *, worse_by: float, repetitions: int, seed: int) -> float:
    """Return the share of the repetitions in which the claim was certified."""
    rng = np.random.default_rng(seed)
    with Simulation.open(stopping) as simulation:
        return float(
            np.mean([holds(simulation.certify(draw(rng, worse_by))) for _ in range(repetitions)])
        )


def draw(rng: np.random.Generator, worse_by: float) -> np.ndarray:
    """Return (pairs, 2) outcomes, candidate and reference, correlated as policies are."""
    case = PairedCase(RATE, -worse_by, CORRELATION)
    both = case.p_candidate - case.p10
    chances = [both, case.p10, case.p01, 1 - both - case.p10 - case.p01]
    cells = np.array([(1, 1), (1, 0), (0, 1), (0, 0)], dtype=bool)
    return cells[rng.choice(4, PAIRS, p=chances)]


def holds(certificate: Certificate) -> bool:
    """Whether the claim was certified."""
    return Judgement(certificate.verdict).noninferior


@dataclass
class Simulation:
    """A run folder whose episodes are written anew for each repetition."""

    folder: RunFolder
    records: dict[tuple[str, EpisodeKey, bool], EpisodeRecord]
    place: tempfile.TemporaryDirectory[str]
    keys: list[EpisodeKey]

    @classmethod
    def open(cls, stopping: str, pairs: int = PAIRS) -> Simulation:
        """Create the run, in memory where the system has such a place: every record is synced."""
        memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
        place = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        protocol = protocol_of(stopping, pairs)
        specs = dict.fromkeys(ARMS, "random")
        folder, lock = RunFolder.enter(Path(place.name) / "run", protocol, specs, Shard(1, 1))
        lock.release()
        metadata = PolicyMetadata("simulated", "simulated", chunk_size=1, n_action_steps=1)
        hashes = folder.identify(dict.fromkeys(ARMS, metadata))
        keys = [episode.key for episode in expand(protocol)]
        records = {
            (arm, key, won): _record(arm, key, protocol.sha256, hashes[arm], won=won)
            for arm in ARMS
            for key in keys
            for won in (True, False)
        }
        return cls(folder, records, place, keys)

    @property
    def protocol(self) -> Protocol:
        """What is run."""
        return self.folder.header.protocol

    def certify(self, outcomes: np.ndarray) -> Certificate:
        """Write the outcomes as a run would, look after look until it stops, and judge the folder."""
        for file in [*self.folder.episodes.glob("*.jsonl"), *self.folder.path.glob("looks/*")]:
            file.unlink()
        written = 0
        with RecordWriter(self.folder.episodes / "20260101T000000-0-0001-w0.jsonl") as writer:
            for size in look_sizes(self.protocol):
                for key, pair in zip(self.keys[written:size], outcomes[written:size], strict=True):
                    for arm, won in zip(ARMS, pair, strict=True):
                        writer.append(self.records[arm, key, bool(won)])
                written = size
                looks = take_looks(self.folder)
                if looks and looks[-1].decision is not Decision.CONTINUE:
                    break
        return issue(self.folder.path, Roles(*ARMS))

    def close(self) -> None:
        """Remove the folder."""
        self.place.cleanup()

    def __enter__(self) -> Self:
        """Use the simulation in a ``with`` statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self.close()


def protocol_of(stopping: str, pairs: int) -> Protocol:
    """Return a protocol of four tasks."""
    tasks = 4
    content = {
        "schema_version": 1,
        "protocol": "simulated",
        "version": 1,
        "title": "simulated policies",
        "source": "tools/validation/endtoend.py",
        "blocks": [
            {
                "suite": "simulated",
                "env_id": "simulated:{task}-v0",
                "tasks": [f"task{number}" for number in range(tasks)],
                "init_states": {"count": pairs // tasks},
                "max_steps": 1,
            }
        ],
        "run": {"order": "round-robin"},
        "analysis": {
            "estimand": "difference in success rate",
            "margin": MARGIN,
            "margin_reason": "a validation",
            "alpha": ALPHA,
            "stopping": stopping,
            "secondary": ["latency"],
        },
    }
    return parse_protocol(content, "simulated")


def _record(
    arm: str, key: EpisodeKey, protocol_sha256: str, policy_sha256: str, *, won: bool
) -> EpisodeRecord:
    return EpisodeRecord(
        arm=arm,
        suite=key.suite,
        task=key.task,
        init_state=key.init_state,
        env_seed=key.env_seed,
        policy_seed=key.policy_seed,
        env_id=f"simulated:{key.task}-v0",
        outcome="success" if won else "failure",
        reason=None if won else "time_limit",
        score=float(won),
        steps=1,
        scene_hash=f"{key.task}-{key.init_state}",
        protocol_sha256=protocol_sha256,
        policy_sha256=policy_sha256,
        timing=Timing(started_at=datetime.now(UTC).isoformat(timespec="milliseconds")),
    )
