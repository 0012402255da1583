"""A push: once in an episode, while the object that a task moves first is carried, the fingers are pushed apart.

Each of the Panda's fingers is driven by an actuator that wants the hand wholly closed: it presses with 1 N for each mm
between finger and middle, 20 N at most, and the joint's friction adds 1 N. So a rim of 8 mm is held by some 4 to 8 N, a
can by 20, and a push of more than 21 N opens the hand whatever it holds. A joint's viscous drag, 100 N s/m, keeps
the fingers slow: 40 N open them by about 4 cm in 0.1 s. Nothing else is pushed: the object falls by its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vla_eval_envs.libero.handled import Handled, generator, moved_first

__all__ = ["CARRIED_STEPS", "MAX_PUSH_N", "Push", "Pusher"]

MAX_PUSH_N = 40
CARRIED_STEPS = 3
"""Control steps in a row after which an object counts as carried."""
_MOST_AFTER, _SHORTEST, _LONGEST = 9, 2, 6
_STREAM = 23


@dataclass(frozen=True)
class Push:
    """When the fingers are pushed apart, how strongly, and for how long."""

    force_n: float
    after_ticks: int
    """Control steps in a row that the object must have been carried, beyond those after which it counts as carried."""
    ticks: int
    """Its length in control steps."""

    @classmethod
    def drawn(cls, seed: int, init_state: int | None, force_n: float) -> Self:
        """Return the push of an episode: 0 to 9 control steps after the object counts as carried, 0.1 to 0.3 s long.

        Args:
            seed: the environment's.
            init_state: its number; None in a scene that has none.
            force_n: the level.
        """
        rng = generator(_STREAM, seed, init_state)
        after = int(rng.integers(_MOST_AFTER + 1))
        return cls(force_n, after, int(rng.integers(_SHORTEST, _LONGEST + 1)))

    def motion(self) -> dict[str, float]:
        """Return what belongs to the scene's hash."""
        return {
            "push_n": self.force_n,
            "push_after_ticks": self.after_ticks,
            "push_ticks": self.ticks,
        }

    def begin(self, env: Any) -> Pusher:
        """Return what pushes the fingers in LIBERO's environment, just reset.

        Raises:
            UsageError: the task moves no object.
        """
        return Pusher(Handled(env, moved_first(env, "push_n")), env.robots[0], self)


class Pusher:
    """Pushes the fingers in one episode, in any of the physics loops: it acts between control steps only."""

    name = "push"

    def __init__(self, handled: Handled, robot: Any, push: Push) -> None:
        model, parts = handled.model, robot.gripper.important_geoms
        self._handled, self._push = handled, push
        self._fingers = [
            [model.geom(name).id for name in parts[f"{side}_finger"]] for side in ("left", "right")
        ]
        joints = [model.joint(name) for name in robot.gripper.joints]
        first, last = (int(joint.dofadr[0]) for joint in joints)
        self._force = handled.data.qfrc_applied[first : last + 1]  # a view
        # One finger opens towards positive, the other towards negative positions; their axes are parallel.
        self._apart = np.sign([joint.range.sum() for joint in joints])
        self._tick, self._carried = 0, 0
        self.shown: int | None = None
        """Control step of the first observation that can show the push; None: it has not begun."""

    def prepare(self) -> None:
        """Set the forces of the next control step."""
        self._tick += 1
        if self.shown is None:
            self._carried = self._carried + 1 if self._is_carried() else 0
            if self._carried == CARRIED_STEPS + self._push.after_ticks:
                self.shown = self._tick
        pushed = self.shown is not None and self._tick < self.shown + self._push.ticks
        self._force[:] = self._push.force_n * self._apart if pushed else 0.0

    def _is_carried(self) -> bool:
        """Return whether both fingers touch the object, and nothing but the robot does."""
        geoms, _ = self._handled.contacts()
        by_robot = bool((self._handled.roots(geoms) == self._handled.robot).all())
        return by_robot and all(np.isin(geoms, finger).any() for finger in self._fingers)
