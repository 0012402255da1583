"""A shipped flow policy in a policy host, where it is usually in the worker: ``hosted:Flow``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vla_eval.policy import Policy
from vla_eval.spec import build_policy


class Flow:
    """``hosted:Flow``."""

    help = "flow:so101/fm in a host"

    def placement(self, target: str | None) -> Literal["worker", "host"]:
        """Place the policy in a host, so that there is one to kill."""
        del target
        return "host"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Load the checkpoint."""
        del target, options
        return build_policy("flow:so101/fm")
