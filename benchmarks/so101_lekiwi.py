"""Measures how fast the SO-101 and LeKiwi tasks run on one core, contact included.

    python benchmarks/so101_lekiwi.py

lets the scripted expert solve some initial states of every task, replays its actions without cameras
(approach, grasp, carry, release), and then draws every camera at moments of the same episodes. The process
is bound to one core, and CPU time is counted, not the clock: neighbours stretch the clock. make_vec comes
last, over all cores and by the clock. Writes results/so101_lekiwi.json and .md, which docs/tasks.md cites.
"""

# ruff: noqa: SLF001  looks inside

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env
from vla_eval.errors import InfrastructureError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy

NAME = "so101_lekiwi"
type Actions = npt.NDArray[np.float64]
"""Actions of an episode, (steps, dimensions)."""
STATES = (100, 120, 140)
REPEATS = 5
FRAMES = 12
MOMENTS = (0.1, 0.35, 0.6, 0.85)
VECTOR_ENVS, VECTOR_STEPS = 4, 60
BARS = {"PickPlace": 4000, "Stacking": 2000, "Shopping": 1500, "frames": 400}


def main() -> None:
    """Measure all tasks, and write the tables."""
    if not parser(__doc__, measures=True).parse_args().table:
        save(NAME, measure_all())
    write_table(NAME, markdown)


def measure_all() -> dict[str, Any]:
    """Return the numbers of all tasks on one core, and of ``make_vec`` on all cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    rows = []
    for suite in ("so101", "lekiwi"):
        for task in find_suite(suite).tasks:
            print(f"{suite}/{task.name}", file=sys.stderr, flush=True)
            rows.append(measure(suite, task.name))
    os.sched_setaffinity(0, cores)
    vectors = [vector(mode) for mode in ("sync", "async")]
    return {"machine": machine(), "tasks": rows, "make_vec": vectors}


def measure(suite: str, task: str) -> dict[str, Any]:
    """Return a task's numbers."""
    env: Any = make_env(f"vla_eval_envs:{suite}/{task}-v0", {"image_size": 256})
    picture = env._cameras.picture
    episodes = {}
    for state in STATES:
        env._cameras.picture = lambda *_: None
        episodes[state] = solve(env, suite, task, state)
    turns = [replay(env, episodes)[0] for _ in range(REPEATS)]
    rates = [len(seconds) / seconds.sum() for seconds in turns]
    env._cameras.picture = picture
    frames = draw(env, *next(iter(episodes.items())))
    contacts, iterations = effort(env, episodes)
    env.close()
    return {
        "task": f"{suite}/{task}",
        "steps": sum(map(len, episodes.values())),
        "steps_per_s": round(float(np.median(rates))),
        "steps_per_s_all": [round(rate) for rate in rates],
        "frames_per_s": frames,
        "contacts": contacts,
        "solver_iterations": iterations,
    }


