"""Measures what moving parts cost: control steps a second of each moving task over those of its level 0.

    python benchmarks/moving_tasks.py

lets the expert solve some initial states at both levels, and replays its actions without cameras, the two
levels in turns, bound to one core. CPU time is counted. An episode of a moving task also has other
contacts than a static one, which is part of the ratio: an object in the hand has more contacts than one that lies, and
costs three times as much. So there is a second ratio, at equal shares: the moving task's time if it had as many
busy control steps, those with more than four contacts, as the static one. Writes results/moving_tasks.json and .md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run
from numpy.typing import NDArray
from so101_lekiwi import STATES, replay, solve

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env

NAME = "moving_tasks"
TASKS = (
    ("so101/PickBelt", "speed_cmps", 4),
    ("so101/PlaceMoving", "speed_cmps", 4),
    ("so101/PickJump", "jump_cm", 4),
    ("so101/PickPush", "push_n", 30),
    ("lekiwi/ShoppingFollow", "speed_cmps", 4),
)
ROUNDS = 9
BAR = 0.9
LYING = 4
"""Contacts of a block that lies on a table or belt; one in the gripper has about ten."""


def main() -> None:
    """Measure, unless only the table is wanted."""
    if not parser(__doc__, measures=True).parse_args().table:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        save(NAME, {"machine": machine(), "tasks": [measure(*task) for task in TASKS]})
    write_table(NAME, markdown)


def measure(task: str, argument: str, level: int) -> dict[str, Any]:
    """Return the rates at a level and at level 0, and the medians of their ratios."""
    suite, _, name = task.partition("/")
    env_id = find_suite(suite).task(name).env_id
    envs: list[Any] = [make_env(env_id, {"image_size": 64, argument: each}) for each in (level, 0)]
    episodes = []
    for env in envs:
        env._cameras.picture = lambda *_: None  # noqa: SLF001 - nothing is drawn
        episodes.append({state: solve(env, suite, name, state) for state in STATES})
    turns = [[_spent(*pair) for pair in zip(envs, episodes, strict=True)] for _ in range(ROUNDS)]
    for env in envs:
        env.close()
    seconds, steps = np.moveaxis(np.array(turns), 2, 0)  # each (rounds, level, busy)
    mean_s = seconds.sum(axis=2) / steps.sum(axis=2)
    with np.errstate(invalid="ignore"):  # a task without busy steps
        equal_s = np.nansum(seconds / steps * steps[:, 1:], axis=2)
    moving, static = 1 / np.median(mean_s, axis=0)
    return {
        "task": task,
        "level": f"{argument}={level}",
        "steps_per_s": round(float(moving)),
        "static_steps_per_s": round(float(static)),
        "ratio": round(float(np.median(mean_s[:, 1] / mean_s[:, 0])), 3),
        "busy_shares": [round(float(each[1] / each.sum()), 3) for each in steps[0]],
        "ratio_equal_shares": round(float(np.median(equal_s[:, 1] / equal_s[:, 0])), 3),
    }


def _spent(env: Any, episodes: Mapping[int, Any]) -> NDArray[np.float64]:
    """Return CPU time, s, and control steps, (2, 2): those with few contacts, and the busy ones."""
    seconds, contacts = replay(env, episodes)
    busy = contacts > LYING
    return np.array([[of[~busy].sum(), of[busy].sum()] for of in (seconds, np.ones(len(seconds)))])


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    text = [
        "# What moving parts cost",
        "",
        f"By `benchmarks/moving_tasks.py`: {in_words(result['machine'])}.",
        "",
        f"Control steps a second of CPU time, without cameras, median of {ROUNDS} turns.",
        f"The bar for the ratio is {BAR}.",
        "",
        f"`Busy` are control steps with more than {LYING} contacts, for example with a block in the gripper; the last",
        "ratio is at the share of them at level 0.",
        "",
        "| task | level | control steps/s | at level 0 | ratio | busy, % | at level 0 | ratio at equal shares |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {row['task']} | {row['level']} | {row['steps_per_s']} | {row['static_steps_per_s']} "
            f"| {row['ratio']:.3f} | {100 * row['busy_shares'][0]:.0f} | {100 * row['busy_shares'][1]:.0f} "
            f"| {row['ratio_equal_shares']:.3f} |"
            for row in result["tasks"]
        ),
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    run(main)
