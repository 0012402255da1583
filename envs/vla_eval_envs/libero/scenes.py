"""Chooses the physics loop and the drawing, and builds the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vla_eval_envs.libero.install import Library
from vla_eval_envs.libero.simulator import Simulator

__all__ = ["Drawing", "Physics", "open_simulator"]

Physics = Literal["exact", "fast", "reference"]
"""``reference``: robosuite's loop. ``exact``: our loop, equal to robosuite's bit for bit. ``fast``: our
loop with one constraint solution in a physics step instead of robosuite's three; it differs in the last
bits, and contacts amplify the difference. Pictures of a state are the same in all three."""


Drawing = Literal["exact", "plain"]
"""``exact``: without what cannot change a pixel, down to single triangles; it rests on how llvmpipe draws.
``plain``: everything, by MuJoCo alone, as ``physics="reference"`` always does."""


def open_simulator(
    library: Library, bddl_file: Path, physics: Physics, drawing: Drawing, picture_px: int
) -> Simulator:
    """Return a simulator of a task for pictures of size ``picture_px``; larger pictures are slower."""
    if physics == "reference":
        return Simulator(library, bddl_file)
    # MuJoCo may be imported only after the GL backend is chosen, which loading the library does.
    from vla_eval_envs.libero.fast import FastSimulator

    return FastSimulator(
        library,
        bddl_file,
        exact=physics == "exact",
        sparing=drawing == "exact",
        picture_px=picture_px,
    )
