"""A conveyor belt on the table."""

from __future__ import annotations

from dataclasses import dataclass

from vla_eval_envs.manipulation.appearance import add_material, add_part
from vla_eval_envs.manipulation.driven import PLATE_TOP_M, Driven, add_plate
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.world import MEAN_INERTIA

__all__ = ["Belt", "BeltDrive"]

_PITCH_M = 0.04
"""Distance between the belt's marks."""
_MARK_HALF_M = 0.003
_RUBBER, _CHALK = (0.10, 0.10, 0.11), (0.42, 0.42, 0.44)
_WEIGHTLESS = {"explicitinertial": True, "mass": 1.0, "ipos": [0.0] * 3, "inertia": [1.0] * 3}
"""For bodies that stand still: MuJoCo wants a mass, and never uses it."""


@dataclass(frozen=True)
class Belt:
    """A belt that runs towards -y: a strip with marks that move along, and a plate that carries.

    Lengths in m.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    """It ends at the first of these."""

    def add(self, spec: mujoco.MjSpec, *, driven: bool) -> None:
        """Add strip and marks, and if the belt is driven the plate; otherwise objects lie on the table."""
        x, y = sum(self.x) / 2, sum(self.y) / 2
        half_x, half_y = (self.x[1] - self.x[0]) / 2, (self.y[1] - self.y[0]) / 2
        add_material(spec, "belt", _RUBBER, 0.1, 0.1)
        add_material(spec, "belt_mark", _CHALK, 0.1, 0.1)
        world = spec.worldbody
        strip = world.add_body(name="belt_strip", pos=[x, y, 0.0], **_WEIGHTLESS)
        add_part(strip, "belt_strip", "box", "belt", [0.0] * 3, [half_x, half_y, PLATE_TOP_M])
        marks = world.add_body(name="belt_marks", mocap=True, **_WEIGHTLESS)
        for index in range(round(2 * half_y / _PITCH_M)):
            place = [x, self.y[1] - _MARK_HALF_M - index * _PITCH_M, PLATE_TOP_M]
            size = [half_x, _MARK_HALF_M, 0.0001]
            add_part(marks, f"belt_mark{index}", "box", "belt_mark", place, size)
        if driven:
            add_plate(spec, "belt", self.x, self.y, "y", MEAN_INERTIA)

    def carries(self, x: float, y: float) -> bool:
        """Return whether a point lies over the belt."""
        return self.x[0] < x < self.x[1] and self.y[0] < y < self.y[1]


class BeltDrive:
    """Runs the belt of a compiled model at a speed, m/s."""

    def __init__(self, model: mujoco.MjModel, speed_mps: float) -> None:
        self._speed_mps = speed_mps
        self._plate = Driven(model, "belt_y")
        self._marks = int(model.body("belt_marks").mocapid[0])

    def run(self, data: mujoco.MjData, time_s: float) -> None:
        """Prepare the control step that ends at a time of the episode."""
        self._plate.move(data, 0.0, -self._speed_mps)
        data.mocap_pos[self._marks, 1] = -((self._speed_mps * time_s) % _PITCH_M)
