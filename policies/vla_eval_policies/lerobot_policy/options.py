"""Options that follow the question mark in ``lerobot:…?…``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Options"]


class Options(BaseModel):
    """Options of the policy kind ``lerobot``; None means the checkpoint's own choice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nfe: int | None = Field(default=None, ge=1)
    """Function evaluations for a chunk, for policies that integrate a flow or a diffusion."""
    method: str | None = None
    """Sampling method of a flow: ``fm``, ``snapflow`` … or a preset; see ``methods``."""
    solver: Literal["euler", "heun", "midpoint"] | None = None
    """Solver of ``method=fm``."""
    keystone: int | None = Field(default=None, ge=2)
    """K: number of chunks drawn from one prefix; a chunk near many others is executed."""
    n_action_steps: int | None = Field(default=None, ge=1)
    """Actions of a chunk that are executed before the next inference."""
    device: str = "cpu"
    """Device in torch's notation: ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the backbone and the action expert; actions are always float32."""
    naive: bool = False
    """Whether to ignore queued actions, although the student was trained to continue them."""
    compile: bool = False
    """Whether to compile an evaluation of the action expert by ``torch.compile`` in the warm-up."""
    cameras: str | None = None
    """``CAMERA:NAME,…``: pairs of an environment's camera and the checkpoint's picture name."""
    tokenizer: str | None = None
    """Folder or hub id of the tokenizer, if the checkpoint's own is not available."""
    vlm: str | None = None
    """Folder or hub id of SmolVLA's vision-language model: its configuration, not its weights."""
    plugin: str | None = None
    """Package whose processor steps the checkpoint may name besides LeRobot's own."""
    trust_remote_code: bool = False
    """Whether to run Python files from the repository of a tokenizer or backbone."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""

    @field_validator("cameras")
    @classmethod
    def _pairs(cls, text: str | None) -> str | None:
        pairs = [pair.split(":") for pair in text.split(",")] if text is not None else []
        if any(len(pair) != 2 or not all(pair) for pair in pairs):
            raise ValueError("expected CAMERA:NAME,CAMERA:NAME, for example agentview:camera1")
        return text

    def camera_names(self) -> dict[str, str]:
        """Return the checkpoint's picture name for each camera in ``cameras``."""
        if self.cameras is None:
            return {}
        return dict(pair.split(":") for pair in self.cameras.split(","))
