"""Toy A: which methods recover two modes, and which must not (gates in both directions).

    OMP_NUM_THREADS=1 python benchmarks/toy_bimodal.py
    OMP_NUM_THREADS=1 python benchmarks/toy_bimodal.py --only 'fm; mse'

trains every method with two seeds, and writes results/toy_bimodal.json, every row, and
results/toy_bimodal.md, a table of docs/methods.md. It continues where it was stopped. Exit code 1 where a
gate does not hold. The toy is examples/toys/bimodal.py.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from common.results import load, save, write_table
from common.script import parser, run
from common.toys import bimodal

from vla_eval.errors import EXIT_COMPLETE, EXIT_REFUTED, UsageError, did_you_mean
from vla_eval_policies.methods import SMOLVLA_PERIODS, Method, make_method

NAME = "toy_bimodal"
SEEDS = (0, 1)
_NO_BOUND = 9
"""An upper bound that no energy distance reaches."""


@dataclass(frozen=True)
class Case:
    """A way to train, and the numbers of steps to evaluate."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    nfe: tuple[int, ...] = (1,)
    training: dict[str, Any] = field(default_factory=dict)
    from_fm: bool = False
    gates: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Bounds of the energy distance by NFE; a lower bound is a failure that must be seen."""

    def build(self) -> Method:
        """Return the method."""
        return make_method(self.method, self.options)


_DRIFT = {"steps": 1500, "batch": 64}
CASES = {
    "fm": Case("fm", nfe=(1, 2, 5, 10), gates={1: (0.8, _NO_BOUND), 10: (0, 0.02)}),
    "fm-high-noise": Case("fm-high-noise", gates={1: (0.8, _NO_BOUND)}),
    "mse": Case("mse", training={"steps": 1500}, gates={1: (0.8, _NO_BOUND)}),
    "snapflow": Case(
        "snapflow", from_fm=True, training={"steps": 2000, "lr": 5e-4}, gates={1: (0.05, 0.40)}
    ),
    "snapflow, 10 sub-steps": Case(
        "snapflow:ten-substeps",
        from_fm=True,
        training={"steps": 2000, "lr": 5e-4},
        gates={1: (0, 0.03)},
    ),
    "meanflow": Case("meanflow", nfe=(1, 2, 5), gates={1: (0, 0.08)}),
    "meanflow, flow ratio 1": Case("meanflow", {"flow_ratio": 1.0}, nfe=(1, 5)),
    "meanflow, γ = 1": Case("meanflow", {"gamma": 1.0}),
    "meanflow, SmolVLA's periods": Case("meanflow", training={"periods": SMOLVLA_PERIODS}),
    "shortcut": Case("shortcut", nfe=(1, 2, 4), gates={1: (0, 0.05)}),
    "drift, chunk": Case("drift", {"grouping": "chunk"}, training=_DRIFT, gates={1: (0, 0.02)}),
    "drift, chunk, direct output": Case(
        "drift",
        {"grouping": "chunk", "output": "direct"},
        training=_DRIFT,
        gates={1: (1, _NO_BOUND)},
    ),
    "drift, action-dimension": Case("drift", training=_DRIFT),
    "ddim": Case("ddim", nfe=(1, 10)),
}


def main() -> int:
    """Train and evaluate the missing cases, write the table, judge the gates."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--only", help="names of cases, separated by semicolons")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    names = cases(chosen.only) if chosen.only else list(CASES)
    rows = load(NAME, default=[])
    for seed in () if chosen.table else SEEDS:
        run_missing(names, seed, rows)
    write_table(NAME, lambda rows: table(rows, failures(rows)))
    failed = failures(rows)
    print("\n".join(failed) or "all gates hold")
    return EXIT_REFUTED if failed else EXIT_COMPLETE


def cases(text: str) -> list[str]:
    """Return the cases that ``--only`` names."""
    names = [name.strip() for name in text.split(";")]
    for name in names:
        if name not in CASES:
            raise UsageError(f"--only {name}: there is no such case{did_you_mean(name, CASES)}")
    return names


def run_missing(names: list[str], seed: int, rows: list[dict[str, Any]]) -> None:
    """Train and evaluate the cases that have no rows of a seed, and write the file after every case."""
    teacher = None
    for name in names:
        case = CASES[name]
        if any(row["case"] == name and row["seed"] == seed for row in rows):
            continue
        print(f"training {name}, seed {seed}", file=sys.stderr, flush=True)
        if case.from_fm and teacher is None:
            teacher, _ = bimodal.train_method(make_method("fm"), seed=seed)
        start = teacher if case.from_fm else None
        began = time.perf_counter()
        network, logs = bimodal.train_method(case.build(), seed=seed, start=start, **case.training)
        seconds = time.perf_counter() - began
        teacher = network if name == "fm" else teacher
        for nfe in case.nfe:
            scores = bimodal.evaluate(network, case.build(), nfe) | logs
            row = {"case": name, "seed": seed, "nfe": nfe, "train_s": round(seconds, 1)}
            row |= {k: None if math.isnan(v) else round(v, 4) for k, v in scores.items()}
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
        save(NAME, rows)


def failures(rows: list[dict[str, Any]]) -> list[str]:
    """Return which gates do not hold."""
    failed = []
    distances = {(r["case"], r["seed"], r["nfe"]): r["energy_distance"] for r in rows}
    for (name, seed, nfe), distance in distances.items():
        low, high = CASES[name].gates.get(nfe, (0, math.inf))
        if not low <= distance <= high:
            failed.append(f"{name}, seed {seed}, NFE {nfe}: {distance}, not in [{low}, {high}]")
        if name == "snapflow" and distance < 0.9 * distances.get(("fm", seed, 2), 0):
            failed.append(
                f"snapflow, seed {seed}: {distance}, better than two steps of its teacher"
            )
    return failed


def table(rows: list[dict[str, Any]], failed: list[str]) -> str:
    """Return the results as Markdown, the seeds side by side."""
    lines = [
        "| method | NFE | energy distance | hit | ghost | spread in a mode | MSE | gate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        for nfe in case.nfe:
            seeds = [row for row in rows if row["case"] == name and row["nfe"] == nfe]
            if seeds:
                cells = [*_cells(seeds), _gate(case, nfe)]
                lines.append(f"| {name} | {nfe} | {' | '.join(cells)} |")
    note = "All gates that ran hold."
    if failed:
        note = "Gates that do not hold: " + "; ".join(failed) + "."
    trained = {(row["case"], row["seed"]) for row in rows}
    for seed in SEEDS:
        missing = [name for name in CASES if (name, seed) not in trained]
        if missing:
            note += f" Not run yet with seed {seed}: {'; '.join(missing)}."
    numbers = " / ".join(map(str, SEEDS))
    return "\n".join(lines) + f"\n\nTraining seeds {numbers}, side by side. {note}\n"


def _cells(seeds: list[dict[str, Any]]) -> list[str]:
    """Return the numbers of a case and NFE, the seeds side by side."""
    digits = {"energy_distance": 4, "hit": 2, "ghost": 2, "spread_within": 2, "mse": 2}
    return [
        " / ".join("–" if row[key] is None else f"{row[key]:.{places}f}" for row in seeds)
        for key, places in digits.items()
    ]


def _gate(case: Case, nfe: int) -> str:
    """Return the bounds of a gate in words; empty where there is none."""
    if nfe not in case.gates:
        return ""
    low, high = case.gates[nfe]
    if high == _NO_BOUND:
        return f"> {low}"
    return f"{low} to {high}" if low else f"< {high}"


if __name__ == "__main__":
    run(main)
