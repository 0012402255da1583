"""One LIBERO task without robosuite's overhead: our own physics loop, and resets without recompiling.

LIBERO still builds the scene, draws the fixtures' poses, sets goals and judges success; only the steps
in between are replaced. In each of the 25 physics steps of a control step robosuite runs three forward
passes. The part of a pass that depends on positions and velocities is the same three times. The
constraint solver starts from its own last solution, so repeating it changes the last bits. Therefore
``exact`` runs the first part once and the solver three times, and equals robosuite to the last bit.
``fast`` solves once, and differs from the 15th digit on.

A reset restores the compiled scene instead of building a new one. It restores everything that LIBERO or
an episode changes in the model and in Python objects. It makes the same MuJoCo calls as a hard reset
until the initial state is set, because every call affects the solver's warm start.
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
from vla_eval_envs.libero.simulator import Simulator, subgoal_name

__all__ = ["FastSimulator"]

# Physics steps in a control step, and the number of them before robosuite observes, see view.py.
_STEPS = 25
_OBSERVED_AFTER = 24
# All arrays of a model that LIBERO, or a shift, changes after compiling.
_CHANGED = ("body_pos", "body_quat", "site_rgba", "dof_damping")


class FastSimulator(Simulator):
    """A task's scene, compiled once, with the same interface as the reference."""

    def __init__(
        self,
        library: Library,
        bddl_file: Path,
        *,
        exact: bool,
        sparing: bool = True,
        picture_px: int = 256,
    ) -> None:
        """Build the scene.

        Args:
            library: the imported LIBERO.
            bddl_file: the file of the task.
            exact: whether to run the constraint solver as often as robosuite does.
            sparing: whether to leave out of the drawing what cannot change a pixel.
            picture_px: size of the drawing buffer; clearing a larger buffer takes more time.
        """
        self._exact, self._sparing, self._picture_px = exact, sparing, picture_px
        self._drawing_made = contextlib.ExitStack()
        self._compiled: dict[str, NDArray[Any]] = {}
        self._goals: dict[str, bool] = {}
        self._scratch: Any = None
        with self._drawing_made:
            super().__init__(library, bddl_file)
        release_compiler_memory(mujoco)
        env = self._env
        # In LIBERO the first reset after construction is a hard reset, which appends the list once more.
        env.object_property_initializers *= 2
        env.check_contact = ContactQuery(env)
        self._properties = [
            (thing.object_properties, copy.deepcopy(thing.object_properties))
            for thing in (*env.fixtures_dict.values(), *env.objects_dict.values())
        ]
        self._goal_state = [(subgoal_name(part), part) for part in env.parsed_problem["goal_state"]]
        self._driver = Driver(env, _STEPS, exact=exact)

    def _prepare(self, problem: Any) -> Any:
        simulator = self

        def initialize_sim(env: Any) -> None:
            model = compile_or_load(env.model.get_xml())
            release_compiler_memory(mujoco)
            model.vis.global_.offwidth = model.vis.global_.offheight = simulator._picture_px
            simulator._compiled = {name: getattr(model, name).copy() for name in _CHANGED}
            # robosuite makes its drawing context in the following reset.
            simulator._drawing_made.enter_context(without_hidden_textures(model))
            env.sim = simulator._library.simulation(model)
            env.sim.forward = RememberedForward(env.sim, _CHANGED)
            env.sim.forward()
            env.initialize_time(env.control_freq)

        # LIBERO compares the name of the class with the name in the task file.
        return type(problem.__name__, (problem,), {"_initialize_sim": initialize_sim})

    def _watch(self) -> None:
        """Do nothing: here :meth:`advance` observes at the right moment."""

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
        """Do nothing: the last observation is still valid."""

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
        """Return a function that runs MuJoCo's steps of one control step on a copy of the present state."""
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
        """Free the scene, its GL context and their remaining memory; a second call has no effect."""
        if self._env is not None:
            super().close()
            del self._driver
            self._scratch, self._properties = None, []
            # The scene's Python objects form reference cycles, and hold some 200 MB of MuJoCo's memory.
            gc.collect()
            release_compiler_memory(mujoco)

    def done(self) -> bool:
        """Return whether the task is done at this moment."""
        self._goals = {
            name: bool(self._env._eval_predicate(state)) for name, state in self._goal_state
        }
        return all(self._goals.values())

    def subgoals(self) -> dict[str, bool]:
        """Return whether each predicate of the goal held at the last call of :meth:`done`."""
        return dict(self._goals)
