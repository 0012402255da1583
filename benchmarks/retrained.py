"""Whether a recipe that was run again from scratch gave the shipped checkpoint.

    vlaeval train examples/recipes/snapflow.toml --out runs/again
    python benchmarks/retrained.py runs/again/policy.safetensors so101/snapflow

adds to ``results/retrained.json`` how many tensors have the same bits, and the largest difference. What
is shipped has its matrices in float16, so the new ones are rounded to that first.
"""

# ruff: noqa: INP001  a script

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.flow.shipped import checkpoint_path

FILE = Path(__file__).with_name("results") / "retrained.json"


def main(again: Path, name: str) -> None:
    """Compare and write."""
    shipped = checkpoint_path(name)
    theirs, ours = load_file(shipped), load_file(again)
    assert theirs.keys() == ours.keys()  # noqa: S101
    apart = {key: ours[key].to(value.dtype) - value for key, value in theirs.items()}
    cards = {"shipped": read_card(shipped), "again": read_card(again)}
    results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    results[name] = {
        "tensors": len(theirs),
        "same_bits": sum(torch.equal(ours[key].to(theirs[key].dtype), theirs[key]) for key in ours),
        "largest_difference": max(float(each.abs().max()) for each in apart.values()),
        "same_recipe": cards["shipped"].recipe == cards["again"].recipe,
        "data_sha256": {which: card.data_sha256 for which, card in cards.items()},
        "commit": {which: card.versions.get("commit") for which, card in cards.items()},
    }
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(results[name], indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
