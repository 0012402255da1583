"""The factory of ``flow:CHECKPOINT``; loads torch when a policy is built, not before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from vla_eval.errors import MissingExtraError, PolicySpecError
from vla_eval.policy import Policy
from vla_eval.spec import parse_options
from vla_eval_policies.flow.shipped import shipped_names

__all__ = ["FlowFactory"]


class FlowFactory:
    """``flow:CHECKPOINT[?nfe=…&method=…&n_action_steps=…&solver=…&keystone=K]``."""

    help: ClassVar[str] = (
        "a trained flow policy, a file or a shipped one: "
        + ", ".join(f"flow:{name}" for name in shipped_names() if "-seed" not in name)
        + " (and NAME-seed1, NAME-seed2 of some); nfe, method, n_action_steps, solver, keystone …"
    )

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        """Place it in the worker: a round trip to a host takes as long as one inference."""
        del target
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Load the checkpoint.

        Raises:
            PolicySpecError: the checkpoint is missing or cannot be used, or an option is unknown.
            MissingExtraError: torch is not installed.
        """
        if target is None:
            raise PolicySpecError(
                "policy kind 'flow' needs a checkpoint, for example 'flow:so101/fm' or 'flow:student.safetensors?nfe=1'"
            )
        try:
            from vla_eval_policies.flow.policy import FlowOptions, build
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "safetensors"):
                raise
            raise MissingExtraError("policy kind 'flow'", "flow") from None
        return build(target, parse_options(FlowOptions, options, "flow"))
