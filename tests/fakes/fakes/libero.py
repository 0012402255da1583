"""LIBERO's environments, as tests open them."""

from __future__ import annotations

import contextlib

import gymnasium
import numpy as np

__all__ = ["arrays", "differing", "opened", "wait"]


@contextlib.contextmanager
def opened(suite: str, task: int, *, image_size: int = 64, **options):
    """Open the environment of a task of ``libero_SUITE``, without Gymnasium's wrappers; close it at the end."""
    env = gymnasium.make(
        f"vla_eval_envs:libero/{suite}-{task}-v0", image_size=image_size, **options
    ).unwrapped
    try:
        yield env
    finally:
        env.close()


def wait(env, steps: int) -> dict:
    """Let the robot hold still for some control steps; return the last one's info."""
    info: dict = {}
    for _ in range(steps):
        info = env.advance(env.hold_action())[3]
    return info


def arrays(env) -> dict[str, np.ndarray]:
    """Return all arrays of the model, and what an episode leaves in the data."""
    sim = env.robosuite_env.sim
    model, data = sim.model._model, sim.data._data
    named = {name: getattr(model, name) for name in dir(model)}
    left = ("qpos", "qvel", "ctrl", "qacc_warmstart", "qfrc_applied", "xfrc_applied", "time")
    return {
        **{name: np.array(value) for name, value in named.items() if isinstance(value, np.ndarray)},
        **{f"data.{name}": np.array(getattr(data, name)) for name in left},
    }


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Return the names of the arrays in which two results of :func:`arrays` differ in any bit."""
    assert one.keys() == other.keys()
    return [
        name
        for name, value in one.items()
        if not np.array_equal(value, other[name], equal_nan=value.dtype.kind == "f")
    ]
