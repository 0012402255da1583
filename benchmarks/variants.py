"""How much hyperparameters move success: variants of a recipe, trained and run on the same episodes.

    cd WORK; OMP_NUM_THREADS=1 python …/benchmarks/variants.py meanflow     # or meanflow_chunk, drift

trains each variant into ``WORK/meanflow/…`` (demonstrations are kept in ``WORK/demos``), runs all of them
with the recipe's own, shipped checkpoint on the certification states, and writes
``results/variants_meanflow.json`` and ``.md``, a table of docs/one-step.md. It continues where it was
stopped. This reports and chooses nothing: no default and no shipped checkpoint follows from it.
Without trainings: ``--table`` writes the table from the outcomes.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from policy_grid import RESULTS, collect, table
from tables import write_table

from vla_eval import run
from vla_eval_policies.training.recipe import load_recipe
from vla_eval_policies.training.run import train

EXAMPLES = Path(__file__).parents[1] / "examples"
PROTOCOL = EXAMPLES / "sweeps" / "one-step.protocol.toml"


@dataclass(frozen=True)
class Study:
    """Variants of one shipped checkpoint's recipe."""

    method: str
    own: str
    """What the recipe's own values are called."""
    variants: Mapping[str, str]
    """Changes of the recipe, by name."""


STUDIES: Mapping[str, Study] = {
    "meanflow": Study(
        "meanflow",
        "flow-ratio-0.5-gamma-0.5",
        {
            "flow-ratio-0.2": "method.flow_ratio=0.2",
            "flow-ratio-1": "method.flow_ratio=1.0",
            "gamma-0.3": "method.gamma=0.3",
            "gamma-1": "method.gamma=1.0",
        },
    ),
    "meanflow_chunk": Study(
        "meanflow",
        "chunk-16",
        {f"chunk-{size}": f"network.chunk_size={size}" for size in (1, 10, 20, 50)},
    ),
    "drift": Study(
        "drift",
        "action-dimension",
        {"timestep": "method.grouping=timestep", "chunk": "method.grouping=chunk"},
    ),
}


def main() -> None:
    """Train what is missing, run, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--table", action="store_true", help="only write the table anew")
    asked = parser.parse_args()
    file = RESULTS / f"variants_{asked.study}.json"
    if not asked.table:
        results = carry_out(STUDIES[asked.study], Path(asked.study))
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(file, table)


def carry_out(study: Study, folder: Path) -> dict[str, object]:
    """Return all outcomes; a network whose chunks are shorter than the horizon executes them whole."""
    horizons: dict[int, dict[str, str]] = {10: {study.own: f"flow:so101/{study.method}"}}
    for name, change in study.variants.items():
        recipe = load_recipe(EXAMPLES / "recipes" / f"{study.method}.toml", [change])
        path = train(recipe, folder / change.partition(".")[2])
        print(f"trained {name}", flush=True)
        size = recipe.network.get("chunk_size", 16)
        horizons.setdefault(min(10, size), {})[name] = f"flow:{path}"
    found = []
    for horizon, arms in horizons.items():
        changes = () if horizon == 10 else (f"run.n_action_steps={horizon}",)
        out = folder / f"horizon={horizon}"
        run(str(PROTOCOL), arms, out, overrides=changes, workers=1)
        found.append(collect([out]))
    end = ", horizon=10"
    arms = {name.removesuffix(end): arm for each in found for name, arm in each["arms"].items()}
    return {**found[0], "arms": arms, "reference": study.own}


if __name__ == "__main__":
    main()
