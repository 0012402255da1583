"""How fast students of a LeRobot checkpoint are trained, and in how much memory.

    python benchmarks/training_speed.py
    python benchmarks/training_speed.py --full --device cuda --dtype bfloat16 --batch 32 --steps 200
    python benchmarks/training_speed.py --table

trains a student of a random SmolVLA by each method, in a process of its own, on random demonstrations, and
writes ``results/training_speed.json`` and its table. The first tenth of the steps does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from common.checkpoints import FULL, builders, random_checkpoint
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run

from vla_eval.errors import InfrastructureError

METHODS = ("snapflow", "meanflow", "drift")


def main() -> None:
    """Measure, unless only the table is wanted."""
    chosen = _options()
    if chosen.one:
        method, folder = chosen.one
        print(json.dumps(train(Path(folder), method, chosen)))
        return
    if not chosen.table:
        save("training_speed", measure_all(chosen))
    write_table("training_speed", table)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--full", action="store_true", help="published size, not tiny")
    arguments.add_argument("--policy", choices=FULL, default="smolvla")
    arguments.add_argument("--methods", nargs="+", default=METHODS)
    arguments.add_argument("--steps", type=count, default=20, help="of each training (20)")
    arguments.add_argument("--batch", type=count, default=8)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments.add_argument("--workers", type=count, default=2, help="processes that decode (2)")
    # What the script calls itself with: a method, and the folder of base and data.
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return arguments.parse_args()


def measure_all(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return steps a second and peak memory of every method."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = builders()
        made.demonstrations(folder / "data", made.LIBERO, size=256 if chosen.full else 32)
        random_checkpoint(chosen.policy, folder / "base", full=chosen.full, device=chosen.device)
        for method in chosen.methods:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", method, str(folder)]
            done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
            if done.returncode != 0:
                raise InfrastructureError(f"{method}: did not train, for the reason above")
            rows.append({"method": method, **json.loads(done.stdout.splitlines()[-1])})
    about = {name: getattr(chosen, name) for name in ("policy", "full", "steps", "batch", "dtype")}
    return {"machine": machine(), **about, "device": chosen.device, "rows": rows}


def train(folder: Path, method: str, chosen: argparse.Namespace) -> dict[str, float]:
    """Train by one method; return the median seconds of a step, and the peak memory in MB."""
    from vla_eval.benchmarking.machine import peak_mb
    from vla_eval.tools import TRAINER, TrainingRequest, load_tool

    changes = {
        "steps": chosen.steps,
        "batch": chosen.batch,
        "device": chosen.device,
        "dtype": chosen.dtype,
        "workers": chosen.workers,
    }
    request = TrainingRequest(
        None,
        f"lerobot:{folder / 'base'}",
        method,
        str(folder / "data"),
        tuple(f"training.{name}={value}" for name, value in changes.items()),
    )
    ends: list[float] = []
    training = load_tool(TRAINER)(request)
    training.run(
        folder / method,
        on_step=lambda _step, _logs: ends.append(perf_counter()),
        on_episode=lambda _done, _total: None,
    )
    counted = ends[chosen.steps // 10 :]
    steps = [end - start for start, end in pairwise(counted)]
    return {
        "step_s": round(statistics.median(steps), 4),
        "steps_per_s": round(len(steps) / (counted[-1] - counted[0]), 3),
        "peak_mb": peak_mb(chosen.device),
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    size = "of the published size" if results["full"] else "tiny"
    lines = [
        "# Training of students",
        "",
        f"By `benchmarks/training_speed.py`: {in_words(results['machine'])}.",
        f"A random {results['policy']}, {size}, on {results['device']} in {results['dtype']},",
        f"batches of {results['batch']}, {results['steps']} steps.",
        "",
        "| method | steps/s | median of a step, ms | peak memory, MB |",
        "|---|---|---|---|",
    ]
    for row in results["rows"]:
        step = 1e3 * row["step_s"]
        lines.append(
            f"| {row['method']} | {row['steps_per_s']:.2f} | {step:.0f} | {row['peak_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
