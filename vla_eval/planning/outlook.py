"""Outlook of a protocol: its episodes, their approximate time, and its power at parity."""

from __future__ import annotations

from typing import Any

import numpy as np

from vla_eval.blocks import Block
from vla_eval.catalog import Cost, check_catalogue, suites
from vla_eval.cores import usable_cores
from vla_eval.errors import UsageError
from vla_eval.judging.looks import sequential_plan
from vla_eval.judging.resizing import resize_rule
from vla_eval.plan import expand
from vla_eval.planning.realtime import realtime_outlook
from vla_eval.planning.recipes import TRAINING_SDS, size_of_recipes
from vla_eval.planning.repeats import CORRELATION, ICCS
from vla_eval.planning.resizing import outlook_of_rule
from vla_eval.protocol import Protocol
from vla_eval.stats import (
    ClusterTest,
    PairedCase,
    minimum_states,
    operating_characteristics,
    power_clustered,
    power_of_means,
)
from vla_eval.stats._numeric import z_quantile

__all__ = ["POWER_UP_TO", "cost_of", "horizon_of", "outlook"]

POWER_UP_TO = 20_000
"""Largest number of episodes of repeated states for which the power takes only seconds."""
SPREADS = (0.1, 0.2, 0.3, 0.4)
"""Standard deviations of the states' differences for which the power of a measure is shown."""
_QUANTILES = 200
_UNKNOWN_COST = Cost(build_s=1.0, reset_s=0.1, advance_s=0.005, observe_s=0.01)
_UNKNOWN_HORIZON = 10


def outlook(
    protocol: Protocol,
    *,
    arms: int | None = None,
    workers: int | None = None,
    infer_ms: float | None = None,
) -> dict[str, Any]:
    """Return the outlook of a protocol, as ``vlaeval plan --json`` prints it.

    The time assumes that every episode runs to its limit, at the catalogue's cost per step.

    Args:
        protocol: the protocol.
        arms: number of policies; default those that the protocol names, at least 2.
        workers: environments at a time; default one per usable core.
        infer_ms: time of one inference; None: inferences take no time.

    Raises:
        UsageError: the catalogue does not have a task or an initial state, or there is no worker.
    """
    check_catalogue(protocol)
    count = usable_cores() if workers is None else workers
    if count < 1:
        raise UsageError(f"--workers {count}: at least one worker is needed")
    blocks = [_block(block, protocol, infer_ms or 0.0) for block in protocol.blocks]
    arms = _named(protocol) if arms is None else arms
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
        "realtime": realtime_outlook(protocol),
        "sequential": _sequential(protocol),
        "resized": _resized(protocol),
        "clustered": None if protocol.analysis.recipe else _clustered(protocol),
        "recipes": _recipes(protocol),
        "means": _means(protocol),
    }


def _recipes(protocol: Protocol) -> dict[str, Any] | None:
    """Return the power at parity of a comparison of recipes; None if it is one of two arms."""
    analysis, plan = protocol.analysis, protocol.analysis.recipe
    if plan is None:
        return None
    repeats = _repeats(protocol)
    rows = [
        size_of_recipes(
            len(plan.candidate),
            sd,
            states=len(expand(protocol)) // repeats,
            repeats=repeats,
            design=plan.design,
            margin=analysis.margin,
            alpha=analysis.alpha,
        )
        for sd in TRAINING_SDS
    ]
    return {
        "candidate": len(plan.candidate),
        "reference": len(plan.reference),
        **{name: rows[0][name] for name in ("design", "p_reference", "correlation", "alike")},
        "at_parity": rows,
    }


def _named(protocol: Protocol) -> int:
    """Return the number of arms that the protocol names, at least 2."""
    analysis = protocol.analysis
    recipes = analysis.recipe.names if analysis.recipe else ()
    roles = (analysis.candidate, analysis.reference, analysis.negative_control)
    return max(2, len(recipes) + sum(name is not None for name in roles))


def _block(block: Block, protocol: Protocol, infer_ms: float) -> dict[str, Any]:
    tasks, states = len(block.task_names()), len(block.init_state_numbers())
    repeats = _repeats(protocol)
    episodes = tasks * states * repeats
    horizon, cost = horizon_of(protocol), cost_of(block)
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


def horizon_of(protocol: Protocol) -> int:
    """Return the number of a chunk's actions that are executed; a guess where each policy has its own."""
    return protocol.run.n_action_steps or _UNKNOWN_HORIZON


def cost_of(block: Block) -> Cost:
    """Return the cost of a block's environment; a guess where the catalogue has none."""
    return {suite.name: suite.cost for suite in suites()}.get(block.suite, _UNKNOWN_COST)


def _repeats(protocol: Protocol) -> int:
    """Return the number of episodes per initial state."""
    return len(protocol.run.env_seeds) * len(protocol.run.policy_seeds)


def _states(protocol: Protocol) -> int:
    return sum(
        len(block.task_names()) * len(block.init_state_numbers()) for block in protocol.blocks
    )


def _means(protocol: Protocol) -> dict[str, Any] | None:
    """Return the power of a measure other than success at parity; None for success.

    The states' differences are normal with each standard deviation, cut at ±1.
    """
    analysis = protocol.analysis
    if analysis.measure is None:
        return None
    states = _states(protocol)
    normal = np.array([z_quantile((i + 0.5) / _QUANTILES) for i in range(_QUANTILES)])
    exact = analysis.measure == "score"

    def power(spread: float) -> float:
        units = np.clip(spread * normal, -1, 1)
        return power_of_means(
            units, states, margin=analysis.margin, alpha=analysis.alpha, exact=exact
        )

    return {
        "measure": analysis.measure,
        "states": states,
        "at_parity": [
            {"spread": spread, "power": power(spread)}
            for spread in (SPREADS if states <= POWER_UP_TO else ())
        ],
    }


def _sequential(protocol: Protocol) -> dict[str, Any] | None:
    """Return the looks, and their expected results at parity; None for a run of fixed size."""
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


def _resized(protocol: Protocol) -> dict[str, Any] | None:
    """Return the sizes of a resized run, and its expected results at parity; None for other runs."""
    rule = resize_rule(protocol)
    return None if rule is None else outlook_of_rule(rule, (0.90, 0.95, 0.98), (CORRELATION,))


def _clustered(protocol: Protocol) -> dict[str, Any] | None:
    """Return the power of repeated states at parity; None if states do not repeat."""
    analysis = protocol.analysis
    if analysis.cluster == "none" or analysis.measure is not None:
        return None
    test: ClusterTest = analysis.cluster_test or "both"
    states = _states(protocol)
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
    powers = power_clustered(
        states, repeats, case, icc=icc, margin=analysis.margin, alpha=analysis.alpha
    )
    return {
        "p_reference": rate,
        "correlation": CORRELATION,
        "icc": icc,
        "power": powers.of(test),
        "standard_error": 0.0 if test == "worst-repeat" else powers.standard_error,
    }
