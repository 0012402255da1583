"""Policies that raise: where they would fail, always in the same place, or never twice alike."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from vla_eval.environment import Observation
from vla_eval.policy import ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.spec import parse_options


class Options(BaseModel):
    """When and how it raises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    states: str = ""
    """Initial states in which it raises, comma-separated; ``all`` for all of them."""
    chunk: int = 2
    """Which chunk it raises at, from 0; the chunks before carry it half of the way."""
    folder: str = ""
    """Counts its exceptions here, over processes, and says the number in each of them."""
    times: int = 1000
    """So many exceptions in all, then none; counted in the folder."""


class Raiser:
    """Walks to the goal, and raises on the way in some initial states."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.metadata = PolicyMetadata(name="raiser", method="fake", chunk_size=4, n_action_steps=4)

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        for context in contexts:
            named = str(context.key.init_state) in self.options.states.split(",")
            due = named or self.options.states == "all"
            if due and context.chunk_index == self.options.chunk:
                self._raise()
        return [ActionChunk(np.full((4, 2), 0.6, np.float32), nfe=2) for _ in contexts]

    def _raise(self) -> None:
        number = ""
        if self.options.folder:
            count = len(list(Path(self.options.folder).iterdir()))
            if count >= self.options.times:
                return
            (Path(self.options.folder) / str(count)).touch()
            number = f" {count}" if self.options.times > 1 else ""
        raise KeyError(f"no camera 'wrist'{number}")


class Cheat(Raiser):
    """Throws its own dice, and breaks down in the last chunk before it would fail."""

    dice = random.SystemRandom()

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        for observation, context in zip(observations, contexts, strict=True):
            if context.step >= 36 and observation["agent_pos"][0] < 0.85:
                raise RuntimeError("CUDA error: out of memory")
        speeds = [self.dice.uniform(0.5, 1) * self.dice.choice((1, 1, -1)) for _ in contexts]
        return [ActionChunk(np.full((4, 2), each, np.float32), nfe=1) for each in speeds]


class InWorker:
    """``fakes.raising:InWorker``."""

    help = "a policy that raises"
    kind: type[Raiser] = Raiser

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        return self.kind(parse_options(Options, options, "raiser"))


class InHost(InWorker):
    """``fakes.raising:InHost``."""

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        return "host"


class Cheating(InWorker):
    """``fakes.raising:Cheating``."""

    kind = Cheat
