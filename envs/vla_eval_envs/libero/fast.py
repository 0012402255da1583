"""One LIBERO task without robosuite's overhead: our own physics loop, resets without recompiling.

LIBERO builds the scene, draws the fixtures' poses, sets goals and judges success; only what is in
between is replaced. In each of the 25 physics steps of a control step robosuite runs three forward
passes. What a pass derives from positions and velocities is the same three times; the constraint
solver, which starts from its own last solution, is not idempotent in the last bits. ``exact``
therefore runs the first part once and the solver three times, and equals robosuite to the last bit;
``fast`` solves once, and differs from the 15th digit on.

A reset rewinds the compiled scene instead of building another: everything that LIBERO or an episode
changes in model and Python objects is put back, and MuJoCo's calls until the initial state is set are
those of a hard reset, since each of them leaves its trace in the solver's warm start.
"""

# ruff: noqa: SLF001  robosuite names nearly all of its interface with an underscore

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.libero.drawing.textures import without_hidden_textures
from vla_eval_envs.libero.install import Library
from vla_eval_envs.libero.physics.contacts import ContactQuery
from vla_eval_envs.libero.physics.driver import Driver
from vla_eval_envs.libero.physics.forward import RememberedForward
from vla_eval_envs.libero.physics.memory import release_compiler_memory
from vla_eval_envs.libero.scene_cache import compile_or_load
from vla_eval_envs.libero.simulator import Simulator

__all__ = ["FastSimulator"]

# Physics steps in a control step, and after how many robosuite observes, see view.py.
_STEPS = 25
_OBSERVED_AFTER = 24
# Everything in a model that LIBERO changes after compiling it.
_CHANGED = ("body_pos", "body_quat", "site_rgba")


class FastSimulator(Simulator):
    """A task's scene, compiled once, with the same interface as the reference."""

    _sparing = True

    def __init__(
        self, library: Library, bddl_file: Path, *, exact: bool, picture_px: int = 256
    ) -> None:
        """Build the scene.

        Args:
            library: LIBERO.
            bddl_file: the task.
            exact: whether to run the constraint solver as often as robosuite does.
            picture_px: the size that drawing is made ready for; clearing a larger buffer takes time.
        """
        self._exact, self._picture_px = exact, picture_px
        self._drawing_made = contextlib.ExitStack()
        self._compiled: dict[str, NDArray[Any]] = {}
        self._goals: dict[str, bool] = {}
        self._scratch: Any = None
        with self._drawing_made:
            super().__init__(library, bddl_file)
        release_compiler_memory(mujoco)
        env = self._env
        # The first reset after construction is a hard one in LIBERO, which appends them once more.
        env.object_property_initializers *= 2
        env.check_contact = ContactQuery(env)
        self._properties = [
            (thing.object_properties, copy.deepcopy(thing.object_properties))
            for thing in (*env.fixtures_dict.values(), *env.objects_dict.values())
        ]
        self._goal_state = [
            (f"{predicate}({', '.join(names)})", [predicate, *names])
            for predicate, *names in env.parsed_problem["goal_state"]
        ]
        self._driver = Driver(env, _STEPS, exact=exact)

    def _prepare(self, problem: Any) -> Any:
        simulator = self

        def initialize_sim(env: Any) -> None:
            model = compile_or_load(env.model.get_xml())
            release_compiler_memory(mujoco)
            model.vis.global_.offwidth = model.vis.global_.offheight = simulator._picture_px
            simulator._compiled = {name: getattr(model, name).copy() for name in _CHANGED}
            # robosuite makes its drawing context in the reset that follows.
            simulator._drawing_made.enter_context(without_hidden_textures(model))
            env.sim = simulator._library.simulation(model)
            env.sim.forward = RememberedForward(env.sim, _CHANGED)
            env.sim.forward()
            env.initialize_time(env.control_freq)

        # LIBERO compares the class's name with the task file's.
        return type(problem.__name__, (problem,), {"_initialize_sim": initialize_sim})

    def _watch(self) -> None:
        """Nothing observes by itself here: :meth:`advance` looks at the right moment."""

    def _rewind(self) -> None:
        env = self._env
        model, data = env.sim.model._model, env.sim.data._data
        mujoco.mj_resetData(model, data)
        for name, values in self._compiled.items():
            getattr(model, name)[:] = values
        for properties, original in self._properties:
            properties.update(copy.deepcopy(original))
        env.sim.forward()  # as after compiling
        env.sim.forward()  # as after creating a render context
        env._reset_internal()
        env.sim.forward()
        env.visualize(vis_settings=dict.fromkeys(env._visualizations, False))
        self._driver = Driver(env, _STEPS, exact=self._exact)

    def _look(self) -> None:
        env = self._env
        data, robot = env.sim.data._data, env.robots[0]
        self._view.capture(env.sim)
        hand = env.sim.model._body_name2id[robot.robot_model.eef_name]
        w, x, y, z = data.xquat[hand]
        self._observed = {
            "robot0_eef_pos": data.site_xpos[robot.eef_site_id].copy(),
            "robot0_eef_quat": np.array([x, y, z, w]),
            "robot0_gripper_qpos": data.qpos[robot._ref_gripper_joint_pos_indexes],
            "robot0_joint_pos": data.qpos[robot._ref_joint_pos_indexes],
        }

    def _last_look(self) -> None:
        """The last observation stands."""

    def advance(self, action: ArrayLike) -> bool:
        """Run one control step of 25 physics steps and return whether the task is done.

        Raises:
            InfrastructureError: the physics became unstable; MuJoCo has reset the state by itself.
        """
        driver = self._driver
        driver.begin(np.asarray(action, dtype=np.float32))
        driver.run(_OBSERVED_AFTER)
        self._look()
        driver.run(_STEPS)
        done = self.done()
        self._env._post_process()
        self._check_stable()
        return done

    def bare_physics(self) -> Callable[[], None]:
        """Return what runs MuJoCo's own steps for one control step, from here, on a copy."""
        model, data = self._env.sim.model._model, self._env.sim.data._data
        if self._scratch is None:
            self._scratch = mujoco.MjData(model)
        scratch, kind = self._scratch, int(mujoco.mjtState.mjSTATE_INTEGRATION)
        state = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, state, kind)
        mujoco.mj_setState(model, scratch, state, kind)

        def run() -> None:
            for _ in range(_STEPS):
                mujoco.mj_step(model, scratch)

        return run

    def close(self) -> None:
        """Free the scene, its GL context and what both leave behind; harmless when done already."""
        if self._env is not None:
            super().close()
            del self._driver
            self._scratch, self._properties = None, []
            # The scene's Python objects refer to each other in circles, and to some 200 MB of MuJoCo's.
            gc.collect()
            release_compiler_memory(mujoco)

    def done(self) -> bool:
        """Return whether the task is done at this moment."""
        self._goals = {
            name: bool(self._env._eval_predicate(state)) for name, state in self._goal_state
        }
        return all(self._goals.values())

    def subgoals(self) -> dict[str, bool]:
        """Return which of the goal's predicates held when :meth:`done` was last asked."""
        return dict(self._goals)