def solve(env: Any, suite: str, task: str, state: int) -> Actions:
    """Return the actions, (T, A), with which the expert solves an initial state."""
    key, policy = EpisodeKey(suite, task, state, 0, 0), build_policy("expert")
    env.reset(seed=0, options={"init_state": state})
    space, over = env.action_space, False
    actions: list[npt.NDArray[Any]] = []
    while not over:
        step = len(actions)
        context = Context(key, step, step // 10, "", space.low, space.high, env)
        (chunk,) = policy.infer([{}], [context])  # the expert reads the simulator
        for action in chunk.actions[:10]:
            actions.append(action)
            over = env.advance(action)[1]
            if over:
                break
        if len(actions) > 900:
            raise InfrastructureError(f"{suite}/{task}, initial state {state}: the expert failed")
    return np.array(actions)


def replay(env: Any, episodes: Mapping[int, Actions]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the CPU time, s, of every control step, and the number of contacts after it, (T,) each.

    Raises:
        InfrastructureError: a replay did not solve the task.
    """
    seconds: list[float] = []
    contacts: list[int] = []
    for state, actions in episodes.items():
        env.reset(seed=0, options={"init_state": state})
        for action in actions:
            start = time.process_time()
            env.advance(action)
            seconds.append(time.process_time() - start)
            contacts.append(env.data.ncon)
        if env.score != 1.0:
            raise InfrastructureError(
                f"initial state {state}: the replay did not solve the task, so its work is not the same"
            )
    return np.array(seconds), np.array(contacts)


def draw(env: Any, state: int, actions: Actions) -> dict[str, int]:
    """Return frames a second of CPU time (all threads of the renderer) by camera."""
    seconds = dict.fromkeys(env.camera_names, 0.0)
    env.reset(seed=0, options={"init_state": state})
    moments = {int(share * len(actions)) for share in MOMENTS}
    for step, action in enumerate(actions):
        env.advance(action)
        if step in moments:
            for camera in seconds:
                env._cameras.picture(env.data, camera)
                start = time.process_time()
                for _ in range(FRAMES):
                    env._cameras.picture(env.data, camera)
                seconds[camera] += time.process_time() - start
    count = FRAMES * len(moments)
    return {camera: round(count / spent) for camera, spent in seconds.items()}


def effort(env: Any, episodes: dict[int, Actions]) -> tuple[float, float]:
    """Return the mean numbers of contacts and of solver iterations after a control step."""
    contacts: list[int] = []
    iterations: list[int] = []
    env._cameras.picture = lambda *_: None
    for state, actions in episodes.items():
        env.reset(seed=0, options={"init_state": state})
        for action in actions:
            env.advance(action)
            contacts.append(env.data.ncon)
            iterations.append(int(env.data.solver_niter[0]))
    return round(float(np.mean(contacts)), 1), round(float(np.mean(iterations)), 1)


def vector(mode: str) -> dict[str, Any]:
    """Return whole steps (two 256 x 256 pictures each) a second, by the clock, of ``make_vec``.

    This process has rendered, so processes have to be spawned: a forked one would hang in Mesa.
    """
    envs = gymnasium.make_vec(
        "vla_eval_envs:so101/PickPlace-v0",
        num_envs=VECTOR_ENVS,
        vectorization_mode=mode,
        vector_kwargs={"context": "spawn"} if mode == "async" else {},
    )
    envs.reset(seed=0)
    action = np.tile(np.array([0, -80, 70, 80, 0, 0], np.float32), (VECTOR_ENVS, 1))
    envs.step(action)
    start = time.perf_counter()
    for _ in range(VECTOR_STEPS):
        envs.step(action)
    seconds = time.perf_counter() - start
    envs.close()
    rate = round(VECTOR_ENVS * VECTOR_STEPS / seconds)
    return {"mode": mode, "envs": VECTOR_ENVS, "steps_per_s": rate}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables."""
    about = in_words(result["machine"])
    text = [
        "# SO-101 and LeKiwi on one core",
        "",
        f"By `benchmarks/so101_lekiwi.py`: {about} (the last minute's, neighbours included).",
        "",
        "Control steps (1/30 s, ten physics steps) of experts' episodes a second of CPU time, without",
        f"cameras, median of {REPEATS}; frames of 256 x 256 pixels without shadows a second of CPU time.",
        "",
        "| task | control steps/s | bar | contacts | solver iterations | frames/s |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["tasks"]:
        task = row["task"].partition("/")[2]
        bar = next((f">= {rate}" for name, rate in BARS.items() if task[:8] == name[:8]), "")
        frames = ", ".join(f"{name} {rate}" for name, rate in row["frames_per_s"].items())
        text.append(
            f"| {row['task']} | {row['steps_per_s']} | {bar} | {row['contacts']} "
            f"| {row['solver_iterations']} | {frames} |"
        )
    text += [
        "",
        f"The bar for frames is {BARS['frames']} a second.",
        "",
        f"`gymnasium.make_vec` of so101/PickPlace with {VECTOR_ENVS} environments, two pictures a step,",
        'by the clock, all cores (in mode `async` with `context="spawn"`):',
        "",
        "| mode | environments | whole steps/s |",
        "|---|---|---|",
        *(
            f"| {vector['mode']} | {vector['envs']} | {vector['steps_per_s']} |"
            for vector in result["make_vec"]
        ),
        "",
    ]
    return "\n".join(text)


if __name__ == "__main__":
    run(main)
