"""Robustness options: graded disturbances of the scene, the sensors and the servos.

Every option is off (level 0) by default and goes up to 3. The draws depend only on the episode's seed
and initial state.

=================  ============================================================================
option             effect of level n
=================  ============================================================================
light              ceiling light and ambient light brighter or darker by up to 15 n %, and the
                   ceiling light's direction turned by up to 10 n degrees
colours            every material's red, green and blue shifted by up to 0.06 n, for objects of the
                   task by up to 0.02 n, so that a red block stays red; equal colours stay equal
camera_jitter      the policy's cameras displaced by up to 4 n mm and turned by up to n degrees
                   about each axis
distractors        n loose objects: on the SO-101's table, behind the task's objects; at the ends
                   of the LeKiwi's stand and on the floor beside it
mass_friction      masses of the task's objects scaled by a factor of up to exp(0.25 n) either way,
                   their friction and that of the jaws by a factor of up to exp(0.12 n)
observation_noise  Gaussian noise: 3 n grey levels on pictures, 0.25 n degrees on joint readings, 5 n mm/s
                   and n deg/s on the readings of a base's velocity
action_latency     commands take effect n control steps (n / 30 s) later
=================  ============================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vla_eval_envs.manipulation.distractors import Distractors
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["Levels", "Variation"]

_MAX_LEVEL = 3
_CONTROL_STEP_S = 1 / 30
_VARIED_FIELDS = (
    *("light_diffuse", "light_dir", "mat_rgba", "cam_pos", "cam_quat"),
    *("body_mass", "body_inertia", "geom_friction"),
)


@dataclass(frozen=True)
class Levels:
    """Level of each option, 0 (off) to 3; see the module."""

    light: int = 0
    colours: int = 0
    camera_jitter: int = 0
    distractors: int = 0
    mass_friction: int = 0
    observation_noise: int = 0
    action_latency: int = 0

    def __post_init__(self) -> None:
        for name, level in asdict(self).items():
            if not isinstance(level, int) or not 0 <= level <= _MAX_LEVEL:
                raise ValueError(f"{name} must be an integer in 0..{_MAX_LEVEL}, not {level!r}")


class Variation:
    """Applies the levels to one model: ``draw`` at every reset, the other methods at every step.

    Args:
        model: the compiled model; it is changed in place.
        levels: level of each option.
        cameras: names of the policy's cameras.
        distractors: distractors of the scene; the level is how many of them the model has.
        reading_noise: standard deviations (A,) of the readings at level 1, in SI.
        gripping_geoms: names of the geoms that touch a gripped object.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        levels: Levels,
        cameras: Sequence[str],
        distractors: Distractors,
        reading_noise: NDArray[np.float64],
        gripping_geoms: Collection[str],
    ) -> None:
        self._model = model
        self._levels = levels
        self._cameras = cameras
        self._distractors = distractors
        self._reading_noise = reading_noise
        self._nominal = {field: np.array(getattr(model, field)) for field in _VARIED_FIELDS}
        self._ambient = np.array(model.vis.headlight.ambient)
        free = mujoco.mjtJoint.mjJNT_FREE
        self._handled = [
            int(model.jnt_bodyid[joint])
            for joint in range(model.njnt)
            if model.jnt_type[joint] == free and model.joint(joint).name not in distractors.names
        ]
        self._gripped = [
            geom
            for geom in range(model.ngeom)
            if model.geom_bodyid[geom] in self._handled or model.geom(geom).name in gripping_geoms
        ]
        self._key = (0, 0)
        self._queue: deque[NDArray[np.float64]] = deque()

    def draw(self, data: mujoco.MjData, seed: int, init_state: int) -> None:
        """Change the model for an episode; call it before the state is set."""
        self._key = (seed, init_state)
        self._queue.clear()
        for field, nominal in self._nominal.items():
            getattr(self._model, field)[:] = nominal
        for stream, vary in enumerate(
            (self._vary_light, self._vary_colours, self._vary_cameras, self._vary_handling)
        ):
            vary(self._generator(stream))
        if self._levels.mass_friction:
            mujoco.mj_setConst(self._model, data)

    def _generator(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence((*self._key, *stream)))

    def _vary_light(self, generator: np.random.Generator) -> None:
        level, model = self._levels.light, self._model
        brighter = 1.0 + generator.uniform(-0.15, 0.15, 2) * level
        model.vis.headlight.ambient[:] = self._ambient * brighter[0]
        model.light_diffuse[0] *= brighter[1]
        turn = generator.uniform(-1, 1, 3) * np.deg2rad(10.0) * level
        model.light_dir[0] = _rotated(_quaternion(turn), model.light_dir[0])

    def _vary_colours(self, generator: np.random.Generator) -> None:
        level, colours = self._levels.colours, self._model.mat_rgba
        # Equal colours stay equal: two boxes of the same colour keep a common colour.
        texture = self._model.mat_texid[:, int(mujoco.mjtTextureRole.mjTEXROLE_RGB)]
        looks = np.column_stack([colours, texture])
        alike = np.unique(looks, axis=0, return_inverse=True)[1].ravel()
        shift = generator.uniform(-0.06, 0.06, (len(colours), 3))[alike] * level
        handled = {
            int(self._model.geom_matid[geom])
            for geom in range(self._model.ngeom)
            if self._model.geom_bodyid[geom] in self._handled
        }
        shift[sorted(handled)] /= 3.0
        colours[:, :3] = np.clip(colours[:, :3] + shift, 0.0, 1.0)

    def _vary_cameras(self, generator: np.random.Generator) -> None:
        level = self._levels.camera_jitter
        for name in self._cameras:
            camera = self._model.camera(name).id
            self._model.cam_pos[camera] += generator.uniform(-0.004, 0.004, 3) * level
            turn = _quaternion(generator.uniform(-1, 1, 3) * np.deg2rad(1.0) * level)
            before = np.array(self._model.cam_quat[camera])
            mujoco.mju_mulQuat(self._model.cam_quat[camera], turn, before)

    def _vary_handling(self, generator: np.random.Generator) -> None:
        level, model = self._levels.mass_friction, self._model
        heavier = np.exp(generator.uniform(-0.25, 0.25) * level)
        model.body_mass[self._handled] *= heavier
        model.body_inertia[self._handled] *= heavier
        model.geom_friction[self._gripped] *= np.exp(generator.uniform(-0.12, 0.12) * level)

    def distractor_places(self) -> Iterator[tuple[str, tuple[float, float, float], float]]:
        """Yield the name, position (m) and yaw (rad) of each distractor in the drawn episode."""
        yield from self._distractors.places(self._generator(10), self._levels.distractors)

    def delayed(
        self, targets: NDArray[np.float64], before: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the command that takes effect now: an earlier one, or ``before`` if there is none."""
        if not self._levels.action_latency:
            return targets
        self._queue.append(targets)
        if len(self._queue) <= self._levels.action_latency:
            return before
        return self._queue.popleft()

    def disturb(
        self, pixels: dict[str, NDArray[np.uint8]], readings: NDArray[np.float64], time_s: float
    ) -> tuple[dict[str, NDArray[np.uint8]], NDArray[np.float64]]:
        """Return pictures and readings (A,), in SI, with the noise of time ``time_s`` of the episode."""
        level = self._levels.observation_noise
        if not level:
            return pixels, readings
        generator = self._generator(20, round(time_s / _CONTROL_STEP_S))
        noise = generator.standard_normal(readings.shape)
        readings = readings + self._reading_noise * level * noise
        noisy = {
            name: np.clip(
                picture + 3.0 * level * generator.standard_normal(picture.shape, np.float32), 0, 255
            ).astype(np.uint8)
            for name, picture in pixels.items()
        }
        return noisy, readings


def _quaternion(turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quaternion (4,), w x y z, of a rotation vector (3,), rad."""
    quaternion, angle = np.zeros(4), float(np.linalg.norm(turn))
    axis = turn / angle if angle else np.array([1.0, 0.0, 0.0])
    mujoco.mju_axisAngle2Quat(quaternion, axis, angle)
    return quaternion


def _rotated(quaternion: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.zeros(3)
    mujoco.mju_rotVecQuat(result, np.array(vector), quaternion)
    return result
