"""Toy B: the expert is right, and the rollouts tell those who go around from those who go through."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "toys"))

import navigation
from navigation import CENTRE, CHUNK, GOAL, RADIUS, SPEED, Demonstrations, Scaling, rollout
from network import ToyNetwork

from vla_eval_policies.methods import ExtraTime, KeyStone, make_method

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
pytestmark = pytest.mark.usefixtures("one_thread")


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
    chunks = demos.chunk_scaling.undo(demos.chunks)
    assert torch.allclose(chunks[0], steps[0, : CHUNK[0]], atol=1e-6)
    seen = demos.position_scaling.undo(demos.observations)
    assert torch.allclose(seen[0], positions[0, 0], atol=1e-6)
    arrived = chunks.abs().sum(2) == 0
    assert arrived[:, 1:].any()
    assert (arrived[:, :-1] <= arrived[:, 1:]).all()


def test_what_is_learned_has_unit_spread():
    """Positions, and the chunks with the zeros behind the arrival; other walks are scaled alike."""
    demos = Demonstrations(20, seed=1)
    for learned in (demos.observations, demos.chunks.flatten(0, 1)):
        assert torch.allclose(learned.mean(0), torch.zeros(2), atol=1e-4)
        assert torch.allclose(learned.std(0), torch.ones(2), atol=1e-4)
    assert demos.chunks.abs().max() < 4
    other = Demonstrations(20, seed=2, like=demos)
    assert other.position_scaling is demos.position_scaling
    assert other.chunk_scaling is demos.chunk_scaling


def test_an_exact_imitation_always_arrives():
    """Who repeats a demonstration from one of the nearest five positions reaches the goal.

    Then what a policy misses is its own doing, not that of the walks or of looking without memory.
    """
    demos = Demonstrations(100, seed=0)
    network = ToyNetwork(2, CHUNK, ExtraTime.NONE, width=8)
    for horizon in (1, 16):
        assert rollout(network, Nearest(demos), demos, nfe=1, horizon=horizon, episodes=64) == 64


class Nearest:
    """A stand-in for a method: one of the chunks that were demonstrated nearest to a position."""

    def __init__(self, demos: Demonstrations):
        self.demos = demos

    def sample(self, field, draw, nfe):
        del nfe
        nearest = torch.cdist(field.observation, self.demos.observations).topk(5, largest=False)
        which = draw()[:, 0, :1].abs().mul(1000).long() % 5
        return self.demos.chunks[nearest.indices.gather(1, which)[:, 0]]


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
    demos.position_scaling = demos.chunk_scaling = Scaling(torch.zeros(2), torch.ones(2))
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


def test_committed_results_pass_the_gates():
    """Every gate holds in the committed rows, and the table is what they give."""
    sys.path.insert(0, str(BENCHMARKS))
    from toy_navigation import failures, table

    rows = json.loads((BENCHMARKS / "results" / "toy_navigation.json").read_text())
    assert failures(rows) == []
    assert table(rows, []) == (BENCHMARKS / "results" / "toy_navigation.md").read_text()


def test_scaling_table_is_what_the_rows_give():
    """The comparison's first variant is the toy as it is, with the same counts."""
    sys.path.insert(0, str(BENCHMARKS))
    from toy_navigation_scaling import VARIANTS, table

    file = BENCHMARKS / "results" / "toy_navigation_scaling.json"
    rows = json.loads(file.read_text())
    assert table(rows) == file.with_suffix(".md").read_text()
    policies = json.loads((BENCHMARKS / "results" / "toy_navigation.json").read_text())
    toy = [row["successes"] for row in policies if row["policy"] == "FM-10"]
    assert [row["successes"] for row in rows if row["variant"] == next(iter(VARIANTS))] == toy


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_steps_arrive_and_one_step_averages():
    """The gates of flow matching, trained anew: at every horizon, and where one step must fail."""
    method, demos = make_method("fm"), Demonstrations(300, seed=0)
    network = navigation.train_method(method, demos, seed=0)
    for horizon in navigation.HORIZONS:
        assert rollout(network, method, demos, nfe=10, horizon=horizon) >= 0.9 * 256
    assert rollout(network, method, demos, nfe=1, horizon=16) < 0.5 * 256
