"""The protocol of an evaluation during training: some development states of another protocol."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from vla_eval.blocks import Block
from vla_eval.catalog import suites
from vla_eval.errors import UsageError
from vla_eval.protocol import Protocol, parse_protocol

__all__ = ["States", "development_protocol"]

type States = Literal["development", "any"]
"""``development``: states that the suite reserves for development. ``any``: the protocol's own states,
those that certificates are issued on included."""


def development_protocol(
    protocol: Protocol, *, episodes: int, states: States = "development", margin: float | None
) -> Protocol:
    """Return the protocol of a quick evaluation: the same tasks, few states, each once.

    States are drawn in a random order that follows from the protocol's name, the same number of each
    task. A larger ``episodes`` adds states at the end, so that the shorter evaluation is its beginning.

    Args:
        protocol: the tasks, environments and limits.
        episodes: most episodes; rounded down to whole rounds over the tasks, at least one.
        states: see :data:`States`.
        margin: the margin; None: the protocol's.

    Raises:
        UsageError: the suite reserves no development states.
    """
    tasks = sum(len(block.task_names()) for block in protocol.blocks)
    orders = [_order(protocol, place, states) for place in range(len(protocol.blocks))]
    rounds = min(max(1, episodes // tasks), *map(len, orders))
    content: dict[str, Any] = protocol.model_dump(mode="json", exclude_none=True)
    for block, order in zip(content["blocks"], orders, strict=True):
        block["init_states"] = order[:rounds]
    run, analysis = content["run"], protocol.analysis
    run |= {
        "order": "round-robin",
        "env_seeds": list(protocol.run.env_seeds[:1]),
        "policy_seeds": list(protocol.run.policy_seeds[:1]),
    }
    run.pop("blind_keys", None)
    content |= {
        "protocol": f"{protocol.protocol}-development",
        "title": f"{protocol.title}: {states} states, for the training loop",
        "analysis": {
            "estimand": f"difference in success rate over {rounds} states of each task",
            "margin": analysis.margin if margin is None else margin,
            "margin_reason": "A look during training, not a certificate.",
            "alpha": analysis.alpha,
        },
    }
    content.pop("overrides", None)
    return parse_protocol(content, f"development states of {protocol.label}")


def _order(protocol: Protocol, place: int, states: States) -> list[int]:
    """Return the states of a block that may be used, in a random order that is always the same."""
    block = protocol.blocks[place]
    allowed: Sequence[int] = block.init_state_numbers()
    if states == "development":
        reserved = range(_reserved(block))
        if not reserved:
            raise UsageError(
                f"{protocol.label}: suite '{block.suite}' reserves no initial states for development, "
                "so every state may be one of a certificate; pass states='any' to use the protocol's "
                "own states, and certify on other ones"
            )
        allowed = [state for state in allowed if state in reserved] or reserved
    order = sorted(allowed)
    random.Random(f"{protocol.protocol}/{place}").shuffle(order)
    return order


def _reserved(block: Block) -> int:
    """Return the number of states that the suite reserves in every task of a block."""
    known = {suite.name: suite for suite in suites()}.get(block.suite)
    if known is None:
        return 0
    return min(known.task(name).development_states for name in block.task_names())
