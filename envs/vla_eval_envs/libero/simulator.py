"""One LIBERO task in robosuite, made reproducible.

LIBERO's reset draws the poses of cabinets, stoves and racks from NumPy's global generator and then
sets the joint positions of an initial state on top. So the scene depends on everything that drew
from that generator before, and, because every hard reset appends to
``object_property_initializers`` and later resets draw once per entry, on how many resets came
before. :meth:`Simulator.reset` undoes both: it cuts the list back to its length after
construction and seeds the generator, so every reset gives the same scene as the first reset of a new
environment. All other remains of an episode (controller goals, gripper targets, MuJoCo's warm start,
clocks) are in objects that a hard reset builds again.
"""

# ruff: noqa: SLF001  robosuite names nearly all of its interface with an underscore
# ruff: noqa: NPY002  LIBERO draws from the legacy generator

from __future__ import annotations

import atexit
import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval.errors import InfrastructureError
from vla_eval_envs.libero.catalog import CONTROL_HZ
from vla_eval_envs.libero.drawing.view import View
from vla_eval_envs.libero.install import Library, quiet
from vla_eval_envs.scene import scene_hash, state_hash

__all__ = ["CAMERAS", "Simulator", "subgoal_name"]

# LIBERO's own reset tries without limit. A scene that fails this often is broken.
_PLACEMENT_TRIES = 20
# Seed of the scene that construction builds; the first reset discards this scene.
_CONSTRUCTION_SEED = 0
# robosuite's default, used for LIBERO's frozen states; here robosuite's own noise is switched off.
_ARM_NOISE_RAD = 0.02
_SETTLE_ACTION = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
CAMERAS = {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}

_open_simulators: weakref.WeakSet[Simulator] = weakref.WeakSet()


