"""Keeps textures that no picture shows out of OpenGL.

MuJoCo's renderer loads every texture of a model. Some of LIBERO's textures are on no drawn object, among
them cubes of six times 2000 x 2000 pixels: 264 of the 460 MB that a scene of libero_10 takes in software
OpenGL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

__all__ = ["without_hidden_textures"]

# The group of collision geoms, which robosuite draws only on request.
_HIDDEN_GROUP = 0


@contextlib.contextmanager
def without_hidden_textures(model: Any) -> Iterator[None]:
    """Reduce hidden textures to one pixel for drawing contexts made within this context manager.

    Args:
        model: MuJoCo's model; it is restored afterwards.
    """
    hidden = _hidden(model)
    sizes = (model.tex_height, model.tex_width)
    before = [size.copy() for size in sizes]
    try:
        for size in sizes:
            size[hidden] = 1
        yield
    finally:
        for size, values in zip(sizes, before, strict=True):
            size[:] = values


def _hidden(model: Any) -> NDArray[np.bool_]:
    """Return which textures no drawn material uses, (textures,)."""
    of_geoms = model.geom_matid[model.geom_group != _HIDDEN_GROUP]
    others = (model.site_matid, model.tendon_matid, model.skin_matid, model.flex_matid)
    materials = np.unique(np.concatenate([of_geoms, *others]))
    shown = model.mat_texid[materials[materials >= 0]]
    hidden = model.tex_type != int(mujoco.mjtTexture.mjTEXTURE_SKYBOX)
    hidden[shown[shown >= 0]] = False
    return np.asarray(hidden, dtype=bool)
