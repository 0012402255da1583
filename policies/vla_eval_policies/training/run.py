"""A training run in a folder: recipe, log, states to continue from, curves and checkpoint.

========================  ====================================================================
file                      content
========================  ====================================================================
``recipe.json``           the recipe; another recipe for the same folder is refused
``log.jsonl``             one line every 20 steps: loss, learning rate, the method's parts
``state.pt``              the state to continue from, written regularly and atomically
``curves.png``            the log, plotted
``policy.safetensors``    the result, for ``flow:…/policy.safetensors``
========================  ====================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from vla_eval.errors import UsageError
from vla_eval.runs.provenance import versions
from vla_eval.trainedon import Scenes, together
from vla_eval_policies.flow.checkpoint import (
    Card,
    load_checkpoint,
    require_same_network,
    save_checkpoint,
)
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.flow.shipped import checkpoint_path, trained_on
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
from vla_eval_policies.training.expert_data import (
    ExpertData,
    OnEpisode,
    generate,
    generated_cameras,
)
from vla_eval_policies.training.folder import OnStep, claim, log_lines, take_steps
from vla_eval_policies.training.loop import Trainer
from vla_eval_policies.training.recipe import Recipe

__all__ = ["train"]


def train(
    recipe: Recipe,
    folder: Path,
    *,
    on_step: OnStep = lambda _step, _logs: None,
    on_episode: OnEpisode = lambda _done, _total: None,
) -> Path:
    """Train by a recipe, or continue a stopped run; return the checkpoint's path.

    A continued run gives the same bits as an uninterrupted run.

    Args:
        recipe: settings of the run.
        folder: folder of the run; created if it does not exist.
        on_step: called after every step with its number and logs.
        on_episode: called after every episode of an expert, with the number so far and the total.

    Raises:
        UsageError: data, start or method cannot be used, or the folder belongs to another recipe.
        InterruptedRunError: Ctrl-C or SIGTERM; the state is saved, repeat the command to continue.
    """
    claim(folder, recipe)
    result = folder / "policy.safetensors"
    if result.exists():
        return result
    torch.set_num_threads(recipe.training.threads)
    method = recipe.make_method()
    cameras, frames = _demonstrations(recipe, on_episode)
    config = network_for({**recipe.network, "extra_time": method.extra_time}, frames, cameras)
    torch.manual_seed(recipe.seed)
    network = FlowNetwork(config)
    start, taught = _begin(network, frames, recipe)
    trainer = _trainer(network, frames, recipe)
    how = recipe.training
    taken = take_steps(
        trainer, folder, device=how.device, save_every=how.save_every, on_step=on_step
    )
    last = log_lines(folder)[-1]
    card = Card(
        network=config,
        method=method.name,
        hyperparameters=method.model_dump(mode="json"),
        recipe=recipe.model_dump(mode="json"),
        data_sha256=frames.sha256(),
        data=frames.describe(),
        poses=recipe.data.expert is not None and recipe.data.expert.absolute,
        seed=recipe.seed,
        steps=trainer.step,
        max_delay=recipe.training.max_delay,
        start_sha256=start,
        trained_on=together([frames.scenes, taught]),
        versions=versions(),
        results={"seconds_of_last_session": round(taken.seconds, 1), **last},
    )
    save_checkpoint(result, cast("FlowNetwork", trainer.averaged), card)
    plot(log_lines(folder), folder / "curves.png")
    return result


def _demonstrations(recipe: Recipe, on_episode: OnEpisode) -> tuple[tuple[str, ...], Frames]:
    """Return the cameras, and the frames of the datasets and the experts."""
    data = recipe.data
    folders = [Path(name) for name in data.datasets]
    size, chunk_size = _size(recipe, "image_size"), _size(recipe, "chunk_size")
    steps = _size(recipe, "n_obs_steps")
    cameras = data.cameras or (
        cameras_of(folders[0]) if folders else generated_cameras(cast("ExpertData", data.expert))
    )
    parts = [read_frames(folders, cameras, size, chunk_size, steps)] if folders else []
    if data.expert is not None:
        shown = generate(
            data.expert, cameras, size, chunk_size, n_obs_steps=steps, on_episode=on_episode
        )
        parts.append(shown)
    return cameras, Frames.joined(parts)


def _size(recipe: Recipe, name: str) -> int:
    size = recipe.network.get(name, FlowConfig.model_fields[name].default)
    return cast("int", size)  # a recipe was validated when it was read


def _trainer(network: FlowNetwork, frames: Frames, recipe: Recipe) -> Trainer:
    how = recipe.training

    def draw(generator: torch.Generator) -> tuple[Any, Batch]:
        return draw_batch(frames, network, how.batch, generator)

    network.to(how.device).train()
    if how.freeze_prefix:
        for parameter in network.prefix_parameters():
            parameter.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    return Trainer(
        network,
        recipe.make_method(),
        draw,
        how,
        seed=recipe.seed,
        draws=how.draws,
        max_delay=how.max_delay,
    )


_OF_A_CHUNK = ("steps", "action_mean", "action_std")
"""Tensors with an entry for each step of a chunk, which do not fit another chunk size."""


def _begin(network: FlowNetwork, frames: Frames, recipe: Recipe) -> tuple[str | None, Scenes]:
    """Set the scales and the initial weights.

    Returns:
        The digest of the start checkpoint, if any, and the scenes that it was trained on.
    """
    if recipe.training.start is None:
        if recipe.training.freeze_prefix:
            raise UsageError("freeze_prefix needs a start: an untrained prefix sees nothing")
        fit_scales(network, frames)
        return None, ()
    path = checkpoint_path(recipe.training.start)
    source, card, digest = load_checkpoint(path)
    require_same_network(card, network.config, path)
    new: tuple[str, ...] = ()
    if card.network.extra_time is not network.extra_time:
        new = ("time.second",)  # keeps its initial weights, which do not change the output
    theirs, ours = card.network, network.config
    if (theirs.chunk_size, theirs.relative_size) != (ours.chunk_size, ours.relative_size):
        fit_scales(network, frames)
        new += _OF_A_CHUNK
    state = {name: value for name, value in source.state_dict().items() if not name.startswith(new)}
    network.load_state_dict(state, strict=False)
    return digest, trained_on(card, digest)
