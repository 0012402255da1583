"""Checkpoints: one safetensors file, with a provenance card in its metadata.

Loading executes no code from the file. A file that is truncated, of another network, of another
format or not finite is refused with an error that states the reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, field_validator
from pydantic import Field as Option
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.files.complaints import first_complaint
from vla_eval.files.jsonfile import (
    AmbiguousJsonError,
    is_there,
    open_regular,
    refuse_ambiguous,
)
from vla_eval.trainedon import Scenes, is_short
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.methods import Method, make_method

__all__ = ["Card", "load_checkpoint", "read_card", "save_checkpoint"]

_KEY = "vla_eval.flow"


class Card(BaseModel):
    """Origin of a checkpoint, and the settings needed to use it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    network: FlowConfig
    method: str
    """Name of the training method."""
    hyperparameters: Mapping[str, JsonValue]
    recipe: Mapping[str, JsonValue]
    """All settings needed to train it again, apart from the data."""
    data_sha256: str
    data: str
    """Description of the data, one sentence."""
    poses: bool | None = None
    """Whether its actions are target poses of the hand instead of displacements. None in cards older
    than this entry: there the recipe tells."""
    seed: int
    steps: int
    max_delay: int = Option(default=0, ge=0, exclude_if=lambda count: not count)
    """Largest number of known first actions that training gave the network; see
    :mod:`vla_eval_policies.methods.committed`."""
    start_sha256: str | None = None
    """Digest of the checkpoint that training started from."""
    trained_on: Scenes = None
    """Scenes in which the demonstrations began, including those of the start checkpoint; None: not
    known. For checkpoints that come with the package see ``shipped.trained_on``."""
    versions: Mapping[str, str]
    """Versions of Python and the packages and, in a checkout, the commit."""
    results: Mapping[str, JsonValue] = {}
    """Results of training: last losses, times."""

    @field_validator("trained_on")
    @classmethod
    def _is_short(cls, scenes: Scenes) -> Scenes:
        if scenes is not None and not is_short(scenes):
            raise ValueError("shortened scene hashes are expected, sorted")
        return scenes

    @property
    def answers_with_poses(self) -> bool:
        """Whether its actions are target poses of the hand."""
        if self.poses is not None:
            return self.poses
        data: Any = self.recipe.get("data") or {}
        return bool((data.get("expert") or {}).get("absolute"))

    def make_method(self) -> Method:
        """Return the method with its hyperparameters."""
        return make_method(self.method, self.hyperparameters)


def save_checkpoint(
    path: Path, network: FlowNetwork, card: Card, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a checkpoint atomically: the file appears complete or not at all.

    Args:
        path: the file to write.
        network: the network to save.
        card: its origin.
        dtype: type of the parameters that are matrices; float16 halves the file. All other numbers,
            such as the scales of states in degrees, keep their precision.
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
    """Read only the card; raises PolicySpecError."""
    with _opened(path) as file:
        return _card(path, file.metadata() or {})


def load_checkpoint(path: Path) -> tuple[FlowNetwork, Card, str]:
    """Return the network (float32, for evaluation), its card and the file's sha256.

    Raises:
        PolicySpecError: the file does not exist or cannot be used.
    """
    with _opened(path) as file:
        card = _card(path, file.metadata() or {})
        _refuse_larger(path, file, card.network)
        network = FlowNetwork(card.network)
        need = network.state_dict()
        _check_shapes(path, file, need)
        tensors = {name: file.get_tensor(name) for name in need}
    _check_numbers(path, tensors)
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    with open_regular(path) as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return network.eval(), card, digest


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; every read error becomes a PolicySpecError with its reason."""
    if not is_there(path):
        raise PolicySpecError(f"there is no checkpoint {path}")
    head = b""
    try:
        with open_regular(path) as content:
            head = content.read(4)
        with safe_open(path, framework="pt") as file:
            yield file
    except OSError as error:
        raise PolicySpecError(f"{path} cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise PolicySpecError(f"{path} cannot be read: {_why(head, str(error))}") from None


def _card(path: Path, metadata: Mapping[str, str]) -> Card:
    if _KEY not in metadata:
        raise PolicySpecError(
            f"{path} is no checkpoint of this project: its metadata have no '{_KEY}'; "
            "`vlaeval train` writes such files"
        )
    try:
        refuse_ambiguous(metadata[_KEY])
        card = Card.model_validate_json(metadata[_KEY])
        card.make_method()
    except ValidationError as error:
        raise PolicySpecError(f"{path}: its card is damaged: {first_complaint(error)}") from None
    except (AmbiguousJsonError, UsageError) as error:
        raise PolicySpecError(f"{path}: its card is damaged: {error}") from None
    return card


def _why(head: bytes, error: str) -> str:
    if head[:2] == b"PK" or head[:1] == b"\x80":
        return "it is a pickle, which could run any code; only safetensors files are loaded"
    return f"it is truncated or no safetensors file ({error})"


def _refuse_larger(path: Path, file: Any, config: FlowConfig) -> None:
    """Refuse a card whose network is larger than the file, before the network is built.

    The size is computed without torch's meta device, whose first use takes seconds to import.
    """
    stored = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    if config.least_parameters > stored + _SLACK:
        raise PolicySpecError(
            f"{path} is of another network: its card describes {config.least_parameters:,} numbers or "
            f"more, and it holds {stored:,}"
        )


_SLACK = 1_000_000
"""Allowed surplus of the card, in numbers: a smaller difference is reported by `_check_shapes`, which
names the tensor."""


def _check_shapes(path: Path, file: Any, need: Mapping[str, Tensor]) -> None:
    """Refuse tensors with other names, shapes or types than the network's; reads only the header."""
    have = set(file.keys())
    for name, value in need.items():
        if name not in have:
            raise PolicySpecError(f"{path} is of another network: '{name}' is missing")
        stored = file.get_slice(name)
        shape = tuple(stored.get_shape())
        if shape != tuple(value.shape):
            raise PolicySpecError(
                f"{path} is of another network: '{name}' has the shape {shape}, "
                f"not {tuple(value.shape)}"
            )
        if stored.get_dtype() not in _DTYPES:
            raise PolicySpecError(
                f"{path} is damaged: '{name}' is stored as {stored.get_dtype()}; "
                f"{' or '.join(_DTYPES)} is expected"
            )
    surplus = sorted(have - set(need))
    if surplus:
        raise PolicySpecError(f"{path} is of another network: it has '{surplus[0]}' besides")


_DTYPES = ("F32", "F16")
"""Types that `save_checkpoint` writes; bits of another type would be read as wrong numbers."""


def _check_numbers(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise PolicySpecError(f"{path} is damaged: '{name}' has values that are not finite")


def require_same_network(card: Card, config: FlowConfig, path: Path) -> None:
    """Refuse to start from another network; only the extra time and the chunks may differ."""
    free = {"extra_time", "chunk_size", "relative_actions"}
    theirs, ours = (network.model_dump(exclude=free) for network in (card.network, config))
    different: list[Any] = [name for name in ours if ours[name] != theirs[name]]
    if different:
        name = different[0]
        raise UsageError(
            f"start = {path}: its network has {name} = {theirs[name]!r}, "
            f"the recipe's {ours[name]!r}"
        )
