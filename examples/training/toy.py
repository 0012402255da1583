"""A network that maps joint angles to a chunk of actions, with random data: small enough to train anywhere."""

from __future__ import annotations

import numpy as np
import torch

from vla_eval import PolicyMetadata

CHUNK = 8
METADATA = PolicyMetadata(name="toy", method="mse", chunk_size=CHUNK, n_action_steps=CHUNK, nfe=1)


def make_network(state_size=6, action_size=6):
    """Return the network; its dropout shows that modes are restored."""
    return torch.nn.Sequential(
        torch.nn.Linear(state_size, 32),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(32, CHUNK * action_size),
    )


def make_data(state_size=6, action_size=6, count=64):
    """Return a data set of (states, chunks)."""
    generator = torch.Generator().manual_seed(0)
    states = torch.rand(count, state_size, generator=generator)
    return torch.utils.data.TensorDataset(
        states, states.mean(1, keepdim=True).repeat(1, CHUNK * action_size)
    )


def as_policy(network):
    """Return the network as a function from observations to chunks, (T, A) each."""

    def policy(observations, contexts):
        device = next(network.parameters()).device
        states = torch.tensor(np.stack([each["agent_pos"] for each in observations]), device=device)
        return network(states).reshape(len(contexts), CHUNK, -1)

    return policy
