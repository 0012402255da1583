"""MuJoCo's forward pass for a scene that passes through the same states in every reset.

Before LIBERO draws the places of objects, robosuite runs four forward passes with all objects at their
compiled places. Objects may overlap there, and then the constraint solver takes longer than a control
step. Its solutions do not depend on the seed, so they are remembered.
"""

# ruff: noqa: SLF001  robosuite hides the MuJoCo objects behind an underscore

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["RememberedForward"]

# A reset has four passes that repeat in every reset, and two that do not.
_KEPT = 8


class RememberedForward:
    """Replaces robosuite's ``sim.forward``; later steps start from the same state.

    A pass depends on the state and on the places of the model's bodies. Only the solver's solution is
    remembered; everything before it is computed. The constraint forces are those of an earlier pass;
    the next step or pass replaces them.

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
        """Compute all quantities that depend on the state."""
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
