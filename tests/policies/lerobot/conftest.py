"""A policy of LeRobot's, random and tiny, made without the network."""

from __future__ import annotations

import functools
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
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of an ACT checkpoint for a suite, with pictures of 64 x 64."""
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")

    @functools.cache
    def make(suite: str) -> Path:
        from lerobot.envs.utils import env_to_policy_features
        from lerobot.policies.factory import make_pre_post_processors

        from vla_eval_policies.lerobot.environments import VlaEvalEnv

        config = VlaEvalEnv(task=suite, env_kwargs={"image_size": IMAGE_SIZE})
        features = env_to_policy_features(config)
        action = {"action": features.pop("action")}
        policy = _tiny_act(features, action)
        stats = {}
        for name, feature in (features | action).items():
            shape = (3, 1, 1) if "images" in name else feature.shape
            stats[name] = {"mean": np.zeros(shape, np.float32), "std": np.ones(shape, np.float32)}
        folder = tmp_path_factory.mktemp("act")
        policy.save_pretrained(folder)
        for processor in make_pre_post_processors(policy.config, dataset_stats=stats):
            processor.save_pretrained(folder)
        return folder

    return make
