"""A training run in a folder: recipe, log, states to continue from, curves, checkpoint.

========================  ====================================================================
file                      content
========================  ====================================================================
``recipe.json``           the recipe; another one on the same folder is refused
``log.jsonl``             one line every so many steps: loss, learning rate, the method's parts
``state.pt``              everything to continue from, written now and then, atomically
``curves.png``            the log, plotted
``policy.safetensors``    the result, for ``flow:…/policy.safetensors``
========================  ====================================================================
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch

from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError
from vla_eval.provenance import versions
from vla_eval.store import write_atomically
from vla_eval_policies.flow.checkpoint import (
    Card,
    load_checkpoint,
    require_same_network,
    save_checkpoint,
)
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.methods import Batch
from vla_eval_policies.training.curves import plot
from vla_eval_policies.training.data import (
    Frames,
    cameras_of,
    draw_batch,
    fit_scales,
    network_for,
    read_frames,
)
from vla_eval_policies.training.loop import Trainer
from vla_eval_policies.training.recipe import Recipe

__all__ = ["train"]

_LOG_EVERY = 20
OnStep = Callable[[int, Mapping[str, float]], None]


def train(recipe: Recipe, folder: Path, *, on_step: OnStep = lambda _step, _logs: None) -> Path:
    """Train as a recipe says, or continue a run that was stopped; return the checkpoint.

    A run that was continued has the bits of one that was not stopped.

    Args:
        recipe: what to do.
        folder: made, or continued.
        on_step: called after every step with its number and logs.

    Raises:
        UsageError: data, start or method cannot be used; the folder belongs to another recipe.
        InterruptedRunError: Ctrl-C or SIGTERM; the state is saved, repeat the command to continue.
    """
    _claim(folder, recipe)
    result = folder / "policy.safetensors"
    if result.exists():
        return result
    torch.set_num_threads(recipe.training.threads)
    folders = [Path(each) for each in recipe.data.datasets]
    cameras = recipe.data.cameras or cameras_of(folders[0])
    method = recipe.make_method()
    frames = read_frames(folders, cameras, _picture_size(recipe))
    config = network_for({**recipe.network, "extra_time": method.extra_time}, frames, cameras)
    torch.manual_seed(recipe.seed)
    network = FlowNetwork(config)
    start = _begin(network, frames, recipe)
    trainer = _trainer(network, frames, recipe)
    seconds = _run(trainer, folder, recipe, on_step)
    last = _log_lines(folder)[-1]
    card = Card(
        network=config,
        method=method.name,
        hyperparameters=method.model_dump(mode="json"),
        recipe=recipe.model_dump(mode="json"),
        data_sha256=frames.sha256(),
        data=frames.describe(),
        seed=recipe.seed,
        steps=trainer.step,
        start_sha256=start,
        versions=versions(),
        results={"seconds_of_last_session": round(seconds, 1), **last},
    )
    save_checkpoint(result, cast("FlowNetwork", trainer.averaged), card)
    plot(_log_lines(folder), folder / "curves.png")
    return result


def _picture_size(recipe: Recipe) -> int:
    size = recipe.network.get("image_size", FlowConfig.model_fields["image_size"].default)
    return cast("int", size)  # a recipe was validated when it was read


def _trainer(network: FlowNetwork, frames: Frames, recipe: Recipe) -> Trainer:
    how = recipe.training

    def draw(generator: torch.Generator) -> tuple[Any, Batch]:
        return draw_batch(frames, network, how.batch, generator)

    network.to(how.device).train()
    if how.freeze_prefix:
        for each in network.prefix_parameters():
            each.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    return Trainer(network, recipe.make_method(), draw, how, seed=recipe.seed, draws=how.draws)


def _begin(network: FlowNetwork, frames: Frames, recipe: Recipe) -> str | None:
    """Set scales and first weights; return the digest of the checkpoint that they come from."""
    if recipe.training.start is None:
        if recipe.training.freeze_prefix:
            raise UsageError("freeze_prefix needs a start: an untrained prefix sees nothing")
        fit_scales(network, frames)
        return None
    path = Path(recipe.training.start)
    source, card, digest = load_checkpoint(path)
    require_same_network(card, network.config, path)
    # A second time that the start does not have, keeps its initialisation, which changes nothing.
    state = {
        name: value
        for name, value in source.state_dict().items()
        if not name.startswith("time.second") or card.network.extra_time is network.extra_time
    }
    network.load_state_dict(state, strict=False)
    return digest


def _run(trainer: Trainer, folder: Path, recipe: Recipe, on_step: OnStep) -> float:
    """Take the remaining steps; return the seconds they took."""
    state = folder / "state.pt"
    if state.exists():
        trainer.restore(torch.load(state, weights_only=True, map_location=recipe.training.device))
    _cut_log(folder, trainer.step)
    began = time.monotonic()
    with _stop_requested() as stopped, (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while not trainer.done:
            logs = trainer.advance()
            on_step(trainer.step, logs)
            if trainer.step % _LOG_EVERY == 0 or trainer.done:
                log.write(json.dumps({"step": trainer.step, **logs}) + "\n")
            if stopped() or trainer.step % recipe.training.save_every == 0:
                log.flush()
                _save(trainer, state)
            if stopped() and not trainer.done:
                raise InterruptedRunError(
                    f"interrupted at step {trainer.step}; repeat the command to continue"
                )
    return time.monotonic() - began


def _save(trainer: Trainer, path: Path) -> None:
    unfinished = path.with_name(path.name + ".part")
    torch.save(trainer.state(), unfinished)
    unfinished.replace(path)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Make the folder, or refuse one of another recipe, naming the difference."""
    file = folder / "recipe.json"
    wanted = json.loads(recipe.model_dump_json())
    if not file.exists():
        if folder.exists() and any(folder.iterdir()):
            raise RunFolderError(f"{folder} is not empty and no training run; choose another --out")
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(wanted, indent=1) + "\n")
        return
    have = json.loads(file.read_text(encoding="utf-8"))
    for key in wanted:
        if have.get(key) != wanted[key]:
            raise RunFolderError(
                f"{folder} belongs to a recipe with another {key} ({json.dumps(have.get(key))}); "
                "choose another --out"
            )


def _log_lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / "log.jsonl").read_text(encoding="utf-8")
    # A process that was killed may have left half a line; the steps after its state come again.
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _cut_log(folder: Path, step: int) -> None:
    """Drop what was logged after the state that the run continues from."""
    file = folder / "log.jsonl"
    lines = [each for each in _log_lines(folder) if each["step"] <= step] if file.exists() else []
    write_atomically(file, "".join(json.dumps(each) + "\n" for each in lines))


@contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """Let SIGINT and SIGTERM wait for the end of a step."""
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {each: signal.signal(each, lambda *_: received.set()) for each in numbers}
    try:
        yield received.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