class Simulator:
    """A task's robosuite environment: scene, physics, success, pictures."""

    _sparing = False
    """Whether invisible geoms are left out of the drawing: the same pixels, faster."""

    def __init__(self, library: Library, bddl_file: Path) -> None:
        self._library = library
        self._view = View(sparing=self._sparing)
        with quiet(), _numpy_seed(_CONSTRUCTION_SEED):
            self._env = self._retry(lambda: self._build(bddl_file))
        self._initializers = len(self._env.object_property_initializers)
        self._observed: dict[str, Any] = {}
        self._watch()
        if not _open_simulators:
            # Registered after robosuite's own hook, so that contexts are freed before the display.
            atexit.register(_close_all)
        _open_simulators.add(self)

    def _build(self, bddl_file: Path) -> Any:
        problem = self._library.problem_info(str(bddl_file))["problem_name"]
        return self._prepare(self._library.problems[problem])(
            str(bddl_file),
            robots=["Panda"],
            controller_configs=self._library.controller_config(default_controller="OSC_POSE"),
            initialization_noise=None,
            use_camera_obs=False,
            has_renderer=False,
            has_offscreen_renderer=True,
            control_freq=CONTROL_HZ,
            ignore_done=True,
            hard_reset=True,
        )

    def _prepare(self, problem: Any) -> Any:
        """Return the class to build for LIBERO's problem class."""
        return problem

    def _watch(self) -> None:
        """Store the view of the cameras whenever robosuite observes."""

        @self._library.sensor(modality="view")  # type: ignore[untyped-decorator]
        def capture(_: Any) -> NDArray[np.float64]:
            self._view.capture(self._env.sim)
            return np.zeros(1)

        self._env.add_observable(
            self._library.observable(
                name="view", sensor=capture, sampling_rate=CONTROL_HZ, active=False
            )
        )

    def _retry(self, attempt: Callable[[], Any]) -> Any:
        for _ in range(_PLACEMENT_TRIES):
            with contextlib.suppress(self._library.randomization_error):
                return attempt()
        raise InfrastructureError(
            f"LIBERO found no free place for its objects in {_PLACEMENT_TRIES} tries"
        )

    def reset(
        self,
        seed: int,
        state: ArrayLike | None,
        settle_steps: int,
        *,
        absolute: bool,
        motion: Mapping[str, float] | None = None,
    ) -> str:
        """Build the scene of a seed and an initial state, and let it settle.

        Args:
            seed: decides the places of the fixtures, 0 to 2**32 - 1.
            state: time, joint positions and velocities, (1 + nq + nv,). None: LIBERO draws the objects
                with this seed, and the arm starts as in robosuite.
            settle_steps: control steps during which the robot holds still, gripper open.
            absolute: whether actions after settling are poses instead of displacements.
            motion: what will happen in the scene, for its hash.

        Returns:
            The hash of the scene before settling. It does not depend on a processor's last bits,
            while the scene after settling depends on the physics and on ``settle_steps``.
        """
        # In another environment's GL context, freeing old buffers would free that environment's buffers.
        self._make_current()
        with quiet(), _numpy_seed(seed):
            self._retry(self._rewind)
            placed = self._drawn_state() if state is None else state
            self._set_state(np.asarray(placed, dtype=np.float64))
            identity = scene_hash(self._env.sim.model, self._env.sim.data, motion)
            for _ in range(settle_steps):
                self.advance(_SETTLE_ACTION)
        self._env.robots[0].controller.use_delta = not absolute
        self._last_look()
        return identity

    def _rewind(self) -> None:
        """Restore the state before the first reset, and draw the scene."""
        del self._env.object_property_initializers[self._initializers :]
        self._env.reset()

    def _drawn_state(self) -> NDArray[np.float64]:
        """Return the state of the newly drawn scene, with noise on the arm's joints."""
        state: NDArray[np.float64] = self._env.sim.get_state().flatten()
        joints = np.asarray(self._env.robots[0]._ref_joint_pos_indexes)
        state[1 + joints] += np.random.normal(0.0, _ARM_NOISE_RAD, len(joints))
        return state

    def _set_state(self, state: NDArray[np.float64]) -> None:
        """Do the same as LIBERO's ``regenerate_obs_from_state``, in the same order."""
        sim = self._env.sim
        expected = 1 + sim.model.nq + sim.model.nv
        if state.shape != (expected,):
            raise InfrastructureError(
                f"an initial state has shape {state.shape}, this scene needs ({expected},); "
                "reinstall hf-libero"
            )
        sim.set_state_from_flattened(state)
        sim.forward()
        self._env._check_success()
        self._env._post_process()
        self._look()

    def _look(self) -> None:
        self._env._update_observables(force=True)

    def _last_look(self) -> None:
        self._observed = self._env._get_observations()

    def advance(self, action: ArrayLike) -> bool:
        """Run one control step of 25 physics steps and return whether the task is done.

        Raises:
            InfrastructureError: the physics became unstable; MuJoCo has reset the state by itself.
        """
        # Single precision, as LeRobot and Gymnasium pass actions: robosuite converts absolute
        # orientations in the precision of the input, so the last bits would differ.
        self._observed, _, done, _ = self._env.step(np.asarray(action, dtype=np.float32))
        self._check_stable()
        return bool(done)

    def _check_stable(self) -> None:
        warnings = self._env.sim.data._data.warning
        if any(warnings[kind].number for kind in self._library.bad_state_warnings):
            raise InfrastructureError("the simulation became unstable: MuJoCo reset the state")

    @property
    def robosuite_env(self) -> Any:
        """LIBERO's environment."""
        return self._env

    def done(self) -> bool:
        """Return whether the task is done at this moment."""
        return bool(self._env._check_success())

    def subgoals(self) -> dict[str, bool]:
        """Return whether each predicate of the goal holds now, by names like ``on(bowl_1, plate_1)``."""
        goal = self._env.parsed_problem["goal_state"]
        return {subgoal_name(part): bool(self._env._eval_predicate(part)) for part in goal}

    def state_hash(self) -> str:
        """Return the hash of all joint positions now."""
        return state_hash(self._env.sim.data)

    def observed(self, name: str) -> NDArray[np.float64]:
        """Return robosuite's last observation ``name``, without its prefix ``robot0_``."""
        return np.array(self._observed[f"robot0_{name}"], dtype=np.float64)

    def grip_pose(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return position (3,) in m and rotation (3, 3) of the grasp point, which the controller moves."""
        data, site = self._env.sim.data._data, self._env.robots[0].eef_site_id
        return data.site_xpos[site].copy(), data.site_xmat[site].reshape(3, 3).copy()

    def render(self, size: int, *names: str) -> dict[str, NDArray[np.uint8]]:
        """Draw the cameras, uint8 (size, size, 3), upside down as in LIBERO.

        Args:
            size: height and width in pixels.
            names: ``agentview`` or ``wrist``; without names, both.
        """
        cameras = {name: CAMERAS[name] for name in names or CAMERAS}
        return self._view.render(self._env.sim, cameras, size)

    def bare_physics(self) -> Callable[[], None] | None:
        """Return a function that runs MuJoCo's steps of one control step; None: not measured here."""
        return None

    def close(self) -> None:
        """Free the simulation and its GL context; a second call has no effect."""
        if self._env is not None:
            self._make_current()
            self._env.close()
            self._env = None
            _open_simulators.discard(self)

    def _make_current(self) -> None:
        sim = self._env.sim
        if sim is not None and sim._render_context_offscreen is not None:
            sim._render_context_offscreen.gl_ctx.make_current()


def subgoal_name(part: Sequence[str]) -> str:
    """Return the name of one part of LIBERO's goal, a predicate and what it speaks of."""
    predicate, *names = part
    return f"{predicate}({', '.join(names)})"


def _close_all() -> None:
    for simulator in list(_open_simulators):
        simulator.close()


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which LIBERO uses, and restore the caller's state afterwards."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
