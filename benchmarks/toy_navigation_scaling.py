"""Toy B: what ten steps of flow matching owe to the scaling of what is learned, and to training.

    OMP_NUM_THREADS=1 python benchmarks/toy_navigation_scaling.py     # two training seeds

Writes ``benchmarks/results/toy_navigation_scaling.json`` and ``.md``; continues where it was stopped.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples" / "toys"))

from navigation import HORIZONS, Demonstrations, Scaling, rollout, train_method  # noqa: E402

from vla_eval_policies.methods import make_method  # noqa: E402

RESULTS = HERE / "results" / "toy_navigation_scaling.json"
SEEDS = (0, 1)
_SHORT = {"steps": 2500, "lr": 1e-3}
# Name: (positions scaled, chunks scaled with their zeros, training)
VARIANTS: dict[str, tuple[bool, bool, dict[str, Any]]] = {
    "as in the toy": (True, True, {}),
    "positions not scaled": (False, True, {}),
    "chunks by the moving steps' spread": (True, False, {}),
    "neither scaling": (False, False, {}),
    "as in the toy, 2500 steps at 0.001": (True, True, _SHORT),
    "neither scaling, 2500 steps at 0.001": (False, False, _SHORT),
}


def demonstrations(seed: int, *, positions: bool, zeros: bool) -> Demonstrations:
    """Return the toy's demonstrations, one scaling or the other as the variant has it."""
    demos = Demonstrations(300, seed=seed)
    if not positions:
        demos.observations = demos.position_scaling.undo(demos.observations)
        demos.position_scaling = Scaling(torch.zeros(2), torch.ones(2))
    if not zeros:
        chunks = demos.chunk_scaling.undo(demos.chunks)
        demos.chunk_scaling = Scaling.of(chunks[:, 0])  # a chunk begins with a moving step
        demos.chunks = demos.chunk_scaling.apply(chunks)
    return demos


def main() -> None:
    """Run what is missing, and write."""
    torch.set_num_threads(1)
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    method = make_method("fm")
    for name, (positions, zeros, training) in VARIANTS.items():
        for seed in SEEDS:
            if any(row["variant"] == name and row["seed"] == seed for row in rows):
                continue
            demos = demonstrations(seed, positions=positions, zeros=zeros)
            network = train_method(method, demos, seed=seed, **training)
            counts = {
                str(horizon): rollout(network, method, demos, nfe=10, horizon=horizon)
                for horizon in HORIZONS
            }
            rows.append({"variant": name, "seed": seed, "successes": counts})
            print(rows[-1], flush=True)
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    RESULTS.with_suffix(".md").write_text(table(rows), encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as Markdown."""
    lines = [
        f"| FM-10 | {' | '.join(map(str, HORIZONS))} |",
        "|---" * (len(HORIZONS) + 1) + "|",
    ]
    for name in VARIANTS:
        same = [row["successes"] for row in rows if row["variant"] == name]
        cells = [" / ".join(str(counts[str(h)]) for counts in same) for h in HORIZONS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    seeds = " / ".join(map(str, SEEDS))
    note = f"Successes of 256 episodes, training seeds {seeds}, by execution horizon."
    return "\n".join([*lines, "", note]) + "\n"


if __name__ == "__main__":
    main()
