"""A policy of LeRobot's, random and tiny, made without the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

IMAGE_SIZE = 64


def _tiny_act(input_features: dict[str, Any], output_features: dict[str, Any]) -> Any:
    """An ACT of 11 M random parameters: ResNet-18, everything behind it as small as it goes."""
    torch = pytest.importorskip("torch")
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    torch.manual_seed(0)
    config = ACTConfig(
        input_features=input_features,
        output_features=output_features,
        device="cpu",
        pretrained_backbone_weights=None,
        chunk_size=10,
        n_action_steps=10,
        dim_model=32,
        n_heads=2,
        dim_feedforward=64,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
    )
    return ACTPolicy(config)


@pytest.fixture
def tiny_act() -> Callable[..., Any]:
    """Makes such a policy from its input and output features."""
    return _tiny_act


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an ACT checkpoint for SO-101 with pictures of 64 x 64."""
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.factory import make_pre_post_processors

    inputs = {
        f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, IMAGE_SIZE, IMAGE_SIZE))
        for name in ("top", "wrist")
    }
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (6,))
    policy = _tiny_act(inputs, {"action": PolicyFeature(FeatureType.ACTION, (6,))})
    stats = {
        name: {"mean": np.zeros(6, np.float32), "std": np.full(6, 30, np.float32)}
        for name in ("observation.state", "action")
    }
    picture = {"mean": np.zeros((3, 1, 1), np.float32), "std": np.ones((3, 1, 1), np.float32)}
    stats |= {name: picture for name in inputs if "images" in name}
    folder = tmp_path_factory.mktemp("act")
    policy.save_pretrained(folder)
    for processor in make_pre_post_processors(policy.config, dataset_stats=stats):
        processor.save_pretrained(folder)
    return folder
