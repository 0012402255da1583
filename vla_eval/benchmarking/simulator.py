"""The parts of a simulator's time: physics, pictures, resets, changes of task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vla_eval.benchmarking.machine import resident_mb
from vla_eval.catalog import Task, find_suite
from vla_eval.environment import BenchCameras, BenchPhysics, EvalEnv, make_env
from vla_eval.errors import UsageError

__all__ = ["measure_simulator"]

_STEPS = 40
_PICTURES = 5
_RESETS = 3


def measure_simulator(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the median times of a control step, an observation, a reset and a change of task.

    Without :class:`~vla_eval.environment.BenchPhysics` an environment has no physics floor. Without
    :class:`~vla_eval.environment.BenchCameras` all its cameras are measured together.

    Args:
        name: ``SUITE/TASK``.
        options: arguments of the environment.

    Returns:
        ``physics_floor_ms``, ``control_step_ms`` (with success, without cameras), ``observe_ms`` by
        camera, ``reset_s`` (to another initial state, first observation included), ``task_change_s``
        (from one task to the first observation of the suite's next) and ``rss_mb`` (resident memory).

    Raises:
        UsageError: unknown task.
    """
    task, following = _find(name)
    env = make_env(task.env_id, options)
    try:
        env.reset(seed=0, options={"init_state": 0})
        steps, floors = _control_steps(env)
        cameras = {camera: _milliseconds(draw) for camera, draw in _cameras(env).items()}
        resets = [_reset(env, 1 + i % (task.init_states - 1)) for i in range(_RESETS)]
        memory = resident_mb()
        changes = []
        for next_task in (following, task):
            start = time.perf_counter()
            env.close()
            env = make_env(next_task.env_id, options)
            env.reset(seed=0, options={"init_state": 0})
            changes.append(time.perf_counter() - start)
    finally:
        env.close()
    return {
        "task": name,
        "physics_floor_ms": _median(floors, 1e3) if floors else None,
        "control_step_ms": _median(steps, 1e3),
        "observe_ms": cameras,
        "reset_s": _median(resets),
        "task_change_s": _median(changes),
        "rss_mb": round(max(memory, resident_mb())),
    }


def _find(name: str) -> tuple[Task, Task]:
    """Return a task and the next task of its suite."""
    suite_name, slash, task_name = name.partition("/")
    if not slash:
        raise UsageError(f"'{name}' is no task; expected SUITE/TASK (see: vlaeval list tasks)")
    suite = find_suite(suite_name)
    tasks = suite.tasks
    task = suite.task(task_name)
    return task, tasks[(tasks.index(task) + 1) % len(tasks)]


def _control_steps(env: EvalEnv) -> tuple[list[float], list[float]]:
    """Return the seconds of random control steps, and of the bare physics from the same states."""
    low, high = env.hold_action() - 0.1, env.hold_action() + 0.1
    actions = np.random.default_rng(0).uniform(low, high, (_STEPS, *low.shape))
    steps, floors = [], []
    for action in actions.astype(np.float32):
        bare = env.bench_physics() if isinstance(env, BenchPhysics) else None
        if bare is not None:
            floors.append(_seconds(bare))
        start = time.perf_counter()
        terminated = env.advance(action)[1]
        steps.append(time.perf_counter() - start)
        if terminated:
            env.reset(seed=0, options={"init_state": 0})
    return steps, floors


def _cameras(env: EvalEnv) -> Mapping[str, Callable[[], object]]:
    return env.bench_cameras() if isinstance(env, BenchCameras) else {"all": env.observe}


def _milliseconds(draw: Callable[[], object]) -> float:
    draw()
    return _median([_seconds(draw) for _ in range(_PICTURES)], 1e3)


def _reset(env: EvalEnv, init_state: int) -> float:
    return _seconds(lambda: env.reset(seed=0, options={"init_state": init_state}))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _median(values: list[float], factor: float = 1.0) -> float:
    return round(float(np.median(values)) * factor, 3)
