"""Mistakes that the types find.

mypy must find the error named beside each line: it reports an ignore that nothing needs, so this file
fails as soon as a type has become too wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

import vla_eval
from vla_eval import ActionChunk, Context, EvalEnv, Policy, PolicyFactory, PolicyMetadata
from vla_eval.certificate import Roles, issue
from vla_eval.environment import Observation
from vla_eval.spec import build_policy


class OneChunk:
    """Returns one chunk, where one for each observation is expected."""

    metadata = PolicyMetadata("one", method="demo", chunk_size=1, n_action_steps=1)

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> ActionChunk:
        return ActionChunk(np.zeros((1, 7), np.float32))


class Nameless:
    """Does not say what it is."""

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        return []


class OnTheMoon:
    """Wants to run where nothing runs."""

    help = "far away"

    def placement(self, target: str | None) -> Literal["moon"]:
        return "moon"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        return build_policy("random")


class Motionless(EvalEnv):
    """Cannot hold still, nor advance, nor observe."""


one_chunk: Policy = OneChunk()  # type: ignore[assignment]
nameless: Policy = Nameless()  # type: ignore[assignment]
on_the_moon: PolicyFactory = OnTheMoon()  # type: ignore[assignment]


def wrong_calls(chunk: ActionChunk, context: Context) -> None:
    Motionless()  # type: ignore[abstract]
    vla_eval.run("so101-quickstart", out="runs/mine")  # type: ignore[call-arg]
    vla_eval.run("so101-quickstart", {}, "runs/mine", 2)  # type: ignore[call-arg]
    vla_eval.run("so101-quickstart", {}, "runs/mine", workers="2")  # type: ignore[arg-type]
    issue("runs/mine", Roles("student", "teacher"))  # type: ignore[arg-type]
    Roles("student")  # type: ignore[call-arg]
    chunk.nfe = 10  # type: ignore[misc]
    ActionChunk([[0.0]])  # type: ignore[arg-type]
    PolicyMetadata("x", "demo", 1, 1, options={"gains": [1.0]})  # type: ignore[dict-item]
    context.instruktion  # type: ignore[attr-defined]  # noqa: B018
    vla_eval.RunSumary  # type: ignore[attr-defined]  # noqa: B018
