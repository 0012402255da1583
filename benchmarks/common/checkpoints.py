"""Random checkpoints of LeRobot's policies, tiny or of the published sizes, for benchmarks."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

__all__ = ["FLOWS", "FULL", "KINDS", "builders", "random_checkpoint"]

# Random checkpoints (builders) and the factory that loads them (tiny) are the tests'.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fakes"))

KINDS = ("act", "smolvla", "smolvla-deep", "pi0", "pi05", "diffusion")
FLOWS = ("smolvla", "smolvla-deep", "pi0", "pi05")
FULL = ("smolvla", "pi0", "pi05")
"""Kinds that can have their published size."""


def builders() -> Any:
    """Return the module that writes random checkpoints."""
    return importlib.import_module("fakes.lerobot.builders")


def random_checkpoint(kind: str, folder: Path, *, full: bool, device: str) -> str:
    """Write a random checkpoint for LIBERO, and return the spec that loads it.

    Args:
        kind: one of `KINDS`.
        folder: a new or empty folder.
        full: the published size, for the kinds in `FULL`; else tiny.
        device: where torch runs it.
    """
    made = builders()
    if kind in ("pi0", "pi05"):
        made.pi(folder, made.LIBERO, kind=kind, full=full)
    elif kind in FLOWS:
        made.smolvla(folder, made.LIBERO, full=full, deep=kind == "smolvla-deep")
    else:
        getattr(made, kind)(folder, made.LIBERO)
    if full:
        return f"lerobot:{folder}?device={device}"
    return f"fakes.lerobot.tiny:factory?checkpoint={folder}&device={device}"
