"""Names of observations on the wire: from ours to a server's, and from a client's to ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError, did_you_mean
from vla_eval_policies.remote.codec import WireError

__all__ = ["DISPLACEMENTS", "LAYOUTS", "ObservationLayout", "layout_of", "resize_with_pad"]

_NATIVE_IMAGES = "observation/images/"


@dataclass(frozen=True)
class ObservationLayout:
    """Names of an observation's parts on the wire."""

    name: str
    images: Mapping[str, str] = field(default_factory=dict)
    """Our camera for each key on the wire; empty: all cameras, as ``observation/images/CAMERA``."""
    state: str = "observation/state"
    prompt: str = "prompt"
    image_size: int | None = None
    """Edge in pixels of the square into which pictures are fitted before sending; None: unchanged."""
    action_low: tuple[float, ...] | None = None
    """Bounds of the actions, for clients that do not send them; None: unknown."""
    action_high: tuple[float, ...] | None = None

    def to_wire(self, observation: Observation, instruction: str) -> dict[str, Any]:
        """Return the map to send.

        Raises:
            WireError: the environment lacks a camera of the layout.
        """
        pixels = observation["pixels"]
        names = self.images or {f"{_NATIVE_IMAGES}{camera}": camera for camera in pixels}
        if missing := [camera for camera in names.values() if camera not in pixels]:
            raise WireError(
                f"layout '{self.name}' wants the camera '{missing[0]}', and the environment has "
                f"{', '.join(sorted(pixels))}"
            )
        sent = {
            key: resize_with_pad(pixels[camera], self.image_size)
            if self.image_size
            else pixels[camera]
            for key, camera in names.items()
        }
        state = np.asarray(observation["agent_pos"], np.float32)
        return {**sent, self.state: state, self.prompt: instruction}

    def from_wire(self, message: Mapping[Any, Any]) -> tuple[Observation, str]:
        """Return our observation and the instruction.

        Raises:
            WireError: a part is missing (with the keys of the message) or has a wrong type.
        """
        names = self.images or {
            key: key.removeprefix(_NATIVE_IMAGES)
            for key in map(str, message)
            if key.startswith(_NATIVE_IMAGES)
        }
        absent = [key for key in (*names, self.state, self.prompt) if key not in message]
        if absent:
            came = ", ".join(sorted(str(key)[:60] for key in message)[:20]) or "nothing"
            raise WireError(f"layout '{self.name}': '{absent[0]}' is missing; what came is: {came}")
        pixels = {camera: _picture(key, message[key]) for key, camera in names.items()}
        state = _state(self.state, message[self.state])
        prompt = message[self.prompt]
        if not isinstance(prompt, str):
            raise WireError(f"'{self.prompt}' is {type(prompt).__name__}; a string is expected")
        return {"pixels": pixels, "agent_pos": state}, prompt


_ONE = (1.0,) * 7
LAYOUTS = {
    layout.name: layout
    for layout in (
        ObservationLayout("native"),
        # openpi's LIBERO policies: upright pictures, 224×224 with black bars; position, axis-angle,
        # fingers.
        ObservationLayout(
            "libero",
            {"observation/image": "agentview", "observation/wrist_image": "wrist"},
            image_size=224,
            action_low=tuple(-one for one in _ONE),
            action_high=_ONE,
        ),
        # AllenAI's LIBERO benchmark: the same parts, with other names and pictures in full size.
        ObservationLayout(
            "harness-libero",
            {"images/agentview": "agentview", "images/wrist": "wrist"},
            state="states",
            prompt="task_description",
            action_low=tuple(-one for one in _ONE),
            action_high=_ONE,
        ),
    )
}

DISPLACEMENTS = frozenset(name for name, layout in LAYOUTS.items() if layout.action_low is not None)
"""Layouts whose clients, LIBERO's, take displacements."""


def layout_of(
    name: str, *, images: str | None, state: str | None, prompt: str | None, size: int | None
) -> ObservationLayout:
    """Return a named layout, changed by options.

    Args:
        name: name of a shipped layout.
        images: ``KEY=CAMERA,KEY=CAMERA``: keys on the wire and their cameras.
        state: key of the robot's state.
        prompt: key of the instruction.
        size: edge of the pictures in pixels.

    Raises:
        PolicySpecError: the layout does not exist, or ``images`` is malformed.
    """
    if name not in LAYOUTS:
        raise PolicySpecError(f"there is no layout '{name}'{did_you_mean(name, LAYOUTS)}")
    layout = LAYOUTS[name]
    changes: dict[str, Any] = {}
    if images is not None:
        pairs = [part.partition("=") for part in images.split(",")]
        if not all(key and equals and camera for key, equals, camera in pairs):
            raise PolicySpecError(
                f"images={images}: expected KEY=CAMERA,KEY=CAMERA, for example "
                "observation/image=front"
            )
        changes["images"] = {key: camera for key, _, camera in pairs}
    others = {"state": state, "prompt": prompt, "image_size": size}
    changes |= {name: value for name, value in others.items() if value is not None}
    return replace(layout, **changes)


def resize_with_pad(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Fit a picture, uint8 (H, W, 3), into a black square, without distortion.

    The pixels equal those of openpi's client (``image_tools.resize_with_pad``: Pillow, bilinear).
    """
    from PIL import Image

    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    ratio = max(width, height) / size
    inner = (int(width / ratio), int(height / ratio))
    resized = np.asarray(Image.fromarray(picture).resize(inner, Image.Resampling.BILINEAR))
    square = np.zeros((size, size, picture.shape[2]), np.uint8)
    top, left = (size - inner[1]) // 2, (size - inner[0]) // 2
    square[top : top + inner[1], left : left + inner[0]] = resized
    return square


def _picture(key: str, value: object) -> NDArray[np.uint8]:
    if not isinstance(value, np.ndarray) or value.dtype != np.uint8 or value.ndim != 3:
        got = (
            f"{value.dtype} {value.shape}"
            if isinstance(value, np.ndarray)
            else type(value).__name__
        )
        raise WireError(f"'{key}' is {got}; a picture uint8 (H, W, 3) is expected")
    return value


def _state(key: str, value: object) -> NDArray[np.float32]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise WireError(f"'{key}' is a list of unequal lists; float32 (D,) is expected") from None
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise WireError(f"'{key}' is {array.dtype} {array.shape}; float32 (D,) is expected")
    return array.astype(np.float32)
