"""The model; LeRobot finds it by its name beside the configuration."""

from __future__ import annotations

import torch
from lerobot.policies.pretrained import PreTrainedPolicy

from lerobot_policy_straight.configuration_straight import StraightConfig


class StraightPolicy(PreTrainedPolicy):
    """The state through one layer, with noise, as every action of a chunk."""

    config_class = StraightConfig
    name = "straight"

    def __init__(self, config, **_):
        super().__init__(config)
        (states,) = config.input_features["observation.state"].shape
        (actions,) = config.output_features["action"].shape
        self.layer = torch.nn.Linear(states, actions)

    def get_optim_params(self):
        return self.parameters()

    def reset(self):
        pass

    def forward(self, batch):
        return self.layer(batch["observation.state"]).square().mean(), None

    def predict_action_chunk(self, batch, **_):
        action = self.layer(batch["observation.state"])
        chunk = action[:, None].repeat(1, self.config.chunk_size, 1)
        return chunk + 0.1 * torch.randn_like(chunk)

    def select_action(self, batch, **_):
        return self.predict_action_chunk(batch)[:, 0]
