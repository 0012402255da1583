"""How much the seed of training moves success: students of three seeds beside their own teachers.

    vlaeval sweep examples/sweeps/training-seeds.toml --out runs/training-seeds
    python benchmarks/training_seeds.py runs/training-seeds/seed=*

writes ``results/training_seeds.json`` (the counts) and ``.md`` (a table of docs/one-step.md). Seed 0 is
``results/one_step.json``. Without runs: the table from the counts.

An interval over episodes speaks of one checkpoint. One over training seeds speaks of the recipe: it is
Student's t on the differences between students and their own teachers (vla_eval.stats.seeds), and with
three seeds its critical value is 4.3.
"""

# ruff: noqa: INP001  a script

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from one_step import REFERENCE, RESULTS, collect
from tables import points, write_table

from vla_eval.stats import Checkpoints, compare_distilled, noise_floor

FILE = RESULTS / "training_seeds.json"
ARMS = (REFERENCE, "fm-1", "snapflow", "meanflow", "drift")
Seeds = Mapping[str, Mapping[str, Any]]


def checkpoints(seeds: Seeds, arm: str) -> Checkpoints:
    """Return an arm's successes, a row for each training seed and a column for each task."""
    cells = [list(each["arms"][arm]["tasks"].values()) for each in seeds.values()]
    return Checkpoints.of(
        [[task["n11"] + task["n10"] for task in row] for row in cells],
        [
            [sum(task[cell] for cell in ("n11", "n10", "n01", "n00")) for task in row]
            for row in cells
        ],
    )


def table(seeds: Seeds) -> str:
    """Return the Markdown: successes by seed, the spread, and the difference over seeds."""
    tasks = list(next(iter(seeds.values()))["arms"][REFERENCE]["tasks"])
    numbers = " / ".join(seeds)
    head = ["arm", *(f"{task}, seeds {numbers}" for task in tasks)]
    head += ["spread over seeds (of episodes alone)", f"minus own {REFERENCE}, by seed"]
    head += ["over seeds, 95 %"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    reference = checkpoints(seeds, REFERENCE)
    for arm in ARMS:
        ours = checkpoints(seeds, arm)
        fields = [arm]
        fields += [" / ".join(f"{int(each)}" for each in column) for column in ours.successes.T]
        floor = noise_floor(ours)
        fields.append(f"{100 * floor.sd:.1f} ({100 * floor.binomial_sd:.1f})")
        if arm == REFERENCE:
            fields += ["–", "–"]
        else:
            apart = 100 * (ours.means - reference.means)
            over = compare_distilled(ours, reference)
            fields.append(" / ".join(f"{each:+.1f}" for each in apart))
            fields.append(points(over.difference, *over.interval()))
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Collect, if runs are given, and write the table."""
    if sys.argv[1:]:
        first = json.loads((RESULTS / "one_step.json").read_text(encoding="utf-8"))
        seeds = {"0": first}
        for path in map(Path, sys.argv[1:]):
            seeds[path.name.partition("=")[2]] = collect([path])
        for each in seeds.values():
            each["arms"] = {name: each["arms"][name] for name in ARMS}
        FILE.write_text(json.dumps(seeds, indent=1) + "\n", encoding="utf-8")
    write_table(FILE, table)


if __name__ == "__main__":
    main()
