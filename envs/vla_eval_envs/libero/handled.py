"""The object that a LIBERO task moves first: where it is, what touches it, and draws for what happens to it."""

# ruff: noqa: SLF001  robosuite names nearly all of its interface with an underscore

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import UsageError

__all__ = ["Handled", "generator", "moved_first"]


def generator(stream: int, seed: int, init_state: int | None) -> np.random.Generator:
    """Return the generator for what happens in an episode.

    Args:
        stream: number of the kind of event, so that two kinds are independent.
        seed: the environment's.
        init_state: its number; None in a scene that has none.
    """
    return np.random.default_rng((stream, seed, 0 if init_state is None else init_state + 1))


def moved_first(env: Any, option: str) -> str:
    """Return the name of the object that the goal of LIBERO's environment names first.

    Raises:
        UsageError: it names none, so that the task has no use for the option.
    """
    problem = env.parsed_problem
    names = [str(part[1]) for part in problem["goal_state"] if part[1] in env.objects_dict]
    if not names:
        task = " ".join(problem["language_instruction"])
        raise UsageError(f"LIBERO's option {option} needs a task that moves an object, not: {task}")
    return names[0]


class Handled:
    """An object in LIBERO's environment, just reset."""

    def __init__(self, env: Any, name: str) -> None:
        self.model, self.data = env.sim.model._model, env.sim.data._data
        joint = self.model.joint(env.objects_dict[name].joints[0])
        self.body = int(self.model.jnt_bodyid[joint.id])
        self.position, self.velocity = int(joint.qposadr[0]), int(joint.dofadr[0])
        """First indices of its free joint, in ``qpos`` and in ``qvel``."""
        self.robot = int(self.model.body_rootid[self.model.site_bodyid[env.robots[0].eef_site_id]])
        """Root of the robot's tree of bodies."""

    def contacts(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the geoms that touch it, (n,), and the contacts' heights, (n,) in m; n is their number."""
        pairs, heights_m = self.data.contact.geom, self.data.contact.pos[:, 2]
        own = self.roots(pairs) == self.body
        touching = own.any(axis=1)
        return np.where(own[:, 0], pairs[:, 1], pairs[:, 0])[touching], heights_m[touching]

    def roots(self, geoms: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the roots of the geoms' trees of bodies, in the same shape."""
        roots: NDArray[np.int32] = self.model.body_rootid[self.model.geom_bodyid[geoms]]
        return roots

    def held(self, geoms: NDArray[np.int32]) -> bool:
        """Return whether the robot is among what touches it."""
        return bool((self.roots(geoms) == self.robot).any())
