"""The checkpoints that come with the package, by name: ``flow:so101/fm``.

``python -m vla_eval_policies.flow.shipped runs/fm/policy.safetensors so101/fm`` adds one. It stores
matrices in float16, which halves the file, and keeps everything else. That file is evaluated and
published.

``checkpoints/trained_on.json`` names the training scenes of checkpoints that were shipped before cards
listed them; ``tools/trained_on.py`` writes it.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vla_eval.errors import PolicySpecError, did_you_mean
from vla_eval.files.jsonfile import is_there
from vla_eval.trainedon import Scenes, together

if TYPE_CHECKING:
    from vla_eval_policies.flow.checkpoint import Card

__all__ = ["checkpoint_path", "shipped_names", "trained_on"]

_FOLDER = Path(__file__).with_name("checkpoints")
_SUFFIX = ".safetensors"


def shipped_names() -> list[str]:
    """Return the names, sorted."""
    files = _FOLDER.rglob(f"*{_SUFFIX}")
    return sorted(file.relative_to(_FOLDER).as_posix().removesuffix(_SUFFIX) for file in files)


def checkpoint_path(target: str) -> Path:
    """Return the file of ``flow:TARGET``; TARGET is a path or the name of a shipped checkpoint.

    Raises:
        PolicySpecError: there is neither such a file nor such a shipped checkpoint.
    """
    path = Path(target)
    names = shipped_names()
    if is_there(path) or target.endswith(_SUFFIX):
        return path
    if target in names:
        return _FOLDER / f"{target}{_SUFFIX}"
    raise PolicySpecError(
        f"there is no checkpoint '{target}': neither such a file nor such a shipped one"
        f"{did_you_mean(target, names)} (shipped: {', '.join(names) or 'none'})"
    )


def trained_on(card: Card, weights_sha256: str) -> Scenes:
    """Return the scenes in which a checkpoint's demonstrations began; None if they are not known.

    Args:
        card: lists the scenes, unless it is older than that entry.
        weights_sha256: digest of the file; it identifies a shipped checkpoint in any folder.
    """
    return _shipped_scenes().get(weights_sha256) if card.trained_on is None else card.trained_on


@functools.cache
def _shipped_scenes() -> dict[str, Scenes]:
    content = json.loads((_FOLDER / "trained_on.json").read_text(encoding="utf-8"))
    scenes = {name: tuple(data["scenes"]) for name, data in content["demonstrations"].items()}
    return {
        checkpoint["weights_sha256"]: together(
            scenes[name] for name in checkpoint["demonstrations"]
        )
        for checkpoint in content["checkpoints"].values()
    }


def _ship(source: Path, name: str) -> Path:
    import torch

    from vla_eval_policies.flow.checkpoint import load_checkpoint, save_checkpoint

    network, card, _ = load_checkpoint(source)
    target = _FOLDER / f"{name}{_SUFFIX}"
    save_checkpoint(target, network, card, dtype=torch.float16)
    target.chmod(0o644)
    load_checkpoint(target)
    return target


if __name__ == "__main__":
    sys.stdout.write(f"{_ship(Path(sys.argv[1]), sys.argv[2])}\n")
