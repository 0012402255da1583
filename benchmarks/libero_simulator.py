"""Measures the LIBERO simulator against the physics it is made of, every task in a fresh process.

    python benchmarks/libero_simulator.py
    python benchmarks/libero_simulator.py libero_goal/0 libero_10/3

writes results/libero_simulator.json and .md, which docs/libero.md cites. The two numbers of a ratio are
measured alternately in one process, so that a busy machine shifts both. CPU time of the thread is counted,
and not the clock: neighbours on the same cores stretch the clock, and a control step is one thread's work.
"""

# ruff: noqa: SLF001  looks inside

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run

from vla_eval.catalog import find_suite
from vla_eval.errors import InfrastructureError

NAME = "libero_simulator"
TASKS = (
    "libero_spatial/4",
    "libero_spatial/5",
    "libero_object/1",
    "libero_object/2",
    "libero_goal/0",
    "libero_goal/7",
    "libero_10/0",
    "libero_10/3",
    "libero_90/0",
    "libero_90/40",
)
STEPS = 150
KEY: dict[str, Any] = {"seed": 7, "options": {"init_state": 3}}


def main() -> None:
    """Measure all tasks, or those of the command line, and write the tables."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("tasks", nargs="*", metavar="SUITE/TASK")
    # What the script calls itself with, in a process of its own.
    arguments.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    tasks = chosen.tasks or TASKS
    for task in tasks:
        suite, _, index = task.partition("/")
        find_suite(suite).task(index)
    if chosen.in_this_process:
        print(json.dumps(measure(tasks[0])))
        return
    if not chosen.table:
        rows = [measured(task) for task in tasks]
        save(NAME, {"machine": machine(), "steps": STEPS, "tasks": rows})
    write_table(NAME, markdown)


def measured(task: str) -> dict[str, Any]:
    """Return a task's numbers, measured in a fresh process."""
    print(task, file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--in-this-process", task]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise InfrastructureError(f"{task}: could not be measured, for the reason above")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def measure(task: str) -> dict[str, Any]:
    """Return a task's numbers: ratios of control steps, deviations, resets, memory."""
    from vla_eval_envs.libero.env import LiberoEnv

    suite, index = task.split("/")
    row: dict[str, Any] = {"task": task}
    paths = {}
    for physics in ("exact", "fast", "reference"):
        env = LiberoEnv(suite, int(index), physics=physics)
        env.reset(**KEY)
        if physics == "exact":
            row |= resets(env)
            row["rss_mb"] = resident_mb()
        paths[physics], row[physics] = episode(env)
        env.close()
        if physics == "exact":
            row |= change(suite, int(index))
    for physics in ("exact", "fast"):
        difference = np.abs(paths[physics] - paths["reference"]).max(axis=1)
        row[physics]["qpos_deviation"] = {
            "settled": float(difference[0]),
            "median": float(np.median(difference)),
            "largest": float(difference.max()),
        }
    return row


def episode(env: Any) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """Run smooth random actions; return joint positions, (steps + 1, nq), and medians of costs."""
    env.reset(**KEY)
    sim = env._simulator._env.sim
    knots = np.random.default_rng(1).uniform(-1, 1, (STEPS // 10 + 2, 7))
    times = np.arange(STEPS) / 10
    actions = np.stack([np.interp(times, np.arange(len(knots)), column) for column in knots.T], 1)
    path, steps, floors = [sim.data.qpos.copy()], [], []
    for action in actions.astype(np.float32):
        bare = env.bench_physics()
        if bare is not None:
            floors.append(cpu_seconds(bare))
        steps.append(cpu_seconds(lambda action=action: env.advance(action)))
        path.append(sim.data.qpos.copy())
    step, floor = np.array(steps), np.array(floors)
    numbers: dict[str, Any] = {"control_step_ms": round(float(np.median(step)) * 1e3, 2)}
    if floors:
        numbers["physics_floor_ms"] = round(float(np.median(floor)) * 1e3, 2)
        numbers["over_floor"] = round(float(np.median(step / floor)), 2)
    return np.array(path), numbers


def cpu_seconds(action: Any) -> float:
    """Return the thread's CPU time that a call takes."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


def resets(env: Any) -> dict[str, float]:
    """Return the seconds, by the clock, of resets to other initial states, and of their parts."""
    states = env._init_states
    whole, busy, blind = [], [], []
    for i in range(5):
        start, used = time.perf_counter(), time.process_time()
        env.reset(seed=i, options={"init_state": i})
        whole.append(time.perf_counter() - start)
        busy.append(time.process_time() - used)
        start = time.perf_counter()
        env._simulator.reset(i, states[i + 1], 10, absolute=False)
        blind.append(time.perf_counter() - start)
    return {
        "reset_s": round(float(np.median(whole)), 3),
        "reset_cpu_s": round(float(np.median(busy)), 3),
        "reset_without_pictures_s": round(float(np.median(blind)), 3),
    }


def change(suite: str, index: int) -> dict[str, float]:
    """Return the seconds until another task of the suite has shown its first pictures.

    Its compiled scene is on disk already, as on a machine that has run the suite before.
    """
    from vla_eval_envs.libero.env import LiberoEnv

    seconds = busy = 0.0
    for _ in range(2):  # the first time, the scene may have to be compiled
        start, used = time.perf_counter(), time.process_time()
        env = LiberoEnv(suite, (index + 1) % 10)
        env.reset(**KEY)
        seconds, busy = time.perf_counter() - start, time.process_time() - used
        env.close()
    return {"task_change_s": round(seconds, 2), "task_change_cpu_s": round(busy, 2)}


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6)


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables."""
    text = [
        "# The LIBERO simulator on its own",
        "",
        f"By `benchmarks/libero_simulator.py`: {in_words(result['machine'])}.",
        "",
        "Control steps without cameras, CPU time, over 25 bare `mj_step`s from the same state:",
        "",
        *control_steps(result["tasks"]),
        "",
        f"Deviation of qpos from robosuite's over {result['steps']} steps of smooth random actions,",
        "largest over joints; m, rad and quaternion components alike:",
        "",
        *deviations(result["tasks"]),
        "",
        "Resets and memory (`exact`; 256 px; two cameras in software GL; by the clock, and in CPU time",
        "of all threads):",
        "",
        *scene_changes(result["tasks"]),
        "",
    ]
    return "\n".join(text)


def control_steps(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of the costs of control steps."""
    text = [
        "| task | floor ms | fast ms | exact ms | robosuite ms | fast / floor | exact / floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        fast, exact, reference = row["fast"], row["exact"], row["reference"]
        text.append(
            f"| {row['task']} | {fast['physics_floor_ms']} | {fast['control_step_ms']} "
            f"| {exact['control_step_ms']} | {reference['control_step_ms']} "
            f"| {fast['over_floor']} | {exact['over_floor']} |"
        )
    return text


def deviations(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of how far joint positions are from robosuite's."""
    text = [
        "| task | exact, largest | fast, settled | fast, median | fast, largest |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        exact, fast = row["exact"]["qpos_deviation"], row["fast"]["qpos_deviation"]
        text.append(
            f"| {row['task']} | {exact['largest']:.2g} | {fast['settled']:.2g} "
            f"| {fast['median']:.2g} | {fast['largest']:.2g} |"
        )
    return text


def scene_changes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of resets, changes of task and memory."""
    return [
        "| task | reset s | CPU | without pictures s | change of task s | CPU | resident MB |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['task']} | {row['reset_s']} | {row['reset_cpu_s']} "
            f"| {row['reset_without_pictures_s']} | {row['task_change_s']} "
            f"| {row['task_change_cpu_s']} | {row['rss_mb']:.0f} |"
            for row in rows
        ),
    ]


if __name__ == "__main__":
    run(main)
