"""A shift: once in an episode, the object that a task moves first is pushed to another place.

LIBERO's objects weigh 6 g to some 100 g, and its contacts are so stiff that objects hop while they slide: friction is
between nothing and twice its mean from one physics step to the next. So a force that is chosen once in a control
step (50 ms) moves an object by anything from 1 to 7 cm. Here the force is a pull against a viscous drag, as that of
a hand that knows where it goes: the drag acts in every physics step, and the pull is chosen anew in every
control step by what is left of the way. Both are external and horizontal; nothing is teleported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import UsageError
from vla_eval_envs.libero.catalog import CONTROL_HZ
from vla_eval_envs.libero.handled import Handled, generator, moved_first

__all__ = ["MAX_SHIFT_CM", "SHIFT_STEPS", "Mover", "Shift"]

MAX_SHIFT_CM = 5
SHIFT_STEPS = 13
"""Control steps (0.65 s) that a shift takes; in the last three of them only what is left of the way is made up."""
_FIRST_TICK, _LAST_TICK = 10, 29
_STREAM = 22

_SHARES = np.linspace(0.0, 1.0, 11)
_TRACK = np.append(_SHARES**3 * (10.0 - 15.0 * _SHARES + 6.0 * _SHARES**2), [1.0] * 3)
"""Shares of the way after each control step, (14,): a minimum-jerk motion of ten control steps, and rest."""
_DRAG_HZ = 500.0
"""Drag, linear and angular, relative to mass and inertia: it stops an object within some 2 ms."""
_MOST_MPS = 0.2
"""Bounds the pull to 11 times the object's weight, whatever is in the way; 4 cm take 0.15 m/s at most."""
_FRICTION = 1.0
"""Sliding friction of LIBERO's tables, 0.95, and floors, 1; a difference is made up in the next control step."""
_GRAVITY_MPS2 = 9.81
_STILL_MPS = 0.05
"""A bowl at rest on LIBERO's microwave jumps up and down at 0.03 m/s; one that falls has this speed after 5 ms."""


@dataclass(frozen=True)
class Shift:
    """When an object is shifted, where to, and how far."""

    tick: int
    """Control steps before it, since the reset."""
    direction_rad: float
    """Direction in the plane of the table; 0 is the world's +x, away from the robot."""
    length_m: float

    @classmethod
    def drawn(cls, seed: int, init_state: int | None, longest_m: float) -> Self:
        """Return the shift of an episode: after 10 to 29 control steps, in any direction, 0.5..1 of the longest.

        Args:
            seed: the environment's.
            init_state: its number; None in a scene that has none.
            longest_m: the level.
        """
        rng = generator(_STREAM, seed, init_state)
        tick = int(rng.integers(_FIRST_TICK, _LAST_TICK + 1))
        return cls(tick, float(rng.uniform(-np.pi, np.pi)), longest_m * float(rng.uniform(0.5, 1)))

    def motion(self) -> dict[str, float]:
        """Return what belongs to the scene's hash."""
        return {
            "shift_tick": self.tick,
            "shift_direction_rad": self.direction_rad,
            "shift_m": self.length_m,
        }

    def begin(self, env: Any) -> Mover:
        """Return what shifts the object in LIBERO's environment, just reset.

        Raises:
            UsageError: the task moves no object, or one that stands on another and would tip with it.
        """
        name = moved_first(env, "shift_cm")
        (support,) = (part[2] for part in env.parsed_problem["initial_state"] if part[1] == name)
        if support in env.objects_dict:
            task = " ".join(env.parsed_problem["language_instruction"])
            raise UsageError(
                f"LIBERO's option shift_cm would tip {name}, which stands on {support}, in: {task}"
            )
        return Mover(Handled(env, name), self)


class Mover:
    """Shifts the object in one episode, in any of the physics loops: it acts between control steps only."""

    name = "shift"

    def __init__(self, handled: Handled, shift: Shift) -> None:
        model, data, velocity = handled.model, handled.data, handled.velocity
        self._handled, self._shift, self._tick, self._moving = handled, shift, 0, False
        self._model, self._data, self._body = model, data, handled.body
        self._place = data.qpos[handled.position : handled.position + 2]  # these four are views
        self._velocity = data.qvel[velocity : velocity + 3]
        self._force = data.qfrc_applied[velocity : velocity + 6]
        self._damping = model.dof_damping[velocity : velocity + 6]
        self._own_damping = self._damping.copy()
        self._start, self._bottom_m = np.zeros(2), 0.0
        self.shown: int | None = None
        """Control step of the first observation that can show the shift; None: it has not begun."""

    def prepare(self) -> None:
        """Set the forces of the next control step."""
        done = self._tick - self._shift.tick
        self._tick += 1
        geoms, heights_m = self._handled.contacts()
        held = self._handled.held(geoms)
        if done == 0 and not held and float(np.linalg.norm(self._velocity)) < _STILL_MPS:
            self._begin(heights_m)
        elif self._moving and (done == SHIFT_STEPS or held):
            self._end()
        if self._moving:
            self._pull(done)

    def _begin(self, heights_m: NDArray[np.float64]) -> None:
        self._moving, self.shown, self._start = True, self._tick, self._place.copy()
        self._bottom_m = float(heights_m.min(initial=self._data.xipos[self._body, 2]))
        mass, inertia = self._model.body_mass[self._body], self._model.body_inertia[self._body]
        self._damping[:2] = _DRAG_HZ * mass
        self._damping[3:] = _DRAG_HZ * inertia.max()

    def _pull(self, done: int) -> None:
        """Pull at the body's origin, and let the pull act as low as the friction, so that nothing tips over."""
        angle, length_m = self._shift.direction_rad, self._shift.length_m
        way = np.array([np.cos(angle), np.sin(angle)])
        left = _TRACK[done + 1] * length_m * way - (self._place - self._start)
        speed = left * CONTROL_HZ
        speed *= min(1.0, _MOST_MPS / max(float(np.linalg.norm(speed)), 1e-9))
        mass = self._model.body_mass[self._body]
        slides = _TRACK[done] < 1.0
        friction = mass * _GRAVITY_MPS2 * _FRICTION * way if slides else np.zeros(2)
        self._force[:2] = mass * _DRAG_HZ * speed + friction
        below_m = self._bottom_m - self._data.xpos[self._body, 2]
        torque = np.array([-below_m * friction[1], below_m * friction[0], 0.0])
        self._force[3:] = torque @ self._data.xmat[self._body].reshape(3, 3)

    def _end(self) -> None:
        self._moving, self._force[:], self._damping[:] = False, 0.0, self._own_damping
