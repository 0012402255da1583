"""Inspection of one inference on a real observation: its inputs and outputs.

Half of all success rates of zero are errors of convention: pictures upside down, another camera's
name, degrees for radians, a gripper the wrong way round. An inspection shows them before any episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from vla_eval.catalog import Suite, Task, find_suite, suites
from vla_eval.environment import EvalEnv, Observation, make_env
from vla_eval.errors import UsageError
from vla_eval.policy import Context, Explains, Finding, Policy, ability, end_episode
from vla_eval.policy_check import first_actions, first_inference, policy_findings

__all__ = [
    "Inspection",
    "action_bounds",
    "draw",
    "inspect_policy",
    "representatives",
]


@dataclass(frozen=True)
class Inspection:
    """Inputs and outputs of one inference."""

    suite: str
    task: str
    instruction: str
    pixels: Mapping[str, NDArray[np.uint8]]
    findings: tuple[Finding, ...]
    action_names: tuple[str, ...]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    actions: NDArray[np.float32]
    """The chunk, (T, A)."""
    nfe: int
    behaviour: tuple[Finding, ...] = ()
    """Findings of :mod:`vla_eval.policy_check`."""

    @property
    def ok(self) -> bool:
        """Whether all findings are in order."""
        return all(finding.ok for finding in (*self.findings, *self.behaviour))


def representatives(names: Sequence[str] = ()) -> list[tuple[Suite, list[str]]]:
    """Return one suite for each kind of environment, with the names of the suites it represents.

    Args:
        names: suites to inspect, each represented by itself only; empty means all installed suites.
    """
    if names:
        by_name = {suite.name: suite for suite in suites()}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise UsageError(f"no suite is named '{unknown[0]}'; known: {', '.join(by_name)}")
        return [(by_name[name], []) for name in names]
    kinds: dict[str, list[Suite]] = {}
    for suite in suites():
        kinds.setdefault(suite.extra + _module(suite.tasks[0]), []).append(suite)
    return [(same[0], [suite.name for suite in same[1:]]) for same in kinds.values()]


def _module(task: Task) -> str:
    return task.entry_point.partition(":")[0].rpartition(".")[0] or task.entry_point


def inspect_policy(
    policy: Policy, suite: Suite, env_kwargs: Mapping[str, Any] | None = None
) -> Inspection:
    """Let a policy act once in the suite's first task, from initial state 0.

    Raises:
        PolicySpecError: the policy does not fit the suite.
        UsageError, InfrastructureError: the environment cannot be built.
    """
    task = suite.tasks[0]
    env = make_env(task.env_id, env_kwargs or {})
    try:
        seen = first_inference(policy, suite.name, task.name, env)
        inspection = _inspect(policy, env, *seen, task=task.name)
        behaviour = policy_findings(policy, env, suite.name, task.name)
        return replace(inspection, behaviour=tuple(behaviour))
    finally:
        env.close()


def action_bounds(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the lower and the upper bounds of a suite's actions, as its first task has them.

    Raises:
        UsageError, InfrastructureError: no such suite, or its environment cannot be had.
    """
    env = make_env(find_suite(name).tasks[0].env_id, {})
    try:
        space = env.action_space
        if not isinstance(space, Box):
            raise UsageError(f"suite '{name}': the action space must be a Box, not {space}")
        return tuple(map(float, space.low)), tuple(map(float, space.high))
    finally:
        env.close()


def _inspect(
    policy: Policy, env: EvalEnv, observation: Observation, context: Context, *, task: str
) -> Inspection:
    low, high = context.action_low, context.action_high
    explaining = ability(policy, Explains)
    findings = [] if explaining is None else list(explaining.explain(observation, context))
    chunk, actions = first_actions(policy, observation, context)
    end_episode(policy, context.key, "failure")
    outside = float(np.mean((actions < low) | (actions > high)))
    findings.append(
        Finding(
            "bounds",
            f"{outside:.0%} of the chunk's numbers are outside, and clipped",
            outside < 0.2,
        )
    )
    return Inspection(
        suite=context.suite,
        task=task,
        instruction=context.instruction,
        pixels=dict(observation.get("pixels", {})),
        findings=tuple(findings),
        action_names=tuple(env.metadata.get("action_names", range(low.size))),
        low=low,
        high=high,
        actions=actions,
        nfe=chunk.nfe,
    )


def draw(inspection: Inspection, path: Path) -> None:
    """Draw the policy's pictures, and its chunk against the bounds of the actions, as a PNG."""
    from matplotlib.figure import Figure

    cameras = list(inspection.pixels)
    count = len(inspection.action_names)
    figure = Figure(figsize=(max(6.0, 3.2 * len(cameras)), 5.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3, 2), squeeze=False)[:, 0]
    above.suptitle(f"{inspection.suite}/{inspection.task}: {inspection.instruction}", fontsize=9)
    for axes, name in zip(
        above.subplots(1, max(1, len(cameras)), squeeze=False)[0], cameras, strict=False
    ):
        axes.imshow(inspection.pixels[name])
        axes.set_title(name, fontsize=8)
        axes.axis("off")
    below.suptitle("the chunk, step by step; shaded: the bounds of each action", fontsize=8)
    for i, axes in enumerate(below.subplots(1, count, squeeze=False)[0]):
        axes.axhspan(float(inspection.low[i]), float(inspection.high[i]), color="0.9")
        axes.plot(inspection.actions[:, i], color="tab:blue", linewidth=1.2)
        axes.set_title(str(inspection.action_names[i]).removesuffix(".pos"), fontsize=6)
        axes.tick_params(labelsize=5)
    figure.savefig(path, dpi=110)
