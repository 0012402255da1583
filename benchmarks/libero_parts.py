"""Where the time of LIBERO's `exact` control step and of its two pictures goes, and what is the least of each.

    python benchmarks/libero_parts.py
    python benchmarks/libero_parts.py libero_goal/0 libero_10/3
    python benchmarks/libero_parts.py --table

writes ``results/libero_parts.json`` and its table, every task in a fresh process, in CPU time with OpenGL in the
same thread. Parts and wholes are measured in turns, from the same states. The least of a control step are the calls
of MuJoCo that equality with robosuite needs: one pass over positions and velocities, and three solutions of the
constraints, each of which begins with the last. The least of a picture is drawing it again with everything found and
compiled, and of that, what the triangles cost and what the pixels cost.
"""

# ruff: noqa: SLF001  looks inside

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run

from vla_eval.errors import InfrastructureError

NAME = "libero_parts"
TASKS = ("libero_spatial/0", "libero_object/1", "libero_goal/0", "libero_10/0", "libero_90/40")
STEPS, EVERY = 100, 10
SUBSTEPS = 25
PX = 256
KEY: dict[str, Any] = {"seed": 7, "options": {"init_state": 3}}


def main() -> None:
    """Measure all tasks, or those of the command line, and write the tables."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("tasks", nargs="*", metavar="SUITE/TASK")
    # What the script calls itself with, in a process of its own.
    arguments.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    tasks = chosen.tasks or TASKS
    if chosen.in_this_process:
        print(json.dumps(measure(tasks[0])))
        return
    if not chosen.table:
        rows = {task: measured(task) for task in tasks}
        save(NAME, {"machine": machine(), "tasks": rows})
    write_table(NAME, markdown)


def measured(task: str) -> dict[str, Any]:
    """Return a task's numbers, measured in a fresh process."""
    print(task, file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--in-this-process", task]
    environment = os.environ | {"LP_NUM_THREADS": "0"}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode != 0:
        raise InfrastructureError(f"{task}: could not be measured, for the reason above")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(task: str) -> dict[str, Any]:
    """Return the medians of a task's parts, ms."""
    from vla_eval_envs.libero.env import LiberoEnv

    suite, index = task.split("/")
    env = LiberoEnv(suite, int(index), physics="exact")
    env.reset(**KEY)
    env.observe()
    parts = Parts(env)
    knots = np.random.default_rng(1).uniform(-1, 1, (STEPS // 10 + 2, 7))
    times = np.arange(STEPS) / 10
    actions = np.stack([np.interp(times, np.arange(len(knots)), column) for column in knots.T], 1)
    for number, action in enumerate(actions.astype(np.float32)):
        parts.physics(action)
        if number % EVERY == 0:
            parts.pictures()
    env.close()
    return {name: round(float(np.median(values)), 3) for name, values in parts.ms.items()}


class Parts:
    """CPU time of an environment's parts, ms."""

    def __init__(self, env: Any) -> None:
        import mujoco

        from vla_eval_envs.libero.physics import driver

        self._mujoco, self._env, self._sim = mujoco, env, env._simulator._env.sim
        self._gl = importlib.import_module("OpenGL.GL")
        self._driver = env._simulator._driver
        self._scratch = mujoco.MjData(self._sim.model._model)
        self._state = driver._state(self._sim.model._model, self._scratch, self._driver._arm.site)
        self._controls = np.empty((SUBSTEPS, len(self._scratch.ctrl)))
        self.ms: dict[str, list[float]] = defaultdict(list)

    def _time(self, name: str, action: Callable[[], object]) -> None:
        began = time.thread_time()
        action()
        self.ms[name].append(1e3 * (time.thread_time() - began))

    def physics(self, action: Any) -> None:
        """Measure a control step; and on a copy of its start the loop alone, MuJoCo's calls, bare physics."""
        mujoco, model, data = self._mujoco, self._sim.model._model, self._sim.data._data
        kind = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        state = np.empty(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, data, state, kind)
        self._time("control step", lambda: self._env.advance(action))
        parts = (("loop", self._loop), ("calls", self._calls), ("mj_step", self._bare))
        mujoco.mj_setState(model, self._scratch, state, kind)
        self._record()
        for name, steps in parts:
            mujoco.mj_setState(model, self._scratch, state, kind)
            self._time(name, steps)
            if name != "mj_step" and not np.array_equal(self._scratch.qpos, data.qpos):
                raise InfrastructureError(f"{name} is not what the control step does")

    def _loop(self) -> None:
        """Do what a control step does in compiled code: MuJoCo's calls, Jacobian, torques."""
        self._begin()
        self._run(0, SUBSTEPS)

    def _record(self) -> None:
        """Do the same step by step, and keep the controls."""
        self._begin()
        for number in range(SUBSTEPS):
            self._run(number, number + 1)
            self._controls[number] = self._scratch.ctrl

    def _begin(self) -> None:
        mujoco, model = self._mujoco, self._sim.model._model
        mujoco.mj_step1(model, self._scratch)
        for _ in range(2):
            mujoco.mj_forwardSkip(model, self._scratch, mujoco.mjtStage.mjSTAGE_VEL, 1)

    def _run(self, first: int, last: int) -> None:
        from vla_eval_envs.libero.physics import loop

        addresses = self._sim.model._model._address, self._scratch._address
        driver = self._driver
        loop.physics_steps(*addresses, first, last, True, self._state, driver._arm, driver._goal)  # noqa: FBT003

    def _calls(self) -> None:
        """Make MuJoCo's calls alone, with the same controls."""
        mujoco, model, data = self._mujoco, self._sim.model._model, self._scratch
        for controls in self._controls:
            mujoco.mj_step1(model, data)
            mujoco.mj_forwardSkip(model, data, mujoco.mjtStage.mjSTAGE_VEL, 1)
            mujoco.mj_fwdConstraint(model, data)
            data.ctrl[:] = controls
            mujoco.mj_step2(model, data)

    def _bare(self) -> None:
        for _ in range(SUBSTEPS):
            self._mujoco.mj_step(self._sim.model._model, self._scratch)

    def pictures(self) -> None:
        """Measure an observation of both cameras; then each part of it, on the same state."""
        from vla_eval_envs.libero.simulator import CAMERAS

        cutter = self._env._simulator._view._visibility._cutter
        order, lists = cutter._order, cutter._compile
        spent = dict.fromkeys(("triangles", "lists"), 0.0)

        def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                began = time.thread_time()
                result = function(*arguments)
                spent[name] += 1e3 * (time.thread_time() - began)
                return result

            return call

        cutter._order, cutter._compile = counted("triangles", order), counted("lists", lists)
        self._time("pictures", self._env.observe)
        cutter._order, cutter._compile = order, lists
        for name, value in spent.items():
            self.ms[name].append(value)
        again = dict.fromkeys(("again", "empty", "16 px", "reading", "flip"), 0.0)
        for camera in CAMERAS:
            self._env._simulator.render(PX, camera)
            scene = self._sim._render_context_offscreen.scn
            geoms = scene.ngeom
            for name, count, px in (("again", geoms, PX), ("empty", 0, PX), ("16 px", geoms, 16)):
                scene.ngeom = count
                drawing, reading, flip = self._redraw(px)
                again[name] += drawing + reading
                if name == "again":
                    again["reading"] += reading
                    again["flip"] += flip
            scene.ngeom = geoms
        for name, value in again.items():
            self.ms[name].append(value)

    def _redraw(self, px: int) -> tuple[float, float, float]:
        """Draw the scene as it stands; return the times of drawing, of reading back, and of flipping, ms."""
        context = self._sim._render_context_offscreen
        times = [time.thread_time()]
        self._mujoco.mjr_render(self._mujoco.MjrRect(0, 0, px, px), context.scn, context.con)
        self._gl.glFinish()
        times.append(time.thread_time())
        picture = context.read_pixels(px, px)
        times.append(time.thread_time())
        np.ascontiguousarray(picture[::-1, ::-1])
        times.append(time.thread_time())
        drawing, reading, flip = 1e3 * np.diff(times)
        return float(drawing), float(reading), float(flip)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the tables."""
    lines = [
        "# Parts of a LIBERO control step and of its pictures",
        "",
        f"By `benchmarks/libero_parts.py`: {in_words(results['machine'])}.",
        "",
        "CPU time in ms, medians. A control step of `exact`; on a copy of its start its compiled loop alone, and MuJoCo's",
        "calls in it with the same controls; and 25 bare `mj_step`s from there, without changes of the controls. Loop and",
        "calls end in the control step's joint positions, to the last bit.",
        "",
        "| task | 25 `mj_step`s | calls | loop | control step | calls / `mj_step`s | loop / `mj_step`s | step / `mj_step`s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task, ms in results["tasks"].items():
        bare = ms["mj_step"]
        parts = [ms[name] for name in ("calls", "loop", "control step")]
        times = " | ".join(f"{each:.2f}" for each in (bare, *parts))
        ratios = " | ".join(f"{each / bare:.2f}" for each in parts)
        lines.append(f"| {task} | {times} | {ratios} |")
    lines += [
        "",
        "The calls alone take more than 1.5 times the `mj_step`s where robosuite's three solutions of the constraints do,",
        "which equality needs. The rest of the loop is the controller (Jacobian and torques), the rest of the control step is",
        "the goal, the observation and LIBERO's predicates, in Python.",
        "",
        f"Two pictures of {PX} px: finding the triangles that are seen, compiling their lists, drawing with both at hand,",
        "reading back, and turning. Of drawing and reading: what is left with nothing in the pictures, and with all triangles",
        "in pictures of 16 px, where hardly any pixel is computed.",
        "",
        "| task | two pictures | triangles | lists | drawing | reading | turning | nothing in them | 16 px |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for task, ms in results["tasks"].items():
        drawing = ms["again"] - ms["reading"]
        parts = [ms["pictures"], ms["triangles"], ms["lists"], drawing, ms["reading"], ms["flip"]]
        cells = " | ".join(f"{each:.1f}" for each in [*parts, ms["empty"], ms["16 px"]])
        lines.append(f"| {task} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
