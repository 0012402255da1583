"""Random checkpoints of LeRobot's policies, made offline: tiny, or of the published sizes.

Every builder writes a folder as ``save_pretrained`` does, with its processors and invented but
plausible statistics of the robot it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LEKIWI", "LIBERO", "SO101", "Robot", "act", "save"]


@dataclass(frozen=True)
class Robot:
    """What a checkpoint was trained on."""

    cameras: tuple[str, ...]
    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    action_mean: tuple[float, ...]
    action_std: tuple[float, ...]
    image_size: int = 256

    def features(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return input and output features."""
        from lerobot.configs import FeatureType, PolicyFeature

        shape = (3, self.image_size, self.image_size)
        inputs = {
            f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, shape)
            for name in self.cameras
        }
        size = len(self.state_mean)
        inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (size,))
        outputs = {"action": PolicyFeature(FeatureType.ACTION, (len(self.action_mean),))}
        return inputs, outputs

    def statistics(self) -> dict[str, dict[str, np.ndarray]]:
        """Return every kind of statistics that a normaliser may ask for."""
        found = {
            "observation.state": _moments(self.state_mean, self.state_std),
            "action": _moments(self.action_mean, self.action_std),
        }
        for name in self.cameras:
            moments = _moments((0.5, 0.4, 0.3), (0.3, 0.25, 0.2))
            found[f"observation.images.{name}"] = {
                key: value.reshape(3, 1, 1) for key, value in moments.items()
            }
        return found


def _moments(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, np.ndarray]:
    center, spread = np.array(mean, np.float32), np.array(std, np.float32)
    low, high = center - 3 * spread, center + 3 * spread
    return {"mean": center, "std": spread, "min": low, "max": high, "q01": low, "q99": high}


LIBERO = Robot(
    cameras=("image", "image2"),
    state_mean=(-0.05, 0.03, 0.76, 2.97, -0.22, -0.13, 0.03, -0.03),
    state_std=(0.11, 0.15, 0.38, 0.34, 0.91, 0.33, 0.014, 0.014),
    action_mean=(0.06, 0.09, -0.09, 0.0, 0.006, -0.005, -0.05),
    action_std=(0.34, 0.38, 0.44, 0.04, 0.06, 0.08, 1.0),
)
SO101 = Robot(
    cameras=("top", "wrist"),
    state_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0),
    state_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0),
    action_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0),
    action_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0),
    image_size=128,
)
LEKIWI = Robot(
    cameras=("front", "wrist"),
    state_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0, 0.0, 0.0, 0.0),
    state_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0, 0.1, 0.1, 30.0),
    action_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0, 0.0, 0.0, 0.0),
    action_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0, 0.1, 0.1, 30.0),
)


def save(policy: Any, folder: Path, statistics: Mapping[str, Any] | None) -> Path:
    """Write a policy with its processors, and return the folder."""
    from lerobot.policies.factory import make_pre_post_processors

    folder.mkdir(parents=True, exist_ok=True)
    policy.save_pretrained(folder)
    for processor in make_pre_post_processors(policy.config, dataset_stats=statistics):
        processor.save_pretrained(folder)
    return folder


def act(folder: Path, robot: Robot, *, seed: int = 0, **changes: Any) -> Path:
    """Write an ACT of 11 M random parameters: ResNet-18, everything behind it tiny."""
    import torch
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    torch.manual_seed(seed)
    inputs, outputs = robot.features()
    settings = {
        "chunk_size": 10,
        "n_action_steps": 10,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 64,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "latent_dim": 8,
    } | changes
    config = ACTConfig(
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        pretrained_backbone_weights=None,
        **settings,
    )
    return save(ACTPolicy(config), folder, robot.statistics())
