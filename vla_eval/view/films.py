"""Films of episodes: their names, their place under the run folder, and what is known beside each.

A film is ``media/ID.mp4`` with ``media/ID.json`` (:class:`Film`) and ``media/ID.webp``, a strip of the first
and the last picture. The id is a hash of everything that decides the pictures, so a film is never outdated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import read_model
from vla_eval.record import EpisodeRecord

__all__ = ["Camera", "Film", "FilmStyle", "film_id", "media_folder", "read_film"]

_VERSION = 1
"""Changes with the way in which films are made, so that earlier ones are made anew."""
Whole = Annotated[int, Field(ge=0, le=10**6)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Camera(_Frozen):
    """One camera's part of the picture; parts stand side by side, from the left."""

    name: str
    width: Whole
    """Pixels."""


class Film(_Frozen):
    """What is known of a film. Frame i shows the scene after i control steps; frame 0 is the start."""

    format: Literal[1] = 1
    fps: Annotated[float, Field(gt=0, le=1000)]
    """Frames a second: the control rate."""
    frames: Whole
    """Number of frames: the episode's control steps and one."""
    height: Whole
    """Pixels."""
    cameras: tuple[Camera, ...]
    scores: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """Score after each number of control steps, one for each frame."""
    subgoals: Mapping[str, tuple[tuple[Whole, Whole], ...]]
    """For each subgoal the spans of frames in which it held: first frame, and the frame after the last."""


@dataclass(frozen=True)
class FilmStyle:
    """How films are made; each style has films of its own."""

    size: int | None = None
    """Height of a camera's picture in pixels; None: as the policy saw it."""
    side: bool = False
    """Whether the environment's own view, ``render()``, stands beside the policy's cameras."""


def film_id(record: EpisodeRecord, style: FilmStyle) -> str:
    """Return the name of an episode's film; equal episodes of two arms have one film."""
    text = f"{_VERSION}/{record.key}/{record.scene_hash}/{record.actions_sha256}/{style}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def media_folder(run: Path) -> Path:
    """Return the place of a run's films."""
    return run / "media"


def read_film(folder: Path, film: str) -> Film | None:
    """Return what is known of a film; None if the film is not there or its description is damaged."""
    if not (folder / f"{film}.mp4").is_file():
        return None
    try:
        return read_model(folder / f"{film}.json", Film, wrong="is no description of a film")
    except UsageError:
        return None
