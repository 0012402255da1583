"""A small reference policy, its checkpoints, and observations for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval_policies.flow.checkpoint import Card, save_checkpoint
from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.methods import ExtraTime, make_method


def small_config(extra_time: ExtraTime, n_obs_steps: int = 1) -> FlowConfig:
    return FlowConfig(
        cameras=("top",),
        state_size=3,
        action_size=3,
        image_size=16,
        chunk_size=4,
        width=16,
        layers=2,
        heads=2,
        extra_time=extra_time,
        n_obs_steps=n_obs_steps,
    )


def small_network(extra_time: ExtraTime, n_obs_steps: int = 1) -> FlowNetwork:
    torch.manual_seed(0)
    network = FlowNetwork(small_config(extra_time, n_obs_steps))
    torch.nn.init.normal_(network.action_out.weight, std=0.3)
    return network


def card(name: str, n_obs_steps: int = 1) -> Card:
    method = make_method(name)
    return Card(
        network=small_config(method.extra_time, n_obs_steps),
        method=name,
        hyperparameters=method.model_dump(mode="json"),
        recipe={},
        data_sha256="0" * 64,
        data="nothing",
        seed=0,
        steps=0,
        versions={},
    )


def save(path: Path, name: str, n_obs_steps: int = 1) -> Path:
    network = small_network(make_method(name).extra_time, n_obs_steps)
    save_checkpoint(path, network, card(name, n_obs_steps))
    return path


def observations(count: int) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "pixels": {"top": rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)},
            "agent_pos": rng.normal(size=3).astype(np.float32),
        }
        for _ in range(count)
    ]


def contexts(count: int) -> list[Context]:
    low, high = -np.ones(3, np.float32), np.ones(3, np.float32)
    return [
        Context(EpisodeKey("fake", "Reach", i, 0, 0), 0, 0, "reach the point", low, high)
        for i in range(count)
    ]
