"""Provenance of a run: package versions, the commit of a source checkout, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

__all__ = ["PHYSICS", "machine", "other_physics", "versions"]

PHYSICS = ("mujoco", "robosuite", "hf-libero")
"""Packages that decide the course of an episode; one run must not mix their versions."""
_PACKAGES = ("vla-eval-suite", "gymnasium", "numpy", *PHYSICS, "torch", "lerobot")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the relevant packages, and a checkout's commit."""
    by_name = {"python": platform.python_version()} | _revision()
    for name in _PACKAGES:
        try:
            by_name[name] = version(name)
        except PackageNotFoundError:
            continue
    return by_name


def other_physics(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return one text for each package of `PHYSICS` whose version differs."""
    return [
        f"{name} {before.get(name, 'absent')} before, {now.get(name, 'absent')} now"
        for name in PHYSICS
        if before.get(name) != now.get(name)
    ]


def machine() -> dict[str, JsonValue]:
    """Return the kind of machine, without its name."""
    return {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count()}


def _revision() -> dict[str, str]:
    """Return the commit of a source checkout, with ``+dirty`` where files differ from it."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        dirty = "+dirty" if git("status", "--porcelain", "--untracked-files=no") else ""
        return {"commit": git("rev-parse", "HEAD") + dirty}
    except (OSError, subprocess.CalledProcessError):
        return {}
