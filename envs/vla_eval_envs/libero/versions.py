"""Versions of the installed packages, and whether they may evaluate LIBERO."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from vla_eval.errors import InfrastructureError, MissingExtraError
from vla_eval_envs.libero.assets import Assets

__all__ = ["ALLOW_VARIABLE", "MUJOCO_PIN", "Versions", "provenance", "versions"]

MUJOCO_PIN = "3.3.2"
"""The only accepted MuJoCo. From 3.3.3 on floors render darker. From 3.4 on the bowl of libero_spatial
task 5 no longer rests on the ramekin (3.71 cm off instead of 1.45)."""

ALLOW_VARIABLE = "VLA_EVAL_ALLOW_MUJOCO"


@dataclass(frozen=True)
class Versions:
    """Installed versions; ``mujoco_override`` is true if another than the pinned MuJoCo was allowed."""

    mujoco: str
    robosuite: str
    hf_libero: str
    mujoco_override: bool


def versions() -> Versions:
    """Return the installed versions without importing the packages.

    Raises:
        MissingExtraError: hf-libero, robosuite or MuJoCo is not installed.
        InfrastructureError: MuJoCo is not the pinned version and ``VLA_EVAL_ALLOW_MUJOCO`` is not 1.
    """
    try:
        mujoco, robosuite, hf_libero = map(version, ("mujoco", "robosuite", "hf-libero"))
    except PackageNotFoundError as error:
        raise MissingExtraError("LIBERO", "libero") from error
    override = mujoco != MUJOCO_PIN
    if override and os.environ.get(ALLOW_VARIABLE) != "1":
        raise InfrastructureError(
            f"LIBERO is evaluated with mujoco {MUJOCO_PIN}, and {mujoco} is installed, whose contacts "
            f"and colours differ; run: pip install mujoco=={MUJOCO_PIN}, or set {ALLOW_VARIABLE}=1 "
            "and every record will say so"
        )
    return Versions(mujoco, robosuite, hf_libero, override)


def provenance(installed: Versions, gl: str, assets: Assets) -> dict[str, str | int | bool]:
    """Return the facts besides the seed that decide pictures and physics; it has no path of this machine."""
    record: dict[str, str | int | bool] = {
        "mujoco": installed.mujoco,
        "robosuite": installed.robosuite,
        "hf_libero": installed.hf_libero,
        "gl": gl,
        "assets": assets.name,
        "standins": assets.standins_count > 0,
        "standins_count": assets.standins_count,
    }
    if installed.mujoco_override:
        record["mujoco_override"] = True
    return record
