"""The folder of any training run: its recipe, its log, and states to continue from.

====================  ====================================================================
file                  content
====================  ====================================================================
``recipe.json``       the recipe; another recipe for the same folder is refused
``log.jsonl``         one line every 20 steps: loss, learning rate, the method's parts
``state.pt``          the state to continue from, written regularly and atomically
====================  ====================================================================
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel

from vla_eval.errors import InterruptedRunError, RunFolderError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import read_json, read_text
from vla_eval.stopping import stop_requested
from vla_eval_policies.training.loop import Trainer

__all__ = ["OnStep", "Taken", "claim", "log_lines", "take_steps"]

_LOG_EVERY = 20
OnStep = Callable[[int, Mapping[str, float]], None]
"""Called after every step with its number and logs."""


class Taken(NamedTuple):
    """Steps and duration of a session."""

    steps: int
    seconds: float


def take_steps(
    trainer: Trainer, folder: Path, *, device: str, save_every: int, on_step: OnStep
) -> Taken:
    """Take the remaining steps; continue from the folder's saved state, if any.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM; the state is saved, repeat the command to continue.
    """
    state = folder / "state.pt"
    if state.exists():
        trainer.restore(torch.load(state, weights_only=True, map_location=device))
    _cut_log(folder, trainer.step)
    began, first = time.monotonic(), trainer.step
    with stop_requested() as stopped, (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while not trainer.done:
            logs = trainer.advance()
            on_step(trainer.step, logs)
            if trainer.step % _LOG_EVERY == 0 or trainer.done:
                log.write(json.dumps({"step": trainer.step, **logs}) + "\n")
            if stopped() or trainer.step % save_every == 0:
                log.flush()
                _save(trainer, state)
            if stopped() and not trainer.done:
                raise InterruptedRunError(
                    f"interrupted at step {trainer.step}; repeat the command to continue"
                )
    return Taken(trainer.step - first, time.monotonic() - began)


def _save(trainer: Trainer, path: Path) -> None:
    unfinished = path.with_name(path.name + ".part")
    torch.save(trainer.state(), unfinished)
    unfinished.replace(path)


def claim(folder: Path, recipe: BaseModel) -> None:
    """Make the folder, or check that it belongs to the recipe.

    Raises:
        RunFolderError: it belongs to another recipe (with the first difference), or is no training run.
    """
    file = folder / "recipe.json"
    wanted = json.loads(recipe.model_dump_json())
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            raise RunFolderError(f"{folder} is not empty and no training run; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(wanted, indent=1) + "\n")
        return
    have = read_json(file, wrong="is damaged", error=RunFolderError)
    for key in wanted:
        if have.get(key) != wanted[key]:
            raise RunFolderError(
                f"{folder} belongs to a recipe with another {key} ({json.dumps(have.get(key))}); "
                "choose another --out"
            )


def log_lines(folder: Path) -> list[dict[str, float]]:
    """Return the lines logged so far."""
    file = folder / "log.jsonl"
    text = read_text(file, error=RunFolderError)
    # A killed process may have left half a line; the steps after its saved state are repeated.
    try:
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    except (ValueError, RecursionError):
        raise RunFolderError(f"{file}: a line of it is no JSON; delete it to log anew") from None


def _cut_log(folder: Path, step: int) -> None:
    """Drop the lines that were logged after the state from which the run continues."""
    file = folder / "log.jsonl"
    lines = [line for line in log_lines(folder) if line["step"] <= step] if file.exists() else []
    write_atomically(file, "".join(json.dumps(line) + "\n" for line in lines))
