"""Measures the LIBERO simulator against the physics it is made of, one fresh process for each task.

Run: python benchmarks/libero_simulator.py [SUITE/TASK ...]

Writes results/libero_simulator.json and .md. Every ratio compares numbers of one process, taken
alternately, so that a busy machine shifts both. CPU time of the thread is counted, not the clock:
neighbours on the same cores stretch the clock, and one control step is one thread's work.
"""

# ruff: noqa: INP001, SLF001, T201  a script that speaks to a terminal and looks inside

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import in_words, machine

TASKS = (
    *("libero_spatial/4", "libero_spatial/5", "libero_object/1", "libero_object/2"),
    *(
        "libero_goal/0",
        "libero_goal/7",
        "libero_10/0",
        "libero_10/3",
        "libero_90/0",
        "libero_90/40",
    ),
)
PHYSICS = ("reference", "exact", "fast")
STEPS = 150
RESULTS = Path(__file__).parent / "results"
KEY: dict[str, Any] = {"seed": 7, "options": {"init_state": 3}}


def main() -> None:
    """Measure every task, or those named on the command line, and write both files."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2])))
        return
    rows = []
    for task in sys.argv[1:] or TASKS:
        print(task, file=sys.stderr)
        command = [sys.executable, __file__, "--one", task]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"{task} could not be measured; what is written above says why")
        rows.append(json.loads(done.stdout))
    result = {"machine": machine(), "steps": STEPS, "tasks": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "libero_simulator.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "libero_simulator.md").write_text(markdown(result))


def measure(task: str) -> dict[str, Any]:
    """Return one task's numbers: ratios of control steps, deviations, resets, memory."""
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


def episode(env: Any) -> tuple[np.ndarray, dict[str, Any]]:
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

    for _ in range(2):
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


def markdown(result: dict[str, Any]) -> str:
    """Return the same for people."""
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


def control_steps(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of the physics' cost."""
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


def deviations(rows: list[dict[str, Any]]) -> list[str]:
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


def scene_changes(rows: list[dict[str, Any]]) -> list[str]:
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
    main()
