"""Policies for the fake environment, with faults to order."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from vla_eval.environment import Observation
from vla_eval.errors import UsageError
from vla_eval.keys import PolicyKey
from vla_eval.policy import ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval.spec import parse_options


class Options(BaseModel):
    """What a walker can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    skill: float = 1.0
    """Probability that a chunk goes forward and not back."""
    fault: str = ""
    """nan, inf, shape, empty, strings, raise, hang, die, big (out of bounds), ragged."""
    reply: str = ""
    """What infer returns instead of chunks: none, array, two, late."""
    fault_states: str = ""
    fault_folder: str = ""
    infer_s: float = 0.0
    load_s: float = 0.0
    chunk: int = 4
    version: str = "1"
    diary: str = ""
    """Folder in which a walker with a diary notes what is asked of it."""
    spied: str = ""
    """Folder in which a spy notes all that it is told of an episode."""
    warm_up_s: float = 0.0
    count: str = ""
    """What each chunk that goes forward is counted as."""
    weights: str = ""
    """What the hash of its weights is of; without it, it has none."""


class Walker:
    """Walks towards the goal, sometimes away from it."""

    def __init__(self, options: Options) -> None:
        time.sleep(options.load_s)
        self.options = options
        self.states = {int(each) for each in options.fault_states.split(",") if each}
        self.batches: list[int] = []
        self.metadata = PolicyMetadata(
            name="walker",
            method="fake",
            chunk_size=options.chunk,
            n_action_steps=options.chunk,
            weights_sha256=sha256(options.weights.encode()).hexdigest()
            if options.weights
            else None,
            options={"skill": options.skill, "version": options.version},
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        time.sleep(self.options.infer_s)
        chunks = [self._walk(context) for context in contexts]
        match self.options.reply:
            case "none":
                return None  # type: ignore[return-value]
            case "array":
                return chunks[0].actions  # type: ignore[return-value]
            case "two":
                return chunks * 2
            case "late":
                return [replace(each, nfe=-1) for each in chunks]
        return chunks

    def _walk(self, context: Context) -> ActionChunk:
        generator = context.generator()
        forward = generator.random() < self.options.skill
        speed = generator.uniform(0.5, 1.0) * (1 if forward else -1)
        actions = np.full((self.options.chunk, 2), speed, np.float32)
        if self.states and context.key.init_state in self.states and self._due(context):
            actions = self._misbehave(actions)
        counts = {self.options.count: int(forward)} if self.options.count else {}
        return ActionChunk(actions, nfe=3, prefix_ms=1.0, denoise_ms=2.0, counts=counts)

    def _due(self, context: Context) -> bool:
        if not self.options.fault_folder:
            return True
        marker = Path(self.options.fault_folder) / f"policy-{context.key.init_state}"
        if marker.exists():
            return False
        marker.touch()
        return True

    def _misbehave(self, actions: Any) -> Any:
        if self.options.fault == "ragged":
            return [[0.0, 0.0], [0.0]]
        match self.options.fault:
            case "nan":
                actions[1, 0] = np.nan
            case "inf":
                actions[0, 1] = np.inf
            case "shape":
                return actions[:, :1]
            case "empty":
                return actions[:0]
            case "strings":
                return actions.astype(str)
            case "big":
                return actions * 10
            case _:
                self._break_down()
        return actions

    def _break_down(self) -> None:
        match self.options.fault:
            case "raise":
                raise RuntimeError("out of memory")
            case "hang":
                time.sleep(3600)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)


class DiaryWalker(Walker):
    """Warms up, ends episodes, and notes what is asked of it: one line each, with the process id."""

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        if self.options.fault == "unsuitable":
            raise UsageError("this checkpoint wants three cameras")
        time.sleep(self.options.warm_up_s)
        self._note(f"warm_up {len(observations)}")

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        for context in contexts:
            if context.chunk_index == 0:
                self._note(f"begin {context.key.init_state}")
        return super().infer(observations, contexts)

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        self._note(f"end {key.init_state} {outcome}")
        if self.options.fault == "bad end" and key.init_state in self.states:
            raise RuntimeError("double free")

    def _note(self, what: str) -> None:
        threads = os.environ.get("OMP_NUM_THREADS", "-")
        with (Path(self.options.diary) / "diary").open("a") as file:
            file.write(f"{os.getpid()} {threads} {what}\n")


class Spy(Walker):
    """Notes every word that it is told of an episode."""

    def warm_up(self, observations: Sequence[Observation], contexts: Sequence[Context]) -> None:
        self._note("warm_up", contexts[0])

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        for context in contexts:
            self._note("infer", context)
        return super().infer(observations, contexts)

    def end_episode(self, key: PolicyKey, outcome: Outcome | None) -> None:
        self._note("end", key)

    def _note(self, when: str, what: Context | PolicyKey) -> None:
        key = what.key if isinstance(what, Context) else what
        line = {"when": when, "key": str(key), "all": repr(what)}
        with (Path(self.options.spied) / "notes").open("a") as file:
            file.write(json.dumps(line) + "\n")


class InWorker:
    """``fakes.policies:InWorker``."""

    help = "a walker in the worker"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        parsed = parse_options(Options, options, "walker")
        kind = DiaryWalker if parsed.diary else Spy if parsed.spied else Walker
        return kind(parsed)


class InHost(InWorker):
    """``fakes.policies:InHost``."""

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        return "host"


class Shared(InHost):
    """Walkers of one checkpoint, whatever their skill."""

    def shared_key(self, target: str | None, options: Mapping[str, Any]) -> str | None:
        return "one checkpoint"


class Unloadable(InWorker):
    """Fails while it is loaded."""

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        raise RuntimeError("the checkpoint is truncated")


class Told:
    """Its actions depend on all that virtual time tells a policy."""

    def __init__(self) -> None:
        self.metadata = PolicyMetadata("told", "fake", 8, 4, nfe=2, options={"passes": 2})

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        return [self._chunk(context) for context in contexts]

    def _chunk(self, context: Context) -> ActionChunk:
        queued = 0.0 if context.left_over is None else 1 + float(np.abs(context.left_over).sum())
        told = queued + context.expected_delay / 7 + context.executed / 11 + context.step / 13
        noise = context.generator().standard_normal((8, context.action_low.size))
        return ActionChunk((0.01 * (noise + told)).astype(np.float32), nfe=2)


class ToldFactory:
    """``fakes.policies:ToldFactory``."""

    help = "a fake"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        return Told()
