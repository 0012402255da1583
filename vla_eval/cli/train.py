"""``vlaeval train``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import Changes, print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.tools import Trained, Training

__all__ = ["train"]


def train(
    recipe: Annotated[
        tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RECIPE.toml]")
    ] = None,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    base: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    method: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    dataset: Annotated[str | None, tyro.conf.arg(metavar="DATASET")] = None,
    set_: Changes = (),
    json: bool = False,
    trust: bool = False,
) -> int:
    r"""Train a flow policy from demonstrations, or a student of a LeRobot checkpoint.

    Demonstrations first:

    Example: vlaeval record so101 --policy expert --tasks PickPlace \
        --init-states 0-99 --only-successes --out demos/pick-place

    Then the small reference policy, or a one-step student of a SmolVLA, pi0 or pi0.5, its
    vision-language model frozen:

    Example: vlaeval train examples/recipes/fm.toml --out runs/fm

    Example: vlaeval train --base lerobot:checkpoints/teacher --method snapflow \
        --dataset demos/pick-place --out runs/student \
        --set training.steps=10000 --set training.device=cuda

    The results are used as flow:DIR/policy.safetensors?nfe=10 and lerobot:DIR/pretrained_model. The
    same command on the same folder continues a stopped run, and ends with the same bits as a run
    without a stop. DIR/curves.png shows the losses. Needs the extra 'flow' for the reference
    policy, and 'lerobot' for datasets and for students of LeRobot's checkpoints.

    Args:
        recipe: File with data, method and number of steps; see examples/recipes/. Optional if the
            flags give them.
        out: The run's folder.
        base: The LeRobot checkpoint to begin with: lerobot:FOLDER or lerobot:USER/MODEL; with a map
            from the dataset's cameras to its pictures: lerobot:FOLDER?cameras=top:image
        method: The name of a method or preset in docs/methods.md, such as snapflow or
            snapflow:published; for an unknown name the error lists all.
        dataset: A LeRobotDataset v3, folder or hub id, for example from `vlaeval record`.
        set_: Change a key of the recipe, such as training.steps=100 or seed=1. Repeatable.
        json: Print the result as JSON.
        trust: Run code that comes with the recipe's checkpoint; see docs/trust.md.
    """
    if recipe is None and base is None:
        raise UsageError(
            "nothing to train: give a RECIPE.toml (see examples/recipes/), or --base, --method and "
            "--dataset"
        )
    from vla_eval.tools import TRAINER, TrainingRequest, load_tool
    from vla_eval.trust import foreign_code, need_trust

    training = load_tool(TRAINER)(TrainingRequest(recipe, base, method, dataset, set_))
    if base is None and training.base is not None:
        need_trust(f"recipe {recipe}", foreign_code(None, [training.base]), trust=trust)
    trained = _run(training, out)
    if json:
        print_json({"checkpoint": str(trained.checkpoint), "card": trained.card})
    else:
        say(f"{trained.checkpoint}: {trained.method}, {trained.steps} steps on {trained.data}")
        say(f"next: vlaeval run PROTOCOL --policy '{trained.spec}'")
    return EXIT_COMPLETE


def _run(training: Training, folder: Path) -> Trained:
    """Train; show the steps and their loss on stderr."""
    from vla_eval.drawing.bar import Bar

    def on_step(step: int, logs: Mapping[str, float]) -> None:
        bar.show(step, f"step {step} of {training.steps}", lambda: f"loss {logs['loss']:.4f}")

    def on_episode(done: int, total: int) -> None:
        status = f"demonstrations: {done} of {total} episodes"
        bar.show(0, f"step 0 of {training.steps}", lambda: status)

    with Bar(training.steps, "step") as bar:
        return training.run(folder, on_step=on_step, on_episode=on_episode)
