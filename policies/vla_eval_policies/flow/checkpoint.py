"""Checkpoints: one safetensors file, with a provenance card in its metadata.

Nothing in it is executed. A file that is truncated, of another network, of another format or not
finite is refused with a sentence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.trainedon import Scenes, is_short
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.methods import Method, make_method

__all__ = ["Card", "load_checkpoint", "read_card", "save_checkpoint"]

_KEY = "vla_eval.flow"


class Card(BaseModel):
    """Where a checkpoint comes from, and what is needed to use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    network: FlowConfig
    method: str
    """Name of the method that it was trained with."""
    hyperparameters: Mapping[str, JsonValue]
    recipe: Mapping[str, JsonValue]
    """Everything that training it again takes, apart from the data."""
    data_sha256: str
    data: str
    """What the data are, in a sentence."""
    seed: int
    steps: int
    start_sha256: str | None = None
    """The checkpoint that training started from."""
    trained_on: Scenes = None
    """In which scenes the demonstrations began, those of the start included; None: not known. See
    ``shipped.trained_on`` for those that come with the package."""
    versions: Mapping[str, str]
    """Of Python, packages and, in a checkout, the commit."""
    results: Mapping[str, JsonValue] = {}
    """What training ended with: losses, times."""

    @field_validator("trained_on")
    @classmethod
    def _is_short(cls, scenes: Scenes) -> Scenes:
        if scenes is not None and not is_short(scenes):
            raise ValueError("shortened scene hashes are expected, sorted")
        return scenes

    def make_method(self) -> Method:
        """Return the method with its hyperparameters."""
        return make_method(self.method, self.hyperparameters)


def save_checkpoint(
    path: Path, network: FlowNetwork, card: Card, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a checkpoint. The file appears at once, or not at all.

    Args:
        path: of the file.
        network: what is saved.
        card: where it comes from.
        dtype: of the parameters that are matrices; float16 halves the file. All other numbers, such
            as the scales of states in degrees, keep their precision.
    """
    matrices = {name for name, value in network.named_parameters() if value.dim() > 1}
    tensors = {
        name: value.detach().to("cpu", dtype if name in matrices else value.dtype).contiguous()
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(tensors, unfinished, metadata={_KEY: card.model_dump_json()})
    unfinished.replace(path)


def read_card(path: Path) -> Card:
    """Read the card alone; raises PolicySpecError."""
    return _read(path, tensors=False)[0]


def load_checkpoint(path: Path) -> tuple[FlowNetwork, Card, str]:
    """Return the network (float32, for evaluation), its card and the file's sha256.

    Raises:
        PolicySpecError: no such file, or one that cannot be used.
    """
    card, tensors = _read(path, tensors=True)
    network = FlowNetwork(card.network)
    _check(path, tensors, network.state_dict())
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    return network.eval(), card, hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path, *, tensors: bool) -> tuple[Card, dict[str, Tensor]]:
    if not path.is_file():
        raise PolicySpecError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            values = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise PolicySpecError(f"{path} cannot be read: {_why(path, str(error))}") from None
    if _KEY not in metadata:
        raise PolicySpecError(
            f"{path} is no checkpoint of this project: its metadata have no '{_KEY}'; "
            "`vlaeval train` writes such files"
        )
    try:
        return Card.model_validate(json.loads(metadata[_KEY])), values
    except (ValidationError, ValueError) as error:
        what = str(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            what = f"'{'.'.join(str(part) for part in first['loc'])}': {first['msg']}"
        raise PolicySpecError(f"{path}: its card is damaged: {what}") from None


def _why(path: Path, error: str) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        return "it is a pickle, which could run any code; only safetensors files are loaded"
    return f"it is truncated or no safetensors file ({error})"


def _check(path: Path, have: Mapping[str, Tensor], need: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not exactly the network's, or not finite."""
    for name, value in need.items():
        if name not in have:
            raise PolicySpecError(f"{path} is of another network: '{name}' is missing")
        if have[name].shape != value.shape:
            raise PolicySpecError(
                f"{path} is of another network: '{name}' has the shape {tuple(have[name].shape)}, "
                f"not {tuple(value.shape)}"
            )
        if not torch.isfinite(have[name]).all():
            raise PolicySpecError(f"{path} is damaged: '{name}' has values that are not finite")
    surplus = sorted(set(have) - set(need))
    if surplus:
        raise PolicySpecError(f"{path} is of another network: it has '{surplus[0]}' besides")


def require_same_network(card: Card, config: FlowConfig, path: Path) -> None:
    """Refuse to start from another network; its second time, and what a chunk is, may differ."""
    free = {"extra_time", "chunk_size", "relative_actions"}
    theirs, ours = (each.model_dump(exclude=free) for each in (card.network, config))
    different: list[Any] = [name for name in ours if ours[name] != theirs[name]]
    if different:
        name = different[0]
        raise UsageError(
            f"start = {path}: its network has {name} = {theirs[name]!r}, "
            f"the recipe's {ours[name]!r}"
        )
