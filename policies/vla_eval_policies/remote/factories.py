"""Factories for the entry points: cheap to import, so that kinds can be listed without the extra."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vla_eval.errors import MissingExtraError, PolicySpecError
from vla_eval.policy import Placement, Policy
from vla_eval.spec import parse_options
from vla_eval_policies.remote.options import HarnessOptions, OpenpiOptions

__all__ = ["HarnessFactory", "OpenpiFactory"]


def _need_url(kind: str, target: str | None) -> str:
    if target is None or not target.startswith(("ws://", "wss://")):
        raise PolicySpecError(
            f"policy kind '{kind}' needs a server's address, for example "
            f"'{kind}:ws://127.0.0.1:8000' (got '{target or ''}')"
        )
    return target


class OpenpiFactory:
    """``openpi:ws://host:port[?layout=libero&n_action_steps=5&…]``."""

    help: ClassVar[str] = "any policy behind an openpi server (vlaeval serve is one)"

    def placement(self, target: str | None) -> Placement:
        """In the worker: each has connections of its own, and the server may batch over them."""
        _need_url("openpi", target)
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the client and ask the server who it is."""
        url = _need_url("openpi", target)
        parsed = parse_options(OpenpiOptions, options, "openpi")
        try:
            from vla_eval_policies.remote.openpi import OpenpiPolicy
        except ImportError as error:
            raise MissingExtraError(f"policy kind 'openpi' ({error.name})", "remote") from None
        return OpenpiPolicy(url, parsed)


class HarnessFactory:
    """``harness:ws://host:port[?wrist=true&state=true&…]``."""

    help: ClassVar[str] = "any model server of AllenAI's vla-evaluation-harness (PyPI vla-eval)"

    def placement(self, target: str | None) -> Placement:
        """In the worker: each has connections of its own, and the server may batch over them."""
        _need_url("harness", target)
        return "worker"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the client and ask the server who it is."""
        url = _need_url("harness", target)
        parsed = parse_options(HarnessOptions, options, "harness")
        try:
            from vla_eval_policies.remote.harness import HarnessPolicy
        except ImportError as error:
            raise MissingExtraError(f"policy kind 'harness' ({error.name})", "remote") from None
        return HarnessPolicy(url, parsed)
