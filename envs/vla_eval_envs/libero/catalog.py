"""The catalogue of LIBERO without LIBERO: suites, task names, instructions, time limits."""

from __future__ import annotations

import functools
import json
from importlib.resources import files

from vla_eval.catalog import Cost, Suite, Task
from vla_eval.errors import UsageError, did_you_mean

__all__ = ["CONTROL_HZ", "INIT_STATES", "instruction_of", "suites", "task_names"]

CONTROL_HZ = 20
INIT_STATES = 50
"""Number of frozen initial states of every task."""

# LeRobot's limits in steps of 50 ms. The published limits differ (220 for spatial), and a protocol
# sets its own.
_MAX_STEPS = {"spatial": 280, "object": 280, "goal": 300, "10": 520, "90": 400}

_DESCRIPTIONS = {
    "spatial": "the same bowl in ten places: spatial relations",
    "object": "ten groceries into the basket: object names",
    "goal": "ten goals in one scene: what to do",
    "10": "ten long tasks of two steps each (LIBERO-Long)",
    "90": "ninety short tasks in twenty kitchens, living rooms and studies",
}

# Medians over one task of every suite, 256 px, Mesa llvmpipe. The first reset on a machine also takes
# some 7 s to compile robosuite's helpers into the cache.
_COST = Cost(build_s=1.5, reset_s=1.0, advance_s=0.007, observe_s=0.09)


def task_names(suite: str) -> tuple[str, ...]:
    """Return LIBERO's own names of a suite's tasks in its standard order (task order 0).

    Raises:
        UsageError: ``suite`` is none of ``libero_spatial``, ``_object``, ``_goal``, ``_10``, ``_90``.
    """
    known = _all_task_names()
    if suite not in known:
        raise UsageError(f"LIBERO has no suite '{suite}'{did_you_mean(suite, known)}")
    return known[suite]


@functools.cache
def _all_task_names() -> dict[str, tuple[str, ...]]:
    text = files(__package__).joinpath("tasks.json").read_text(encoding="utf-8")
    return {suite: tuple(names) for suite, names in json.loads(text).items()}


def instruction_of(task_name: str) -> str:
    """Return the instruction that LIBERO derives from a task's name; policies are trained on it.

    ``KITCHEN_SCENE10_close_the_drawer`` gives ``close the drawer``.
    """
    words = task_name.split("_")
    if task_name[0].isupper():
        scene = next(i for i, word in enumerate(words) if word.startswith("SCENE"))
        words = words[scene + 1 :]
    return " ".join(words)


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return LIBERO's five suites, 130 tasks; needs neither hf-libero nor MuJoCo."""
    return tuple(_suite(short) for short in _MAX_STEPS)


def _suite(short: str) -> Suite:
    return Suite(
        name=f"libero_{short}",
        description=_DESCRIPTIONS[short],
        tasks=tuple(_task(short, i, name) for i, name in enumerate(task_names(f"libero_{short}"))),
        extra="libero",
        cost=_COST,
        control_hz=CONTROL_HZ,
        doctor="vla_eval_envs.libero.doctor:checks",
        prepare="vla_eval_envs.libero.assets:prepare",
        actions="vla_eval_envs.libero.spaces:action_fields",
    )


def _task(short: str, index: int, task_name: str) -> Task:
    return Task(
        name=str(index),
        env_id=f"vla_eval_envs:libero/{short}-{index}-v0",
        instruction=instruction_of(task_name),
        init_states=INIT_STATES,
        max_steps=_MAX_STEPS[short],
        entry_point="vla_eval_envs.libero.env:LiberoEnv",
        kwargs={"suite": f"libero_{short}", "task": index},
    )
