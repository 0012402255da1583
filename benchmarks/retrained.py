"""Whether a recipe that was trained again from scratch gives the shipped checkpoint, bit for bit.

    vlaeval train examples/recipes/snapflow.toml --out runs/again
    python benchmarks/retrained.py runs/again/policy.safetensors so101/snapflow

adds to results/retrained.json how many tensors have the same bits, and the largest difference. The
shipped matrices are float16, so the new ones are rounded to that first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from common.results import load, save
from common.script import parser, run
from safetensors.torch import load_file

from vla_eval.errors import UsageError
from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.flow.shipped import checkpoint_path


def main() -> None:
    """Compare the checkpoints and write the result."""
    arguments = parser(__doc__)
    arguments.add_argument("again", type=Path, help="the new checkpoint, policy.safetensors")
    arguments.add_argument("name", help="of the shipped checkpoint, such as so101/snapflow")
    chosen = arguments.parse_args()
    result = comparison(chosen.again, chosen.name)
    save("retrained", {**load("retrained", default={}), chosen.name: result})
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def comparison(again: Path, name: str) -> dict[str, Any]:
    """Return how a new checkpoint differs from a shipped one.

    Raises:
        UsageError: a file is missing or damaged, or the two differ in names or shapes of tensors.
    """
    paths = {"shipped": checkpoint_path(name), "again": again}
    cards = {which: read_card(path) for which, path in paths.items()}
    old, new = (load_file(path) for path in paths.values())
    shapes = [{key: tensor.shape for key, tensor in weights.items()} for weights in (old, new)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"{again}: has other tensors than {name}; was it trained by its recipe?")
    new = {key: new[key].to(tensor.dtype) for key, tensor in old.items()}
    return {
        "tensors": len(old),
        "same_bits": sum(torch.equal(new[key], tensor) for key, tensor in old.items()),
        "largest_difference": max(
            float((new[key] - tensor).abs().max()) for key, tensor in old.items()
        ),
        "same_recipe": cards["shipped"].recipe == cards["again"].recipe,
        "data_sha256": {which: card.data_sha256 for which, card in cards.items()},
        "commit": {which: card.versions.get("commit") for which, card in cards.items()},
    }


if __name__ == "__main__":
    run(main)
