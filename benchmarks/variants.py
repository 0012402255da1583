"""How much hyperparameters move success: variants of a recipe, trained and run on the same episodes.

    OMP_NUM_THREADS=1 python benchmarks/variants.py meanflow
    OMP_NUM_THREADS=1 python benchmarks/variants.py drift --work runs/variants

trains every variant in the work folder (demonstrations are kept there too), runs all of them beside the
shipped checkpoint of the recipe on the certification states, and writes results/variants_meanflow.json and
.md, a table of docs/one-step.md. It continues where it was stopped. This reports and chooses nothing: no
default and no shipped checkpoint follows from it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.grid import collect, table
from common.results import save, write_table
from common.script import parser, run
from tqdm import tqdm

import vla_eval
from vla_eval_policies.training.recipe import Recipe, load_recipe
from vla_eval_policies.training.run import train

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PROTOCOL = EXAMPLES / "sweeps" / "one-step.protocol.toml"


@dataclass(frozen=True)
class Study:
    """Variants of one shipped checkpoint's recipe."""

    method: str
    own: str
    """Name of the arm with the recipe's own values."""
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
    """Train the missing variants, run all, and write the table."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("study", choices=STUDIES)
    arguments.add_argument(
        "--work",
        type=Path,
        default=Path("runs/variants"),
        help="folder of the trainings and runs (runs/variants)",
    )
    chosen = arguments.parse_args()
    name = f"variants_{chosen.study}"
    if not chosen.table:
        chosen.work.mkdir(parents=True, exist_ok=True)
        os.chdir(chosen.work)  # the recipes keep their demonstrations in ./demos
        save(name, carry_out(STUDIES[chosen.study], Path(chosen.study)))
    write_table(name, table)


def carry_out(study: Study, folder: Path) -> dict[str, Any]:
    """Return all outcomes; a network whose chunks are shorter than the horizon executes them whole."""
    horizons: dict[int, dict[str, str]] = {10: {study.own: f"flow:so101/{study.method}"}}
    for name, change in study.variants.items():
        recipe = load_recipe(EXAMPLES / "recipes" / f"{study.method}.toml", [change])
        path = trained(name, recipe, folder / change.partition(".")[2])
        size: Any = recipe.network.get("chunk_size", 16)
        horizons.setdefault(min(10, size), {})[name] = f"flow:{path}"
    cells = []
    for horizon, arms in horizons.items():
        changes = () if horizon == 10 else (f"run.n_action_steps={horizon}",)
        out = folder / f"horizon={horizon}"
        vla_eval.run(str(PROTOCOL), arms, out, overrides=changes, workers=1)
        cells.append(collect([out]))
    end = ", horizon=10"
    arms = {name.removesuffix(end): arm for cell in cells for name, arm in cell["arms"].items()}
    return {**cells[0], "arms": arms, "reference": study.own}


def trained(name: str, recipe: Recipe, folder: Path) -> Path:
    """Train a variant, or continue its training; return its checkpoint."""
    print(f"training {name}", file=sys.stderr, flush=True)
    with tqdm(total=recipe.training.steps, unit="step") as bar:
        return train(
            recipe,
            folder,
            on_step=lambda step, _logs: bar.update(step - bar.n),
            on_episode=lambda done, total: bar.set_postfix_str(f"{done} of {total} episodes"),
        )


if __name__ == "__main__":
    run(main)
