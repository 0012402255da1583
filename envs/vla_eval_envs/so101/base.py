"""Base of every SO-101 task: the arm on its table, its actions, its cameras."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_eval.catalog import Task
from vla_eval.environment import Action
from vla_eval_envs.manipulation.env import ManipulationEnv, render_metadata
from vla_eval_envs.manipulation.frozen import DEVELOPMENT_STATES
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.manipulation.units import choose_units
from vla_eval_envs.so101.arm import add_arm, jaw_geom_names
from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.objects import DISTRACTORS
from vla_eval_envs.so101.shell import add_shell
from vla_eval_envs.so101.units import FEATURE_NAMES, UNIT_SYSTEMS, UnitSystem, to_radians
from vla_eval_envs.so101.world import add_cameras, add_room, set_physics

__all__ = ["HOME", "SO101Env"]

HOME = (0.0, -100.0, 80.0, 88.0, 0.0, 0.0)
"""The arm's start in LeRobot's units: folded back, gripper closed, the table in full view."""
_JOINTS = len(FEATURE_NAMES)
_HOME_RAD = to_radians(HOME)


class SO101Env(ManipulationEnv[UnitSystem]):
    """Base of the SO-101 tasks.

    A task is one module of this package. It sets ``task_description``, ``max_steps``, ``score_rule``
    and ``frozen`` and implements :meth:`_add_objects`, :meth:`_bind`, :meth:`_arrange_objects` and
    :meth:`_watch`. Its expert has the task's name followed by "Expert", and is in the module of
    the same name in ``vla_eval_policies.experts.so101``.
    """

    max_steps: ClassVar[int]
    """Time limit of ``gym.make``, in steps of 1/30 s; a protocol sets its own."""
    score_rule: ClassVar[str]
    """The parts of the score in a few words; for docs/tasks.md."""
    frozen: ClassVar[FrozenStates]
    """The initial states."""
    camera_names = ("top", "wrist")
    distractors = DISTRACTORS
    gripping_geoms = (*jaw_geom_names()[0], *jaw_geom_names()[1])
    reading_noise = np.full(_JOINTS, np.deg2rad(0.25))
    metadata: dict[str, Any] = render_metadata(FEATURE_NAMES)

    def __init__(
        self,
        *,
        image_size: int = 256,
        shadows: bool = False,
        units: str = "degrees",
        look: str = "primitives",
        render_mode: str | None = None,
        **levels: int,
    ) -> None:
        self._look = look
        super().__init__(
            self.frozen.load(),
            choose_units(UNIT_SYSTEMS, units),
            image_size=image_size,
            shadows=shadows,
            render_mode=render_mode,
            levels=levels,
        )

    @classmethod
    def tasks(cls) -> tuple[Task, ...]:
        """Return the row of this task in the catalogue."""
        return (
            Task(
                name=cls.__name__,
                env_id=f"vla_eval_envs:so101/{cls.__name__}-v0",
                instruction=cls.task_description,
                init_states=cls.frozen.count,
                max_steps=cls.max_steps,
                entry_point=f"{cls.__module__}:{cls.__name__}",
                development_states=DEVELOPMENT_STATES,
            ),
        )

    def _build(self, spec: mujoco.MjSpec) -> None:
        set_physics(spec)
        add_room(spec)
        add_arm(spec)
        add_shell(spec, self._look)
        add_cameras(spec)
        self._add_objects(spec)

    @abstractmethod
    def _add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add the objects on the table to the model."""

    def _arrange(self, state: Mapping[str, float]) -> None:
        self.data.qpos[:_JOINTS] = _HOME_RAD
        self.data.ctrl[:] = _HOME_RAD
        self._arrange_objects(state)

    @abstractmethod
    def _arrange_objects(self, state: Mapping[str, float]) -> None:
        """Move the objects to an initial state."""

    def _control(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.units.to_radians(action)

    def _readings(self) -> NDArray[np.float64]:
        return self.joint_angles()

    def hold_action(self) -> Action:
        """Return the joints' positions as targets, float32 (6,), inside the action space."""
        return self.units.action(self.joint_angles())

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Return the last command: a servo that gets no new goal keeps the old one, and its squeeze."""
        del ticks
        return last

    def joint_angles(self) -> NDArray[np.float64]:
        """Return the joints' positions (6,), rad."""
        return np.array(self.data.qpos[:_JOINTS])
