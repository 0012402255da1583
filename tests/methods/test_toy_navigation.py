"""Toy B: the expert is right, and the rollouts tell those who go around from those who go through."""

from __future__ import annotations

import navigation
import pytest
import torch
from navigation import CENTRE, CHUNK, GOAL, RADIUS, SPEED, Demonstrations, rollout
from network import ToyNetwork

from vla_eval_policies.methods import ExtraTime, KeyStone


@pytest.fixture(scope="module")
def walks():
    return navigation.expert_walk(200, torch.Generator().manual_seed(0))


def test_expert_goes_around_on_both_sides(walks):
    """Every walk arrives and touches nothing; about half pass on either side."""
    positions, steps = walks
    assert torch.allclose(positions[:, :-1] + steps[:, :-1], positions[:, 1:], atol=1e-6)
    assert float((positions - CENTRE).norm(dim=2).min()) > RADIUS + 0.02
    assert float((positions[:, -1] - GOAL).norm(dim=1).max()) < 0.03
    beside = positions[torch.arange(200), (positions[..., 1] - 0.5).abs().argmin(1), 0]
    assert 0.35 < float((beside > 0).double().mean()) < 0.65


def test_chunks_are_the_next_displacements():
    """A chunk is what the expert did next, scaled, and zeros after its arrival."""
    demos = Demonstrations(20, seed=1)
    positions, steps = navigation.expert_walk(20, torch.Generator().manual_seed(1))
    first = (demos.positions == positions[0, 0]).all(1).nonzero()[0, 0]
    assert torch.allclose(demos.displacements(demos.chunks[first]), steps[0, : CHUNK[0]], atol=1e-6)
    assert torch.allclose(demos.chunks[:, 0].mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(demos.chunks[:, 0].std(0), torch.ones(2), atol=1e-4)


class Scripted:
    """A stand-in for a method: looks at the field's positions, not at the noise."""

    def __init__(self, gate: float):
        self.gate = gate

    def sample(self, field, draw, nfe):
        del draw, nfe
        position, chunk = field.observation, []
        for _ in range(CHUNK[0]):
            below = position[:, 1:] < 0.48
            target = torch.where(below, torch.tensor([self.gate, 0.5]), GOAL)
            away = target - position
            step = away / away.norm(dim=1, keepdim=True).clamp(min=1e-6) * SPEED
            step = torch.where((position - GOAL).norm(dim=1, keepdim=True) < SPEED, 0.0, step)
            chunk.append(step)
            position = position + step
        return torch.stack(chunk, 1)


@pytest.mark.parametrize("horizon", [1, 16])
@pytest.mark.parametrize("keystone", [None, KeyStone(samples=3)])
def test_rollouts_tell_around_from_through(horizon: int, keystone):
    """Who goes around succeeds always, who goes through the disc never."""
    network = ToyNetwork(2, CHUNK, ExtraTime.NONE, width=8)
    demos = Demonstrations(5, seed=0)
    demos.mean, demos.std = torch.zeros(2), torch.ones(2)
    counts = [
        rollout(
            network,
            Scripted(gate),
            demos,
            nfe=1,
            horizon=horizon,
            episodes=8,
            keystone=keystone,
        )
        for gate in (0.33, -0.33, 0.0)
    ]
    assert counts == [8, 8, 0]
