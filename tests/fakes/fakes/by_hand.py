"""A run that was laid out by hand: four different cells, two tasks, missing and retried episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla_eval.certificate import Evidence, Roles
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.paired_file import PairedResult
from vla_eval.keys import EpisodeKey
from vla_eval.plan import Shard, expand
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.record import EpisodeRecord, ErrorDetail, Timing
from vla_eval.runs.folder import Arm, RunFolder, RunHeader
from vla_eval.runs.store import Records, RecordWriter
from vla_eval.stats import Standing

__all__ = [
    "ALPHA",
    "CELLS",
    "MARGIN",
    "Run",
    "bare_record",
    "laid_out",
    "paired_result",
    "protocol_of",
    "run_of_two",
    "small_protocol",
    "write_results",
]

CELLS = {"A": {"11": 15, "10": 2, "01": 4, "00": 7}, "B": {"11": 9, "10": 5, "01": 1, "00": 3}}
"""Episodes with two results, candidate first; each task has two more without one."""
MARGIN, ALPHA = 0.3, 0.02


def protocol_of(**analysis) -> Protocol:
    tasks = {name: sum(cells.values()) + 2 for name, cells in CELLS.items()}
    data = {
        "schema_version": 1,
        "protocol": "by-hand",
        "version": 1,
        "title": "by hand",
        "source": "tests",
        "blocks": [
            {
                "suite": "s",
                "env_id": "m:{task}-v0",
                "tasks": [name],
                "init_states": {"first": 100 * place, "count": count},
                "max_steps": 50,
            }
            for place, (name, count) in enumerate(tasks.items())
        ],
        "run": {"limits": {"error_cap": 0.5}, "env_seeds": [6], "policy_seeds": [8]},
        "analysis": {
            "estimand": "e",
            "margin": MARGIN,
            "margin_reason": "because",
            "alpha": ALPHA,
            **analysis,
        },
    }
    return parse_protocol(data, "here")


class Run:
    """Evidence in the making: attempts, one after the other."""

    def __init__(self, protocol: Protocol, **identity) -> None:
        self.protocol, self.records, self.second = protocol, Records(), 0
        self.keys = tuple(episode.key for episode in expand(protocol))
        self.identity = identity

    def attempt(self, arm: str, key: EpisodeKey, outcome: str, **changes) -> None:
        """Add an attempt, a second after the last one; its numbers follow from arm and state."""
        self.second += 1
        minutes, seconds = divmod(self.second, 60)
        timing = Timing(
            started_at=f"2026-01-01T10:{minutes:02}:{seconds:02}+00:00",
            infer_ms=changes.pop("infer_ms", ()),
            session=changes.pop("session", "s"),
            max_batch=changes.pop("max_batch", 1),
        )
        score = float(outcome == "success")
        values = {
            "reason": None if score else "time_limit",
            "score": score or (key.init_state % 4) / 8,
            "steps": 10 + key.init_state % 7,
            "inferences": 2,
            "nfe": 2 * len(arm),
            "clipped_actions": 3,
            "scene_hash": f"{key.task}{key.init_state}",
            "provenance": {},
        }
        record = EpisodeRecord(
            arm=arm,
            suite=key.suite,
            task=key.task,
            init_state=key.init_state,
            env_seed=key.env_seed,
            policy_seed=key.policy_seed,
            env_id="m:x-v0",
            outcome=outcome,
            protocol_sha256=self.protocol.sha256,
            policy_sha256="0" * 64,
            timing=timing,
            **(values | changes),
        )
        self.records.add(record, "here")

    def lost(self, arm: str, key: EpisodeKey, reason: str, inferences: int, attempt: int) -> None:
        """Add an attempt that ended in an error."""
        error = ErrorDetail(type="E", message=f"{attempt}")
        changes = {"reason": reason, "inferences": inferences, "error": error, "attempt": attempt}
        self.attempt(arm, key, "error", **changes)

    def write(self, path: Path, *arms: str, weights: Mapping[str, str] | None = None) -> RunFolder:
        """Write the attempts as a run of these arms, of one policy with the given hashes of weights."""
        specs = dict.fromkeys(arms, "random")
        folder, lock = RunFolder.enter(path, self.protocol, specs, Shard(1, 1))
        lock.release()
        metadata = PolicyMetadata("by-hand", "by-hand", chunk_size=1, n_action_steps=1)
        given = weights or {}
        policies = {arm: replace(metadata, weights_sha256=given.get(arm)) for arm in arms}
        hashes = folder.identify(policies)
        with RecordWriter(folder.episodes / "20260101T000000-s-0001-w0.jsonl") as writer:
            for record in self.records.attempts:
                if record.arm in hashes:
                    changes = {"policy_sha256": hashes[record.arm]}
                    writer.append(record.model_copy(update=changes))
        return folder

    def evidence(self, roles: Roles, *others: str) -> Evidence:
        arms = [Arm(name=name, spec=f"spec:{name}", identity={"name": name, **self.identity})
                for name in (*roles.names, *others)]  # fmt: skip
        return Evidence(
            header=RunHeader(
                status="complete",
                protocol_sha256=self.protocol.sha256,
                protocol=self.protocol,
                arms=tuple(arms),
                created_at="2026-01-01T00:00:00+00:00",
            ),
            roles=roles,
            keys=self.keys,
            arms={name: ArmEpisodes.of(self.records, name, self.keys) for name in roles.names},
            records_sha256="1" * 64,
            timings_sha256="2" * 64,
            first_attempt_at="2026-01-01T10:00:01+00:00",
            sessions={slot: self.records.sessions[slot] for slot in self.records.final},
        )


def laid_out(protocol: Protocol, **identity) -> Run:
    """Two results in most episodes; one missing of each arm, two retried, and a control that fails."""
    run = Run(protocol, **identity)
    for task, cells in CELLS.items():
        keys = [key for key in run.keys if key.task == task]
        places = iter(keys)
        for cell, count in cells.items():
            for _ in range(count):
                key = next(places)
                for arm, won in zip(("student", "teacher"), cell, strict=True):
                    run.attempt(arm, key, "success" if won == "1" else "failure")
        first, second = places
        # The candidate lacks the first, the reference the second; the other arm succeeded.
        run.attempt("teacher", first, "success")
        run.attempt("student", second, "success")
        for attempt in (1, 2):
            run.lost("student", first, "env_error", 0, attempt)
            run.lost("teacher", second, "env_timeout", 0, attempt)
    key_a, key_b = run.keys[0], run.keys[1]  # two of the first cell: both arms succeeded
    run.lost("student", key_a, "policy_error", 1, 1)
    run.lost("teacher", key_b, "env_error", 0, 1)
    for index, key in enumerate(run.keys):
        run.attempt("bad", key, "success" if index % 10 == 0 else "failure")
    return run


def small_protocol(
    tasks: int, states: int, *, run: dict[str, Any] | None = None, max_steps=(40,), **analysis
) -> Protocol:
    """A protocol of some tasks with as many states each, in rounds over the tasks."""
    limits = [max_steps[index % len(max_steps)] for index in range(tasks)]
    data = {
        "schema_version": 1,
        "protocol": "by-hand",
        "version": 1,
        "title": "t",
        "source": "s",
        "blocks": [
            {
                "suite": "s",
                "env_id": "m:{task}-v0",
                "tasks": [f"T{index}"],
                "init_states": {"count": states},
                "max_steps": limit,
            }
            for index, limit in enumerate(limits)
        ],
        "run": {"order": "round-robin", "limits": {"error_cap": 0.0}, **(run or {})},
        "analysis": {"estimand": "e", "margin": 0.25, "margin_reason": "m", **analysis},
    }
    return parse_protocol(data, "here")


def write_results(run: Run, arm: str, letters: str, start: int = 0, **changes) -> None:
    """Write results from an episode of the plan on: 1 and 0, and x for an error."""
    for key, letter in zip(run.keys[start:], letters, strict=False):
        if letter == "x":
            run.lost(arm, key, "env_error", 0, 1)
        elif letter != "-":
            run.attempt(arm, key, "success" if letter == "1" else "failure", **changes)


def run_of_two(protocol: Protocol, path: Path, ours: str, theirs: str) -> RunFolder:
    """Write a run of two arms, a and b, with a letter for each result; see :func:`write_results`."""
    run = Run(protocol)
    write_results(run, "a", ours)
    write_results(run, "b", theirs)
    return run.write(path, "a", "b")


def bare_record(state: int = 0, **changes) -> EpisodeRecord:
    """Return the record of a success of arm a in an initial state, of no protocol that exists."""
    values = {
        "arm": "a",
        "suite": "s",
        "task": "t",
        "init_state": state,
        "env_seed": 0,
        "policy_seed": 0,
        "env_id": "m:n/t-v0",
        "outcome": "success",
        "protocol_sha256": "p",
        "policy_sha256": "q",
        "timing": Timing(started_at="2026-01-01T00:00:00+00:00"),
    }
    return EpisodeRecord.model_validate(values | changes)


def paired_result(**changes) -> PairedResult:
    """Return a comparison with a reference of which nothing is shown yet, of no run that exists."""
    values = {
        "reference": "runs/x",
        "arm": "teacher",
        "reference_sha256": "0" * 64,
        "pairs": 4,
        "n10": 1,
        "n01": 2,
        "difference": -0.25,
        "interval": (-0.75, 0.5),
        "margin": 0.1,
        "alpha": 0.05,
        "e_worse": 1.0,
        "e_not_worse": 1.0,
        "standing": Standing.NOT_YET,
    }
    return PairedResult.model_validate(values | changes)
