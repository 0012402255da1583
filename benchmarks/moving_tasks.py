"""Measures what moving parts cost: control steps a second of each moving task over those of its level 0.

    python benchmarks/moving_tasks.py

lets the expert solve some initial states at both levels, and replays its actions without cameras, the two
levels in turns, bound to one core. CPU time is counted. An episode of a moving task also has other
contacts than a static one, which is part of the ratio. Writes results/moving_tasks.json and .md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run
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


def main() -> None:
    """Measure, unless only the table is wanted."""
    if not parser(__doc__, measures=True).parse_args().table:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        save(NAME, {"machine": machine(), "tasks": [measure(*task) for task in TASKS]})
    write_table(NAME, markdown)


def measure(task: str, argument: str, level: int) -> dict[str, Any]:
    """Return the rates at a level and at level 0, and the median of their ratios."""
    suite, _, name = task.partition("/")
    env_id = find_suite(suite).task(name).env_id
    envs: list[Any] = [make_env(env_id, {"image_size": 64, argument: each}) for each in (level, 0)]
    episodes = []
    for env in envs:
        env._cameras.picture = lambda *_: None  # noqa: SLF001 - nothing is drawn
        episodes.append({state: solve(env, suite, name, state) for state in STATES})
    turns = [[replay(*pair) for pair in zip(envs, episodes, strict=True)] for _ in range(ROUNDS)]
    for env in envs:
        env.close()
    moving, static = np.median(turns, axis=0)
    ratio = float(np.median([one / other for one, other in turns]))
    return {
        "task": task,
        "level": f"{argument}={level}",
        "steps_per_s": round(float(moving)),
        "static_steps_per_s": round(float(static)),
        "ratio": round(ratio, 3),
    }


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
        "| task | level | control steps/s | at level 0 | ratio |",
        "|---|---|--:|--:|--:|",
        *(
            f"| {row['task']} | {row['level']} | {row['steps_per_s']} | {row['static_steps_per_s']} "
            f"| {row['ratio']:.2f} |"
            for row in result["tasks"]
        ),
    ]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    run(main)
