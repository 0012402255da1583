"""Recipes to train students of LeRobot's flow VLAs: flags of ``vlaeval train``, or a TOML file.

::

    base = "lerobot:checkpoints/teacher"    # SmolVLA, pi0 or pi0.5: folder or hub id

    [data]
    datasets = ["demos/pick-place"]         # LeRobotDatasets v3: folders or hub ids

    [method]
    name = "snapflow:published"             # or a method's name; the other keys are hyperparameters

    [training]                              # optional: the defaults are those of SmolVLA's training
    steps = 10000
    batch = 8
    device = "cuda"
    dtype = "bfloat16"
    gradient_checkpointing = true
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from pydantic import Field as Option

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.files.tomlfile import apply_change
from vla_eval.spec import PolicySpec, parse_options
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.methods import METHODS, Method
from vla_eval_policies.methods.field import CONVENTION
from vla_eval_policies.training.loop import Optimisation
from vla_eval_policies.training.recipe import named_method, read_recipe, validate

__all__ = ["LeRobotRecipe", "is_lerobot_recipe", "make_recipe"]

_OF_THE_BASE = {"cameras", "tokenizer", "vlm", "revision"}
_LONGEST_WARMUP = 1000


class LeRobotData(BaseModel):
    """Source of the demonstrations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[str, ...] = Option(min_length=1)


class LeRobotTraining(Optimisation):
    """Settings of the optimisation; the defaults are SmolVLA's published ones (arXiv 2506.01844)."""

    steps: int = Option(default=30_000, ge=1)
    lr: float = Option(default=1e-4, gt=0.0)
    lr_end: float = Option(default=2.5e-6, ge=0.0)
    warmup: int = Option(default=_LONGEST_WARMUP, ge=0)
    """Steps of linear warm-up; by default a tenth of the steps and at most 1000."""
    weight_decay: float = Option(default=1e-10, ge=0.0)
    clip: float = Option(default=10.0, gt=0.0)
    ema: float = Option(default=0.0, ge=0.0, lt=1.0)
    batch: int = Option(default=8, ge=1, le=65_536)
    draws: int = Option(default=1, ge=1, le=1024)
    """Pairs of noise and time for each observation of a batch; they share its encoding."""
    max_delay: int = Option(default=0, ge=0, exclude_if=lambda count: not count)
    """D, largest number of a chunk's first actions that are known to the expert, drawn anew from 0 … D
    for each chunk (training-time real-time chunking); see :mod:`vla_eval_policies.methods.committed`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the matrix products inside the model; weights and loss stay float32."""
    gradient_checkpointing: bool = False
    """Whether to compute the action expert twice instead of keeping its activations."""
    device: str = "cpu"
    threads: int | None = Option(default=None, ge=1, le=1024)
    """Number of torch's CPU threads; None leaves it to torch."""
    workers: int = Option(default=0, ge=0, le=1024)
    """Number of processes that decode pictures in advance; they do not change the result."""
    save_every: int = Option(default=500, ge=1)
    """Steps between saved states, from which a stopped run continues."""

    @model_validator(mode="before")
    @classmethod
    def _short_warmup(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or "warmup" in given:
            return given
        steps = given.get("steps", cls.model_fields["steps"].default)
        if not isinstance(steps, int):
            return given
        return {**given, "warmup": min(_LONGEST_WARMUP, steps // 10)}


class LeRobotRecipe(BaseModel):
    """A training run that begins with a LeRobot checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    data: LeRobotData
    method: Mapping[str, JsonValue]
    training: LeRobotTraining = Option(default_factory=LeRobotTraining)
    seed: int = Option(default=0, ge=0, lt=2**63)

    def make_method(self) -> Method:
        """Return the method; raises UsageError if this training does not support it."""
        method = named_method(self.method)
        if method.convention != CONVENTION:
            raise UsageError(
                f"method '{method.name}' learns {method.convention.output}, which no SmolVLA, pi0 or "
                "pi0.5 predicts"
            )
        if method.differentiates and self.training.gradient_checkpointing:
            others = method.short_period_options.items()
            raise UsageError(
                f"method '{method.name}' differentiates forwards, which gradient_checkpointing does not "
                "allow; leave that off"
                + "".join(f", or set method.{option} = '{value}'" for option, value in others)
            )
        return method

    def split_base(self) -> tuple[str, Options]:
        """Return the checkpoint's folder or hub id, and the options for loading it."""
        spec = PolicySpec.parse(self.base)
        if spec.kind != "lerobot" or spec.target is None:
            raise UsageError(
                f"base '{self.base}': expected lerobot:FOLDER or lerobot:USER/MODEL, the checkpoint to "
                "begin with"
            )
        foreign = sorted(set(spec.options) - _OF_THE_BASE)
        if foreign:
            raise UsageError(
                f"base '{self.base}': option '{foreign[0]}' has no meaning for training; "
                f"{', '.join(sorted(_OF_THE_BASE))} have, device and dtype are --set training.device=… "
                "and training.dtype=…"
            )
        options = {**spec.options, "device": self.training.device}
        return spec.target, parse_options(Options, options, "lerobot")


def is_lerobot_recipe(path: Path) -> bool:
    """Return whether a recipe begins with a LeRobot checkpoint; raises UsageError."""
    return "base" in read_recipe(path)


def make_recipe(
    path: Path | None,
    *,
    base: str | None = None,
    method: str | None = None,
    dataset: str | None = None,
    changes: Sequence[str] = (),
) -> LeRobotRecipe:
    """Build the recipe from a file, flags and changes; later settings override earlier ones.

    A method without a preset gets its ``short_period_options``: the time embedding of these experts has
    periods down to 0.004, with which MeanFlow's derivative becomes too large.

    Raises:
        UsageError: the recipe is not valid; names the missing or wrong key.
    """
    content: dict[str, Any] = {} if path is None else read_recipe(path)
    for key, value in (("base", base), ("method.name", method), ("data.datasets", dataset)):
        if value is not None:
            *section, name = key.split(".")
            inner = content.setdefault(section[0], {}) if section else content
            inner[name] = (value,) if name == "datasets" else value
    for change in changes:
        apply_change(content, change, error=UsageError)
    where = "these flags make no recipe" if path is None else f"recipe {path}"
    for key, flag in (("base", "--base"), ("method", "--method"), ("data", "--dataset")):
        if key not in content:
            raise UsageError(f"{where}: '{key}' is missing; give {flag}")
    if isinstance(content["method"], dict):
        kind = METHODS.get(str(content["method"].get("name")), Method)
        for option, value in kind.short_period_options.items():
            content["method"].setdefault(option, value)
    recipe = validate(LeRobotRecipe, content, where)
    try:
        recipe.make_method()
        recipe.split_base()
    except (UsageError, PolicySpecError) as error:
        raise UsageError(f"{where}: {error}") from None
    return recipe
