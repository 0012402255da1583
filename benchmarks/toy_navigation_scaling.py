"""Toy B: the effects of scaling and of training on ten steps of flow matching.

    OMP_NUM_THREADS=1 python benchmarks/toy_navigation_scaling.py

trains every variant with two seeds, and writes results/toy_navigation_scaling.json and .md, a table of
docs/methods.md. It continues where it was stopped. The toy is examples/toys/navigation.py.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from common.results import load, save, write_table
from common.script import parser, run
from common.toys import navigation

from vla_eval_policies.methods import make_method

NAME = "toy_navigation_scaling"
SEEDS = (0, 1)
HORIZONS = navigation.HORIZONS
_SHORT = {"steps": 2500, "lr": 1e-3}
type Variant = tuple[bool, bool, dict[str, Any]]
"""Whether positions are scaled, whether chunks are scaled with their zeros, options of the training."""
VARIANTS: dict[str, Variant] = {
    "as in the toy": (True, True, {}),
    "positions not scaled": (False, True, {}),
    "chunks by the moving steps' spread": (True, False, {}),
    "neither scaling": (False, False, {}),
    "as in the toy, 2500 steps at 0.001": (True, True, _SHORT),
    "neither scaling, 2500 steps at 0.001": (False, False, _SHORT),
}


def main() -> None:
    """Train and evaluate the missing variants, and write the table."""
    chosen = parser(__doc__, measures=True).parse_args()
    torch.set_num_threads(1)
    rows = load(NAME, default=[])
    missing = [
        (name, seed)
        for name in VARIANTS
        for seed in SEEDS
        if not any(row["variant"] == name and row["seed"] == seed for row in rows)
    ]
    for name, seed in [] if chosen.table else missing:
        print(f"training '{name}', seed {seed}", file=sys.stderr, flush=True)
        rows.append({"variant": name, "seed": seed, "successes": successes(name, seed)})
        print(rows[-1], file=sys.stderr, flush=True)
        save(NAME, rows)
    write_table(NAME, table)


def successes(name: str, seed: int) -> dict[str, int]:
    """Train a variant, and return its successes by execution horizon."""
    positions, zeros, training = VARIANTS[name]
    method = make_method("fm")
    demos = demonstrations(seed, positions=positions, zeros=zeros)
    trained = navigation.train_method(method, demos, seed=seed, **training)
    return {
        str(horizon): navigation.rollout(trained, method, demos, nfe=10, horizon=horizon)
        for horizon in HORIZONS
    }


def demonstrations(seed: int, *, positions: bool, zeros: bool) -> navigation.Demonstrations:
    """Return the toy's demonstrations with the scaling of a variant."""
    demos = navigation.Demonstrations(300, seed=seed)
    if not positions:
        demos.observations = demos.position_scaling.undo(demos.observations)
        demos.position_scaling = navigation.Scaling(torch.zeros(2), torch.ones(2))
    if not zeros:
        chunks = demos.chunk_scaling.undo(demos.chunks)
        demos.chunk_scaling = navigation.Scaling.of(
            chunks[:, 0]
        )  # a chunk begins with a moving step
        demos.chunks = demos.chunk_scaling.apply(chunks)
    return demos


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown, the seeds side by side."""
    lines = [
        f"| FM-10 | {' | '.join(map(str, HORIZONS))} |",
        "|---" * (len(HORIZONS) + 1) + "|",
    ]
    for name in VARIANTS:
        seeds = [row["successes"] for row in rows if row["variant"] == name]
        cells = [" / ".join(str(counts[str(h)]) for counts in seeds) for h in HORIZONS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    numbers = " / ".join(map(str, SEEDS))
    note = f"Successes of 256 episodes, training seeds {numbers}, by execution horizon."
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    run(main)
