"""MuJoCo's forward pass for a scene that comes through the same states in every reset.

Before LIBERO draws where things stand, robosuite runs four forward passes with everything at its compiled
place, where objects may be inside each other: the constraint solver then takes longer than a control
step. Its answers do not depend on the seed, so they are remembered.
"""

# ruff: noqa: SLF001  robosuite hides the MuJoCo objects behind an underscore

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["RememberedForward"]

# A reset has four passes that come back and two that do not.
_KEPT = 8


class RememberedForward:
    """Takes the place of robosuite's ``sim.forward``; all that later steps start from is the same.

    A pass depends on the state and on where the model's bodies are. What is remembered is the solver's
    answer; everything before it is computed. Constraint forces are those of an earlier pass, which the
    next step or pass replaces.

    Args:
        sim: robosuite's simulation.
        changed: names of the model's arrays that LIBERO changes.
    """

    def __init__(self, sim: Any, changed: tuple[str, ...]) -> None:
        self._model, self._data, self._changed = sim.model._model, sim.data._data, changed
        self._kind = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        self._state = np.empty(mujoco.mj_stateSize(self._model, self._kind))
        self._answers: OrderedDict[bytes, tuple[NDArray[np.float64], ...]] = OrderedDict()

    def __call__(self) -> None:
        """Compute all that follows from the state."""
        model, data, key = self._model, self._data, self._key()
        known = self._answers.get(key)
        if known is None:
            mujoco.mj_forward(model, data)
            self._answers[key] = (data.qacc.copy(), data.qacc_warmstart.copy())
            if len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
            return
        self._answers.move_to_end(key)
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        data.qacc[:], data.qacc_warmstart[:] = known

    def _key(self) -> bytes:
        mujoco.mj_getState(self._model, self._data, self._state, self._kind)
        arrays = (self._state, *(getattr(self._model, name) for name in self._changed))
        return b"".join(array.tobytes() for array in arrays)
