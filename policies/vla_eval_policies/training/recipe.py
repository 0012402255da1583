"""Recipes: TOML files with all settings of a training run.

::

    seed = 0

    [data]
    datasets = ["demos/pick-place"]     # folders of `vlaeval record`
    # and, or instead, [data.expert]: the experts act during training, see ExpertData

    [network]                           # optional: sizes, see FlowConfig
    chunk_size = 16

    [method]
    name = "snapflow:published"         # or a method's name; the other keys are hyperparameters

    [training]
    steps = 4000
    batch = 64
    draws = 4                           # (noise, time) pairs for each observation
    start = "fm.safetensors"            # optional: initial weights
    freeze_prefix = true                # optional: train only the action expert
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic import Field as Option

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.complaints import first_complaint
from vla_eval.files.tomlfile import apply_change, read_toml
from vla_eval_policies.flow.network import FlowConfig
from vla_eval_policies.methods import Method, make_method
from vla_eval_policies.training.expert_data import ExpertData
from vla_eval_policies.training.loop import Optimisation

__all__ = [
    "Data",
    "Recipe",
    "load_recipe",
    "named_method",
    "read_recipe",
    "validate",
]


class Data(BaseModel):
    """Source of the demonstrations: datasets, experts, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: tuple[str, ...] = ()
    cameras: tuple[str, ...] | None = None
    """Cameras to use. None: all cameras of the first dataset or, without datasets, of the experts'
    first task."""
    expert: ExpertData | None = None

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if not self.datasets and self.expert is None:
            raise ValueError("[data] needs 'datasets', or a section [data.expert]")
        return self


class Training(Optimisation):
    """Settings of the optimisation, and the initial weights."""

    batch: int = Option(default=64, ge=1, le=65_536)
    draws: int = Option(default=1, ge=1, le=1024)
    """Pairs of noise and time for each observation of a batch; they share its encoding."""
    max_delay: int = Option(default=0, ge=0, exclude_if=lambda count: not count)
    """D, largest number of a chunk's first actions that are known to the network, drawn anew from 0 … D
    for each chunk (training-time real-time chunking); see :mod:`vla_eval_policies.methods.committed`."""
    start: str | None = None
    """Checkpoint with the initial weights: a file, or the name of a shipped checkpoint. With another
    chunk size, the scales of the actions and the embeddings of the steps are initialised anew."""
    freeze_prefix: bool = False
    """Train only the action expert."""
    device: str = "cpu"
    threads: int = Option(default=1, ge=1, le=1024)
    save_every: int = Option(default=500, ge=1)
    """Steps between saved states, from which a stopped run continues."""


class Recipe(BaseModel):
    """All settings of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Data
    network: Mapping[str, JsonValue] = Option(default_factory=dict)
    """Fields of the network's configuration, apart from those that the data determine."""
    method: Mapping[str, JsonValue]
    training: Training = Option(default_factory=Training)
    seed: int = Option(default=0, ge=0, lt=2**63)

    def make_method(self) -> Method:
        """Return the method; raises UsageError."""
        return named_method(self.method)


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe; ``changes`` are ``key.path=value`` with TOML values.

    Raises:
        UsageError: the file is not readable, not TOML, or no recipe; names the key and its fault.
    """
    content = read_recipe(path)
    for change in changes:
        apply_change(content, change, error=UsageError)
    recipe = validate(Recipe, content, f"recipe {path}")
    try:
        recipe.make_method()
    except UsageError as error:
        raise UsageError(f"recipe {path}, [method]: {error}") from None
    _check_network(path, recipe)
    return recipe


def read_recipe(path: Path) -> dict[str, Any]:
    """Return a recipe's content, unchecked; raises UsageError if it is no TOML that fits JSON."""
    return read_toml(path, error=UsageError)


def validate[M: BaseModel](kind: type[M], content: Mapping[str, Any], where: str) -> M:
    """Return the content as a model; raises UsageError that names the first wrong key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UsageError(f"{where}: {first_complaint(error, kind)}") from None


def named_method(content: Mapping[str, JsonValue]) -> Method:
    """Return the method of a recipe's ``[method]``; raises UsageError."""
    options = {key: value for key, value in content.items() if key != "name"}
    name = content.get("name")
    if not isinstance(name, str):
        raise UsageError("the recipe's [method] needs a name, for example name = 'fm'")
    return make_method(name, options)


def _check_network(path: Path, recipe: Recipe) -> None:
    """Refuse impossible network settings before the data are read."""
    decided = {"cameras", "state_size", "action_size", "extra_time"} & set(recipe.network)
    if decided:
        raise UsageError(
            f"recipe {path}, 'network.{decided.pop()}': the data and the method decide that; leave it out"
        )
    unknown = set(recipe.network) - set(FlowConfig.model_fields)
    if unknown:
        name = unknown.pop()
        hint = did_you_mean(name, FlowConfig.model_fields)
        raise UsageError(f"recipe {path}: unknown key 'network.{name}'{hint}")
    relative = recipe.network.get("relative_actions", 1)
    size = relative if isinstance(relative, int) and relative > 1 else 1
    stand_in = {"cameras": ("camera",), "state_size": size, "action_size": size}
    try:
        config = FlowConfig.model_validate({**recipe.network, **stand_in})
    except ValidationError as error:
        raise UsageError(f"recipe {path}, [network]: {first_complaint(error)}") from None
    if recipe.training.max_delay >= config.chunk_size:
        raise UsageError(
            f"recipe {path}: training.max_delay = {recipe.training.max_delay} leaves nothing to learn of "
            f"chunks of {config.chunk_size} actions; it must be smaller"
        )
