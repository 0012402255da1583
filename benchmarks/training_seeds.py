"""How much the seed of training moves success: students of three seeds beside their own teachers.

    vlaeval sweep examples/sweeps/training-seeds.toml --out runs/training-seeds
    python benchmarks/training_seeds.py runs/training-seeds/seed=*

writes results/training_seeds.json, the counts, and results/training_seeds.md, a table of docs/one-step.md.
Seed 0 is results/one_step.json. Without runs, the table is written from the committed counts.

An interval over episodes speaks of one checkpoint. An interval over training seeds speaks of the recipe:
it is Student's t on the differences between students and their own teachers (vla_eval.stats.seeds), and
with three seeds its critical value is 4.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.counts import CELLS, REFERENCE, collect
from common.results import load, points, save, write_table
from common.script import parser, run

from vla_eval.errors import UsageError
from vla_eval.stats import Checkpoints, compare_distilled, noise_floor

ARMS = (REFERENCE, "fm-1", "snapflow", "meanflow", "drift")
type Seeds = Mapping[str, Mapping[str, Any]]
"""Counts by training seed, as common.counts.collect returns them."""


def main() -> None:
    """Count the pairs, if runs are given, and write the table."""
    arguments = parser(__doc__)
    arguments.add_argument("runs", nargs="*", type=Path, help="run folders, called seed=NUMBER")
    chosen = arguments.parse_args()
    if chosen.runs:
        save("training_seeds", counts(chosen.runs))
    write_table("training_seeds", table)


def counts(runs: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the counts by training seed.

    Raises:
        UsageError: a folder's name has no seed, its run is incomplete or lacks an arm, or its protocol
            is not that of seed 0.
    """
    seeds = {"0": load("one_step")}
    for path in runs:
        name, _, seed = path.name.partition("=")
        if name != "seed" or not seed.isdecimal():
            raise UsageError(f"{path}: the folder of a training seed is called seed=NUMBER")
        seeds[seed] = collect([path])
    for seed, results in seeds.items():
        missing = [arm for arm in ARMS if arm not in results["arms"]]
        if missing:
            raise UsageError(
                f"seed {seed}: has no arm '{missing[0]}'; the table needs {list(ARMS)}"
            )
        if results["protocol"] != seeds["0"]["protocol"]:
            raise UsageError(
                f"seed {seed} ran {results['protocol']['label']}, and seed 0 "
                f"{seeds['0']['protocol']['label']}: one table needs one protocol"
            )
    return {
        seed: {**results, "arms": {arm: results["arms"][arm] for arm in ARMS}}
        for seed, results in seeds.items()
    }


def checkpoints(seeds: Seeds, arm: str) -> Checkpoints:
    """Return an arm's successes, a row for each training seed and a column for each task."""
    rows = [list(results["arms"][arm]["tasks"].values()) for results in seeds.values()]
    return Checkpoints.of(
        [[task["n11"] + task["n10"] for task in row] for row in rows],
        [[sum(task[cell] for cell in CELLS) for task in row] for row in rows],
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
        fields += [" / ".join(f"{int(won)}" for won in column) for column in ours.successes.T]
        floor = noise_floor(ours)
        fields.append(f"{100 * floor.sd:.1f} ({100 * floor.binomial_sd:.1f})")
        if arm == REFERENCE:
            fields += ["–", "–"]
        else:
            by_seed = 100 * (ours.means - reference.means)
            over = compare_distilled(ours, reference)
            fields.append(" / ".join(f"{difference:+.1f}" for difference in by_seed))
            fields.append(points(over.difference, *over.interval()))
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
