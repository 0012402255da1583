"""``vlaeval train --base lerobot:…``: a run folder whose result is a LeRobot checkpoint.

======================  ======================================================================
file                    content
======================  ======================================================================
``pretrained_model/``   the result, for ``lerobot:DIR/pretrained_model``: the base's files with the
                        trained tensors in place of the old, the tensors of the second time, and
                        a small file with the method and the origin
``curves.png``          the log, plotted
``results.json``        speed, memory and machine of the last session
======================  ======================================================================

:mod:`~vla_eval_policies.training.folder` adds its own files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vla_eval.benchmarking.machine import hardware, peak_mb
from vla_eval.errors import UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.runs.provenance import versions
from vla_eval.trainedon import together
from vla_eval_policies.lerobot_policy.checkpoint import (
    SIDECAR,
    WEIGHTS,
    Checkpoint,
    find_checkpoint,
)
from vla_eval_policies.lerobot_policy.extra_time import Student, attach, write_student
from vla_eval_policies.lerobot_policy.factory import wants_of
from vla_eval_policies.lerobot_policy.flow import FLOW_TYPES
from vla_eval_policies.lerobot_policy.loading import Loaded, load
from vla_eval_policies.lerobot_policy.token_times import TokenTimes
from vla_eval_policies.lerobot_policy.weights import model_name
from vla_eval_policies.methods import LOW_FREQUENCIES, ExtraTime, Method
from vla_eval_policies.training.curves import plot
from vla_eval_policies.training.folder import OnStep, Taken, claim, log_lines, take_steps
from vla_eval_policies.training.lerobot.data import LeRobotDataset
from vla_eval_policies.training.lerobot.network import ExpertNetwork, Precision
from vla_eval_policies.training.lerobot.recipe import LeRobotRecipe
from vla_eval_policies.training.loop import Trainer

__all__ = ["train_lerobot"]

RESULT = "pretrained_model"
_LEFT_OUT = (WEIGHTS, SIDECAR, "training_state", "checkpoints", ".*", "*.md")


class _Claim(LeRobotRecipe):
    """Identity of a run folder: the recipe, and the digests of the base and the data."""

    base_sha256: str
    data_sha256: str


def train_lerobot(
    recipe: LeRobotRecipe, folder: Path, *, on_step: OnStep = lambda _step, _logs: None
) -> Path:
    """Train a student, or continue a stopped run; return its checkpoint, a folder.

    A continued run gives the same bits as an uninterrupted run. The encoder of observations keeps the
    bytes of the base.

    Args:
        recipe: settings of the run.
        folder: folder of the run; created if it does not exist.
        on_step: called after every step with its number and logs.

    Raises:
        UsageError: base, data or method cannot be used, or the folder belongs to another recipe.
        InterruptedRunError: Ctrl-C or SIGTERM; the state is saved, repeat the command to continue.
    """
    how, method = recipe.training, recipe.make_method()
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    checkpoint, loaded, data = _open(recipe, method)
    origin = {"base_sha256": checkpoint.sha256(), "data_sha256": data.sha256()}
    claim(folder, _Claim.model_validate({**recipe.model_dump(), **origin}))
    result = folder / RESULT
    if result.exists():
        return result
    trainer = _trainer(loaded, data, method, recipe)
    taken = take_steps(
        trainer, folder, device=how.device, save_every=how.save_every, on_step=on_step
    )
    _write_speed(folder, taken, how.device)
    plot(log_lines(folder), folder / "curves.png")
    taught = None if loaded.student is None else loaded.student.trained_on
    card = {
        "recipe": recipe.model_dump(mode="json"),
        **origin,
        "data": data.describe(),
        "trained_on": together([data.scenes(), taught]),
        "steps": trainer.step,
        "versions": versions(),
        "results": log_lines(folder)[-1],
    }
    periods = LOW_FREQUENCIES if loaded.student is None else loaded.student.periods
    trained = cast("ExpertNetwork", trainer.averaged).tensors()
    student = Student(method, periods, card, how.max_delay)
    _write(checkpoint, result, trained, student)
    return result


def _open(recipe: LeRobotRecipe, method: Method) -> tuple[Checkpoint, Loaded, LeRobotDataset]:
    """Find the base, load it with the second time that the method needs, and open the data."""
    target, options = recipe.split_base()
    checkpoint = find_checkpoint(target, options.revision)
    if checkpoint.type not in FLOW_TYPES:
        raise UsageError(
            f"base '{recipe.base}' is of type '{checkpoint.type}'; students are trained of "
            f"{', '.join(FLOW_TYPES)}"
        )
    loaded = _with_second_time(load(checkpoint, options), method, recipe)
    known, chunk = recipe.training.max_delay, int(loaded.policy.config.chunk_size)
    if known >= chunk:
        raise UsageError(
            f"training.max_delay = {known} leaves nothing to learn of chunks of {chunk} actions; it must "
            "be smaller"
        )
    if known and loaded.token_times is None:
        loaded = replace(loaded, token_times=TokenTimes(loaded.policy))
    data = LeRobotDataset(
        recipe.data.datasets,
        loaded,
        wants_of(loaded, options, f"lerobot:{target}"),
        batch=recipe.training.batch,
        seed=recipe.seed,
        workers=recipe.training.workers,
    )
    return checkpoint, loaded, data


def _write_speed(folder: Path, taken: Taken, device: str) -> None:
    measured = {
        "steps_of_last_session": taken.steps,
        "seconds_of_last_session": round(taken.seconds, 1),
        "memory_mb": peak_mb(device),
        "hardware": hardware(),
    }
    write_atomically(folder / "results.json", json.dumps(measured, indent=1) + "\n")


def _with_second_time(loaded: Loaded, method: Method, recipe: LeRobotRecipe) -> Loaded:
    """Attach the second time that the method needs; before training it has no effect."""
    has = ExtraTime.NONE if loaded.branch is None else loaded.branch.extra_time
    if has is method.extra_time:
        return loaded
    if has is not ExtraTime.NONE:
        raise UsageError(
            f"base '{recipe.base}' is a student with the second time '{has}', but method "
            f"'{method.name}' needs '{method.extra_time}'; begin with its teacher"
        )
    torch.manual_seed(recipe.seed)
    return replace(loaded, branch=attach(loaded.policy, method.extra_time))


def _trainer(
    loaded: Loaded, data: LeRobotDataset, method: Method, recipe: LeRobotRecipe
) -> Trainer:
    how = recipe.training
    dtype = torch.bfloat16 if how.dtype == "bfloat16" else torch.float32
    # The eight bits of bfloat16 are too few for a derivative along the flow.
    expert = torch.float32 if method.differentiates else dtype
    network = ExpertNetwork(loaded, Precision(dtype, expert, how.gradient_checkpointing))
    trainer = Trainer(
        network,
        method,
        lambda generator: data.draw(trainer.step, generator),
        how,
        seed=recipe.seed,
        draws=how.draws,
        max_delay=how.max_delay,
    )
    return trainer


def _write(base: Checkpoint, to: Path, trained: Mapping[str, Tensor], student: Student) -> None:
    """Write the base with the trained tensors and the student's file, atomically."""
    unfinished = to.with_name(to.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(base.folder, unfinished, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    ours = {name: value.detach().cpu().contiguous() for name, value in trained.items()}
    with safe_open(base.folder / WEIGHTS, framework="pt") as file:
        tensors = {}
        for name in file.keys():  # noqa: SIM118  no mapping
            new = ours.pop(model_name(name, ours), None)
            tensors[name] = file.get_tensor(name) if new is None else new
    tensors |= ours  # those of the second time, which the base does not have
    save_file(tensors, unfinished / WEIGHTS, metadata={"format": "pt"})
    write_student(unfinished, student)
    unfinished.replace(to)
