"""Measures one inference of the shipped policies, the prefix and the steps, by method and NFE.

    OMP_NUM_THREADS=1 python benchmarks/flow_latency.py

takes the arms of results/nfe.json and writes results/flow_latency.json and .md, a table of
docs/one-step.md. The arms take turns, every round in another order, so that a busy neighbour slows all of
them alike: compare the arms, and take the milliseconds for this machine at that moment.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from common.machine import in_words, machine
from common.results import load, save, write_table
from common.script import parser, run
from tqdm import trange

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy

ROUNDS = 60
TIMES = ("total_ms", "prefix_ms", "steps_ms")


def main() -> None:
    """Measure the latencies and write the table."""
    if not parser(__doc__, measures=True).parse_args().table:
        save("flow_latency", measure(load("nfe")["arms"]))
    write_table("flow_latency", table)


def measure(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Return p50 and p95 of an inference of every arm, ms, and where they were measured."""
    about = machine()
    policies = {name: build_policy(arm["spec"]) for name, arm in arms.items()}
    observation, context = _example()
    for policy in policies.values():
        policy.infer([observation], [context])
    times: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    names = list(policies)
    for number in trange(ROUNDS, unit="round"):
        random.Random(number).shuffle(names)
        for name in names:
            began = perf_counter()
            (chunk,) = policies[name].infer([observation], [context])
            times[name].append(((perf_counter() - began) * 1e3, chunk.prefix_ms, chunk.denoise_ms))
    rows = {
        name: {"nfe": arms[name]["nfe"], **_quantiles(np.array(times[name]))} for name in policies
    }
    return {"machine": about, "rounds": ROUNDS, "arms": rows}


def _example() -> tuple[Any, Context]:
    """Return the first observation of a development state, and its context."""
    task = find_suite("so101").task("PickPlace")
    env = make_env(task.env_id, {**task.kwargs, "image_size": 256})
    observation, _ = env.reset(seed=0, options={"init_state": 0})
    space: Any = env.action_space
    key = EpisodeKey("so101", "PickPlace", 0, 0, 0)
    context = Context(key, 0, 0, env.task_description, space.low, space.high)
    env.close()
    return observation, context


def _quantiles(times: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    """Return (p50, p95) of times (rounds, 3) of total, prefix and steps, ms."""
    p50, p95 = np.percentile(times, [50, 95], axis=0)
    return {
        name: [round(float(middle), 2), round(float(high), 2)]
        for name, middle, high in zip(TIMES, p50, p95, strict=True)
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown: p50 and p95 of every arm."""
    lines = [
        "| arm | NFE | inference, ms: p50 (p95) | prefix | steps |",
        "|---|---|---|---|---|",
    ]
    for name, row in results["arms"].items():
        cells = [f"{row[key][0]:.1f} ({row[key][1]:.1f})" for key in TIMES]
        lines.append(f"| {name} | {row['nfe']:g} | {' | '.join(cells)} |")
    note = f"{results['rounds']} rounds, taking turns, one thread; {in_words(results['machine'])}."
    return "\n".join(lines) + f"\n\n{note}\n"


if __name__ == "__main__":
    run(main)
