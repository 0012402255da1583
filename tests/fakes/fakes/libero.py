"""LIBERO's environments, as tests open them."""

from __future__ import annotations

import contextlib

import gymnasium

__all__ = ["opened"]


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
