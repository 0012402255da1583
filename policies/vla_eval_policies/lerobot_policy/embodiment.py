"""Robots of this project's environments, and the names of their cameras in LeRobot's datasets.

=========  ========================  ==========================  ======================  ==========
suites     cameras                   LeRobot's names             state                   action
=========  ========================  ==========================  ======================  ==========
libero_*   agentview, wrist          image, image2               8: position, rotation   7, ±1
                                                                 vector, two fingers
so101      top, wrist                the same                    6: five joints, gripper 6: targets
lekiwi     front, wrist, top         the same                    9: arm as above, base   9: targets
=========  ========================  ==========================  ======================  ==========

For any other suite, each camera keeps its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context

__all__ = ["EMBODIMENTS", "Binding", "Embodiment", "Wants", "bind", "embodiment_of", "example"]

_IMAGES = "observation.images."
STATE = "observation.state"


@dataclass(frozen=True)
class Embodiment:
    """A robot of this project."""

    name: str
    suites: str
    """Prefix of the names of its suites."""
    cameras: Mapping[str, str]
    """LeRobot's name of each camera."""
    gripper: int | None = None
    """Index of the gripper in state and action; None if it is not known."""
    gripper_says: str = ""
    """Meaning of the gripper's values."""
    gripper_share: float = 0.1
    """Smallest share of the gripper's range that demonstrations use; below it, the units differ."""


EMBODIMENTS = (
    Embodiment(
        "libero",
        "libero_",
        {"agentview": "image", "wrist": "image2"},
        gripper=6,
        gripper_says="-1 opens, +1 closes",
        gripper_share=0.55,  # its commands are -1 and 1; 0 to 1 is another convention
    ),
    Embodiment(
        "so101",
        "so101",
        {"top": "top", "wrist": "wrist"},
        gripper=5,
        gripper_says="0 is closed, 100 is open",
    ),
    Embodiment(
        "lekiwi",
        "lekiwi",
        {"front": "front", "wrist": "wrist", "top": "top"},
        gripper=5,
        gripper_says="0 is closed, 100 is open",
    ),
)


def embodiment_of(suite: str, observation: Observation) -> Embodiment:
    """Return the robot of a suite; for an unknown suite, a robot that keeps the cameras' names."""
    for embodiment in EMBODIMENTS:
        if suite.startswith(embodiment.suites):
            return embodiment
    return Embodiment(suite, suite, {name: name for name in observation.get("pixels", {})})


@dataclass(frozen=True)
class Wants:
    """Inputs and outputs of a checkpoint."""

    where: str
    """Name of the checkpoint in messages."""
    images: Mapping[str, tuple[int, int, int]]
    """Shape (3, H, W) of each picture by its full name, before the checkpoint's own renaming."""
    state: int | None
    """Size of the state; None if the checkpoint takes no state."""
    action: int
    """Size of an action."""
    resizes: bool
    """Whether it resizes pictures of any size."""
    cameras: Mapping[str, str] = field(default_factory=dict)
    """The user's choice: the checkpoint's picture name for an environment's camera."""


@dataclass(frozen=True)
class Binding:
    """Mapping from the observations of a robot to the batches of a checkpoint."""

    embodiment: Embodiment
    images: Mapping[str, str]
    """The environment's camera for each picture of the checkpoint, by its full name."""
    state: bool
    """Whether ``agent_pos`` is passed on."""


def bind(wants: Wants, observation: Observation, context: Context) -> Binding:
    """Match a checkpoint with the observations and actions of an environment.

    Raises:
        PolicySpecError: a camera is missing, or shapes of pictures, state or action differ.
    """
    embodiment = embodiment_of(context.suite, observation)
    pictures = observation.get("pixels", {})
    names = {name: embodiment.cameras.get(name, name) for name in pictures} | dict(wants.cameras)
    unknown = [name for name in wants.cameras if name not in pictures]
    if unknown:
        raise PolicySpecError(
            f"{wants.where}: option cameras names '{unknown[0]}', but {context.suite} "
            f"has {_listed(pictures)}"
        )
    by_feature = {_IMAGES + name: camera for camera, name in names.items()}
    images = {}
    for feature, shape in wants.images.items():
        if feature not in by_feature:
            raise PolicySpecError(_missing_camera(wants, feature, names, context.suite))
        images[feature] = by_feature[feature]
        _check_picture(wants, feature, shape, np.shape(pictures[by_feature[feature]]))
    _check_size(wants, "state", wants.state, np.size(observation.get("agent_pos", ())), context)
    _check_size(wants, "action", wants.action, context.action_low.size, context)
    return Binding(embodiment, images, state=wants.state is not None)


def example(wants: Wants, seed: int) -> tuple[Observation, Context]:
    """Return an observation that fits a checkpoint: random pictures, a state of zeros."""
    rng = np.random.default_rng(seed)
    by_name = {name: camera for camera, name in wants.cameras.items()}
    pixels = {}
    for feature, (_, height, width) in wants.images.items():
        name = feature.removeprefix(_IMAGES)
        pixels[by_name.get(name, name)] = rng.integers(0, 256, (height, width, 3), np.uint8)
    bound = np.ones(wants.action, np.float32)
    context = Context(
        EpisodeKey("example", "example", seed, 0, 0),
        step=0,
        chunk_index=0,
        instruction="pick up the black bowl and place it on the plate",
        action_low=-bound,
        action_high=bound,
    )
    state = np.zeros(wants.state or 0, np.float32)
    return {"pixels": pixels, "agent_pos": state}, context


def _missing_camera(wants: Wants, feature: str, names: Mapping[str, str], suite: str) -> str:
    offers = _listed(f"{camera} (as {name})" for camera, name in names.items())
    wanted = [name.removeprefix(_IMAGES) for name in wants.images]
    example = ",".join(f"{camera}:{name}" for camera, name in zip(names, wanted, strict=False))
    return (
        f"{wants.where} wants the picture {feature}, but {suite} offers {offers}; "
        f"say which camera is which, for example cameras={example or 'CAMERA:NAME'}"
    )


def _check_picture(
    wants: Wants, feature: str, shape: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    height_width = tuple(shape[-2:])
    if not wants.resizes and tuple(shown[:2]) != height_width:
        raise PolicySpecError(
            f"{wants.where} was trained on pictures of {height_width[0]}x{height_width[1]} as "
            f"{feature} and does not resize, but gets {shown[0]}x{shown[1]}; set the protocol's "
            f"env_kwargs.image_size to {height_width[0]}"
        )


def _check_size(wants: Wants, what: str, wanted: int | None, given: int, context: Context) -> None:
    if wanted is not None and wanted != given:
        raise PolicySpecError(
            f"{wants.where} has {what}s of {wanted} numbers, {context.suite} of {given}: "
            "it was trained for another robot or another choice of features"
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no camera"
