"""Chooses whose loop runs the physics, and builds the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vla_eval_envs.libero.install import Library
from vla_eval_envs.libero.simulator import Simulator

__all__ = ["Physics", "open_simulator"]

Physics = Literal["exact", "fast", "reference"]
"""``reference``: robosuite's own loop. ``exact``: ours, equal to it bit for bit. ``fast``: ours, with
one constraint solution in a physics step where robosuite has three; differs in the last bits, which
contacts amplify. Pictures of a state are the same in all three."""


def open_simulator(
    library: Library, bddl_file: Path, physics: Physics, picture_px: int
) -> Simulator:
    """Return a simulator of a task, whose pictures are rarely larger than the given size."""
    if physics == "reference":
        return Simulator(library, bddl_file)
    # MuJoCo may be imported once the GL backend is chosen, which loading the library does.
    from vla_eval_envs.libero.fast import FastSimulator

    return FastSimulator(library, bddl_file, exact=physics == "exact", picture_px=picture_px)
