"""``vlaeval train``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import tyro

from vla_eval.cli.common import Changes, print_json
from vla_eval.errors import EXIT_COMPLETE, MissingExtraError

__all__ = ["train"]

_ROOM = "vla_eval_policies.training"
_LINE_EVERY_S = 30.0


def train(
    recipe: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RECIPE.toml")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    set_: Changes = (),
    json: bool = False,
) -> int:
    """Train a flow policy from demonstrations, as a recipe says.

    Example: vlaeval record so101 --policy expert --tasks PickPlace --init-states 0-99
    --only-successes --out demos/pick-place

    and then: vlaeval train examples/recipes/fm.toml --out runs/fm

    The result, DIR/policy.safetensors, is used as flow:DIR/policy.safetensors?nfe=10. The same command
    on the same folder continues a run that was stopped, and ends with the same bits as one that was
    not. DIR/curves.png shows the losses. Needs the extras 'flow' and 'lerobot'.

    Args:
        recipe: What to learn from, which method, how long; see examples/recipes/.
        out: The run's folder.
        set_: Change a key of the recipe, such as training.steps=100 or seed=1. Repeatable.
        json: Print the result as JSON.
    """
    try:
        recipes = importlib.import_module(f"{_ROOM}.recipe")
        run = importlib.import_module(f"{_ROOM}.run")
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise MissingExtraError("vlaeval train", "flow") from None
    loaded = recipes.load_recipe(recipe, set_)
    with _Bar(loaded.training.steps) as bar:
        checkpoint = run.train(loaded, out, on_step=bar.count)
    card = importlib.import_module("vla_eval_policies.flow.checkpoint").read_card(checkpoint)
    if json:
        print_json({"checkpoint": str(checkpoint), "card": card.model_dump(mode="json")})
    else:
        print(f"{checkpoint}: {card.method}, {card.steps} steps on {card.data}")
        print(f"next: vlaeval run PROTOCOL --policy 'flow:{checkpoint}'")
    return EXIT_COMPLETE


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
            print(f"step {step} of {self._total} · {status}", file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
