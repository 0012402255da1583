"""What one inference of the shipped policies takes: the prefix once, and the steps, by method and NFE.

    OMP_NUM_THREADS=1 python benchmarks/flow_latency.py        # half a minute

takes the arms of ``results/nfe.json`` and writes ``results/flow_latency.json`` and ``.md`` (a table of
docs/one-step.md). The arms take turns, each round in another order, so that a busy neighbour slows all of
them alike: compare them, and take the milliseconds for this machine at that moment.
"""

# ruff: noqa: INP001  a script

from __future__ import annotations

import json
import random
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from machine import in_words, machine

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy

RESULTS = Path(__file__).with_name("results")
FILE = RESULTS / "flow_latency.json"
ROUNDS = 60


def main() -> None:
    """Measure and write."""
    about = machine()
    arms = json.loads((RESULTS / "nfe.json").read_text(encoding="utf-8"))["arms"]
    policies = {name: build_policy(arm["spec"]) for name, arm in arms.items()}
    observation, context = _example()
    for policy in policies.values():
        policy.infer([observation], [context])
    times: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    names = list(policies)
    for number in range(ROUNDS):
        random.Random(number).shuffle(names)
        for name in names:
            began = perf_counter()
            (chunk,) = policies[name].infer([observation], [context])
            times[name].append(((perf_counter() - began) * 1e3, chunk.prefix_ms, chunk.denoise_ms))
    rows = {
        name: {"nfe": arms[name]["nfe"], **_quantiles(np.array(times[name]))} for name in policies
    }
    results = {"machine": about, "rounds": ROUNDS, "arms": rows}
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    FILE.with_suffix(".md").write_text(table(results), encoding="utf-8")
    sys.stdout.write(table(results))


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


def _quantiles(times: np.ndarray) -> dict[str, list[float]]:
    """Return (p50, p95) of total, prefix and steps, ms."""
    p50, p95 = np.percentile(times, [50, 95], axis=0)
    names = ("total_ms", "prefix_ms", "steps_ms")
    return {
        name: [round(float(a), 2), round(float(b), 2)]
        for name, a, b in zip(names, p50, p95, strict=True)
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown."""
    lines = [
        "| arm | NFE | inference, ms: p50 (p95) | prefix | steps |",
        "|---|---|---|---|---|",
    ]
    for name, row in results["arms"].items():
        cells = [
            f"{row[key][0]:.1f} ({row[key][1]:.1f})"
            for key in ("total_ms", "prefix_ms", "steps_ms")
        ]
        lines.append(f"| {name} | {row['nfe']:g} | {' | '.join(cells)} |")
    note = f"{results['rounds']} rounds, taking turns, one thread; {in_words(results['machine'])}."
    return "\n".join(lines) + f"\n\n{note}\n"


if __name__ == "__main__":
    main()
