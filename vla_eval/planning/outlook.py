"""What a protocol will run, about how long that takes, and what it can show at parity."""

from __future__ import annotations

import os
from typing import Any

from vla_eval.catalog import Cost, check_catalogue, suites
from vla_eval.errors import UsageError
from vla_eval.judging.looks import sequential_plan
from vla_eval.plan import expand
from vla_eval.planning.repeats import CORRELATION, ICCS
from vla_eval.protocol import Block, Protocol
from vla_eval.stats import (
    ClusterTest,
    PairedCase,
    minimum_states,
    operating_characteristics,
    power_clustered,
)

__all__ = ["POWER_UP_TO", "outlook"]

POWER_UP_TO = 20_000
"""Episodes of repeated states up to which the power takes seconds."""
_UNKNOWN_COST = Cost(build_s=1.0, reset_s=0.1, advance_s=0.005, observe_s=0.01)
_UNKNOWN_HORIZON = 10


def outlook(
    protocol: Protocol, *, arms: int = 2, workers: int | None = None, infer_ms: float | None = None
) -> dict[str, Any]:
    """Return what a protocol will run, as ``vlaeval plan --json`` prints it.

    The time is that of every episode to its limit, at the cost per step that the catalogue names.

    Args:
        protocol: the protocol.
        arms: how many policies.
        workers: environments at a time; default one per core.
        infer_ms: time of one inference; left out, inferences take no time.

    Raises:
        UsageError: a task or an initial state that the catalogue does not have, or no worker.
    """
    check_catalogue(protocol)
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 1:
        raise UsageError(f"--workers {count}: at least one worker is needed")
    blocks = [_block(block, protocol, infer_ms or 0.0) for block in protocol.blocks]
    seconds = arms * sum(block["seconds"] for block in blocks) / count
    return {
        "protocol": {
            "name": protocol.protocol,
            "version": protocol.version,
            "sha256": protocol.sha256,
            "title": protocol.title,
            "source": protocol.source,
            "leaves_open": list(protocol.leaves_open),
        },
        "episodes_per_arm": len(expand(protocol)),
        "arms": arms,
        "workers": count,
        "blocks": blocks,
        "about_s": round(seconds, 1),
        "infer_ms": infer_ms,
        "sequential": _sequential(protocol),
        "clustered": _clustered(protocol),
    }


def _block(block: Block, protocol: Protocol, infer_ms: float) -> dict[str, Any]:
    tasks, states = len(block.task_names()), len(block.init_state_numbers())
    repeats = _repeats(protocol)
    episodes = tasks * states * repeats
    horizon = protocol.run.n_action_steps or _UNKNOWN_HORIZON
    cost = {suite.name: suite.cost for suite in suites()}.get(block.suite, _UNKNOWN_COST)
    per_step = cost.advance_s + (cost.observe_s + infer_ms / 1e3) / horizon
    return {
        "suite": block.suite,
        "env_id": block.env_id,
        "tasks": tasks,
        "init_states": states,
        "repeats": repeats,
        "episodes": episodes,
        "max_steps": block.max_steps,
        "seconds": tasks * cost.build_s + episodes * (cost.reset_s + block.max_steps * per_step),
    }


def _repeats(protocol: Protocol) -> int:
    """Return how often every initial state runs."""
    return len(protocol.run.env_seeds) * len(protocol.run.policy_seeds)


def _sequential(protocol: Protocol) -> dict[str, Any] | None:
    """Return the looks, and what to expect of them at parity; None for a run of fixed size."""
    plan = sequential_plan(protocol)
    if plan is None:
        return None
    rows = []
    for rate in (0.90, 0.95, 0.98):
        case = PairedCase(rate, 0.0, CORRELATION)
        expected = operating_characteristics(plan, case, guard=False)
        rows.append(
            {
                "p_reference": rate,
                "correlation": CORRELATION,
                "power": expected.certified,
                "expected_pairs": expected.pairs,
                "stops": list(expected.stops),
            }
        )
    return {"sizes": list(plan.sizes), "bounds": list(plan.bounds), "at_parity": rows}


def _clustered(protocol: Protocol) -> dict[str, Any] | None:
    """Return what repeats of states show at parity; None where states do not repeat."""
    analysis = protocol.analysis
    if analysis.cluster == "none":
        return None
    test: ClusterTest = analysis.cluster_test or "both"
    states = sum(
        len(block.task_names()) * len(block.init_state_numbers()) for block in protocol.blocks
    )
    repeats = _repeats(protocol)
    rates = (0.90, 0.95) if states * repeats <= POWER_UP_TO else ()
    return {
        "states": states,
        "repeats": repeats,
        "test": test,
        "minimum_states": minimum_states(analysis.margin, alpha=analysis.alpha, test=test),
        "at_parity": [
            _at_parity(rate, icc, states, repeats, protocol) for rate in rates for icc in ICCS
        ],
    }


def _at_parity(
    rate: float, icc: float, states: int, repeats: int, protocol: Protocol
) -> dict[str, Any]:
    analysis = protocol.analysis
    test: ClusterTest = analysis.cluster_test or "both"
    case = PairedCase(rate, 0.0, CORRELATION)
    found = power_clustered(
        states, repeats, case, icc=icc, margin=analysis.margin, alpha=analysis.alpha
    )
    return {
        "p_reference": rate,
        "correlation": CORRELATION,
        "icc": icc,
        "power": found.of(test),
        "standard_error": 0.0 if test == "worst-repeat" else found.standard_error,
    }
