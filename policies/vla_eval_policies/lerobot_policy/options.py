"""What may stand behind the question mark of ``lerobot:…?…``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["Options"]


class Options(BaseModel):
    """Options of the policy kind ``lerobot``; None leaves a choice to the checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nfe: int | None = Field(default=None, ge=1)
    """Function evaluations a chunk, for policies that integrate a flow or a diffusion."""
    method: str | None = None
    """How a flow is sampled: ``fm``, ``snapflow`` … or a preset; see ``methods``."""
    solver: Literal["euler", "heun", "midpoint"] | None = None
    """Of ``method=fm``."""
    keystone: int | None = Field(default=None, ge=2)
    """K: draw so many chunks from one prefix, execute one that many agree with."""
    n_action_steps: int | None = Field(default=None, ge=1)
    """Actions of a chunk that are executed before the next inference."""
    device: str = "cpu"
    """As torch names it: ``cpu``, ``cuda``, ``cuda:1``, ``mps``."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the backbone and the action expert; actions are always float32."""
    compile: bool = False
    """Make one program of an evaluation of the action expert, by ``torch.compile`` in the warm-up."""
    cameras: str | None = None
    """``CAMERA:NAME,…``: which of the environment's cameras feeds which of the checkpoint's."""
    tokenizer: str | None = None
    """Folder or hub id of the tokenizer, where the checkpoint's own cannot be had."""
    vlm: str | None = None
    """Folder or hub id of SmolVLA's vision-language model: its configuration, not its weights."""
    plugin: str | None = None
    """Package whose processor steps the checkpoint may name besides LeRobot's own."""
    trust_remote_code: bool = False
    """Run Python files that the repository of a tokenizer or backbone brings along."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""

    @field_validator("cameras")
    @classmethod
    def _pairs(cls, text: str | None) -> str | None:
        pairs = [each.split(":") for each in text.split(",")] if text is not None else []
        if any(len(pair) != 2 or not all(pair) for pair in pairs):
            raise ValueError("expected CAMERA:NAME,CAMERA:NAME, for example agentview:camera1")
        return text

    def camera_names(self) -> dict[str, str]:
        """Return the checkpoint's name for each camera that ``cameras`` speaks of."""
        if self.cameras is None:
            return {}
        return dict(pair.split(":") for pair in self.cameras.split(","))
