"""``vlaeval train``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import tyro

from vla_eval.cli.common import Changes, print_json, say
from vla_eval.errors import EXIT_COMPLETE, MissingExtraError, UsageError

__all__ = ["train"]

_ROOM = "vla_eval_policies.training"
_LINE_EVERY_S = 30.0


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
    """Train a flow policy from demonstrations, or a student of a LeRobot checkpoint.

    Example: vlaeval record so101 --policy expert --tasks PickPlace --init-states 0-99
    --only-successes --out demos/pick-place

    and then, the small reference policy: vlaeval train examples/recipes/fm.toml --out runs/fm

    or a one-step student of a SmolVLA, pi0 or pi0.5, its vision-language model frozen:
    vlaeval train --base lerobot:checkpoints/teacher --method snapflow --dataset demos/pick-place
    --out runs/student --set training.steps=10000 --set training.device=cuda

    The results are used as flow:DIR/policy.safetensors?nfe=10 and lerobot:DIR/pretrained_model. The
    same command on the same folder continues a run that was stopped, and ends with the same bits as
    one that was not. DIR/curves.png shows the losses. Needs the extra 'flow' for the
    reference policy, and 'lerobot' for datasets and for students of LeRobot's checkpoints.

    Args:
        recipe: What to learn from, which method, how long; see examples/recipes/. Optional where the
            flags say it all.
        out: The run's folder.
        base: The checkpoint of LeRobot's to begin with: lerobot:FOLDER or lerobot:USER/MODEL; which
            of the dataset's cameras is which picture: lerobot:FOLDER?cameras=top:image
        method: snapflow, meanflow, drift, fm, or a preset such as snapflow:published.
        dataset: A LeRobotDataset v3, folder or hub id, such as `vlaeval record` makes.
        set_: Change a key of the recipe, such as training.steps=100 or seed=1. Repeatable.
        json: Print the result as JSON.
        trust: Run code that the recipe's checkpoint brings along; see docs/trust.md.
    """
    if base is not None or (recipe is not None and _begins_with_lerobot(recipe)):
        return _train_lerobot(recipe, out, base, method, dataset, set_, json=json, trust=trust)
    if recipe is None:
        raise UsageError(
            "nothing to train: give a RECIPE.toml (see examples/recipes/), or --base, --method and "
            "--dataset"
        )
    if method is not None or dataset is not None:
        raise UsageError(
            "--method and --dataset belong to --base; to change a recipe: --set method.name=…, "
            "--set data.datasets='[\"…\"]'"
        )
    recipes, run = _room("recipe", "flow"), _room("run", "flow")
    loaded = recipes.load_recipe(recipe, set_)
    with _Bar(loaded.training.steps) as bar:
        checkpoint = run.train(loaded, out, on_step=bar.count, on_episode=bar.demonstrate)
    card = importlib.import_module("vla_eval_policies.flow.checkpoint").read_card(checkpoint)
    if json:
        print_json({"checkpoint": str(checkpoint), "card": card.model_dump(mode="json")})
    else:
        say(f"{checkpoint}: {card.method}, {card.steps} steps on {card.data}")
        say(f"next: vlaeval run PROTOCOL --policy 'flow:{checkpoint}'")
    return EXIT_COMPLETE


def _begins_with_lerobot(recipe: Path) -> bool:
    return bool(_room("lerobot_recipe", "flow").is_lerobot_recipe(recipe))


def _train_lerobot(
    recipe: Path | None,
    out: Path,
    base: str | None,
    method: str | None,
    dataset: str | None,
    changes: Sequence[str],
    *,
    json: bool,
    trust: bool,
) -> int:
    loaded = _room("lerobot_recipe", "lerobot").make_recipe(
        recipe, base=base, method=method, dataset=dataset, changes=changes
    )
    if base is None:
        from vla_eval.trust import foreign_code, need_trust

        need_trust(f"recipe {recipe}", foreign_code(None, [loaded.base]), trust=trust)
    run = _room("lerobot_run", "lerobot")
    with _Bar(loaded.training.steps) as bar:
        checkpoint: Path = run.train_lerobot(loaded, out, on_step=bar.count)
    student = importlib.import_module("vla_eval_policies.lerobot_policy.extra_time")
    found = student.read_student(checkpoint)
    if json:
        print_json({"checkpoint": str(checkpoint), "card": found.training})
    else:
        card = found.training
        say(f"{checkpoint}: {found.method.name}, {card['steps']} steps on {card['data']}")
        say(f"next: vlaeval run PROTOCOL --policy 'lerobot:{checkpoint}'")
    return EXIT_COMPLETE


def _room(module: str, extra: str) -> Any:
    """Import a module that needs torch; raises MissingExtraError."""
    try:
        return importlib.import_module(f"{_ROOM}.{module}")
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingExtraError("vlaeval train", extra) from None


class _Bar:
    """Steps on stderr: a bar on a terminal, a line now and then in a log file."""

    def __init__(self, total: int) -> None:
        from time import monotonic

        from tqdm import tqdm

        self._clock = monotonic
        self._last = monotonic()
        self._total = total
        self._bar: Any = tqdm(
            total=total, unit="step", dynamic_ncols=True, disable=not sys.stderr.isatty()
        )

    def count(self, step: int, logs: Mapping[str, float]) -> None:
        """Show a step."""
        status = f"loss {logs['loss']:.4f}"
        self._bar.n = step
        self._bar.set_postfix_str(status, refresh=False)
        self._bar.update(0)
        if self._bar.disable and self._clock() - self._last > _LINE_EVERY_S:
            self._last = self._clock()
            say(f"step {step} of {self._total} · {status}", file=sys.stderr)

    def demonstrate(self, done: int, total: int) -> None:
        """Show how far the experts' demonstrations are; they come before the steps."""
        status = f"demonstrations: {done} of {total} episodes"
        if self._bar.disable and self._clock() - self._last > _LINE_EVERY_S:
            self._last = self._clock()
            say(status, file=sys.stderr)
        self._bar.set_postfix_str(status if done < total else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
