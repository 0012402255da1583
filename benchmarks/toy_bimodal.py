"""Toy A: which methods recover two modes, and which must not (gates in both directions).

    OMP_NUM_THREADS=1 python benchmarks/toy_bimodal.py     # two seeds; minutes for each method

Writes ``benchmarks/results/toy_bimodal.json`` (every row) and ``.md`` (the table); continues where it
was stopped. Exit code 1 where a gate does not hold. The toy is ``examples/toys/bimodal.py``.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples" / "toys"))

from bimodal import evaluate, train_method  # noqa: E402 - the toy is found by path

from vla_eval_policies.methods import SMOLVLA_PERIODS, Method, make_method  # noqa: E402

RESULTS = HERE / "results" / "toy_bimodal.json"
SEEDS = (0, 1)


@dataclass(frozen=True)
class Case:
    """One way to train, and the numbers of steps to evaluate."""

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
    "fm": Case("fm", nfe=(1, 2, 5, 10), gates={1: (0.8, 9), 10: (0, 0.02)}),
    "fm-high-noise": Case("fm-high-noise", gates={1: (0.8, 9)}),
    "mse": Case("mse", training={"steps": 1500}, gates={1: (0.8, 9)}),
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
        "drift", {"grouping": "chunk", "output": "direct"}, training=_DRIFT, gates={1: (1, 9)}
    ),
    "drift, action-dimension": Case("drift", training=_DRIFT),
    "ddim": Case("ddim", nfe=(1, 10)),
}


def main() -> int:
    """Run what is missing, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="names of cases, separated by semicolons")
    parser.add_argument("--table", action="store_true", help="train nothing, write the table anew")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.only.split(";") if arguments.only else list(CASES)
    names = [] if arguments.table else names
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    for seed in SEEDS:
        run_missing(names, seed, rows)
    failed = failures(rows)
    RESULTS.with_suffix(".md").write_text(table(rows, failed), encoding="utf-8")
    print("\n".join(failed) or "all gates hold")
    return 1 if failed else 0


def run_missing(names: list[str], seed: int, rows: list[dict[str, Any]]) -> None:
    """Train and evaluate the cases that have no rows of a seed; the file is written after each."""
    teacher = None
    for name in names:
        case = CASES[name]
        if any(row["case"] == name and row["seed"] == seed for row in rows):
            continue
        if case.from_fm and teacher is None:
            teacher, _ = train_method(make_method("fm"), seed=seed)
        start = teacher if case.from_fm else None
        began = time.perf_counter()
        network, logs = train_method(case.build(), seed=seed, start=start, **case.training)
        seconds = time.perf_counter() - began
        teacher = network if name == "fm" else teacher
        for nfe in case.nfe:
            scores = evaluate(network, case.build(), nfe) | logs
            row = {"case": name, "seed": seed, "nfe": nfe, "train_s": round(seconds, 1)}
            row |= {k: None if math.isnan(v) else round(v, 4) for k, v in scores.items()}
            rows.append(row)
            print(row, flush=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def failures(rows: list[dict[str, Any]]) -> list[str]:
    """Return which gates do not hold."""
    found = []
    distances = {(r["case"], r["seed"], r["nfe"]): r["energy_distance"] for r in rows}
    for (name, seed, nfe), distance in distances.items():
        low, high = CASES[name].gates.get(nfe, (0, math.inf))
        if not low <= distance <= high:
            found.append(f"{name}, seed {seed}, NFE {nfe}: {distance}, not in [{low}, {high}]")
        if name == "snapflow" and distance < 0.9 * distances.get(("fm", seed, 2), 0):
            found.append(f"snapflow, seed {seed}: {distance}, better than two steps of its teacher")
    return found


def table(rows: list[dict[str, Any]], failed: list[str]) -> str:
    """Return the results as Markdown, the seeds side by side."""
    lines = [
        "| method | NFE | energy distance | hit | ghost | spread in a mode | MSE | gate |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        for nfe in case.nfe:
            seeds = [r for r in rows if r["case"] == name and r["nfe"] == nfe]
            if not seeds:
                continue
            cells = [
                " / ".join("–" if row[key] is None else f"{row[key]:.{digits}f}" for row in seeds)
                for key, digits in (
                    ("energy_distance", 4),
                    ("hit", 2),
                    ("ghost", 2),
                    ("spread_within", 2),
                    ("mse", 2),
                )
            ]
            low, high = case.gates.get(nfe, (0, 99))
            gate = f"> {low}" if high == 9 else f"{low} to {high}" if low else f"< {high}"
            lines.append(f"| {name} | {nfe} | {' | '.join(cells)} | {gate if high < 99 else ''} |")
    note = (
        "All gates that ran hold."
        if not failed
        else "Gates that do not hold: " + "; ".join(failed) + "."
    )
    ran = {(row["case"], row["seed"]) for row in rows}
    for seed in SEEDS:
        missing = [name for name in CASES if (name, seed) not in ran]
        if missing:
            note += f" Not run yet with seed {seed}: {'; '.join(missing)}."
    seeds = " / ".join(str(seed) for seed in SEEDS)
    return "\n".join(lines) + f"\n\nTraining seeds {seeds}, side by side. {note}\n"


if __name__ == "__main__":
    sys.exit(main())
