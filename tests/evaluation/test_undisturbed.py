"""An evaluation leaves no trace in the training process."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval.errors import UsageError
from vla_eval.evaluation.undisturbed import on_one_rank, refuse_sharded, undisturbed

torch = pytest.importorskip("torch")


def test_generators_modes_and_gradients_are_restored():
    """A submodule that the trainer has frozen in evaluation mode stays so, after an error too."""
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    module[1].eval()

    def states():
        numpy = np.random.get_state()[1].tolist()  # noqa: NPY002 - the trainer's own
        return random.getstate(), numpy, torch.get_rng_state().tolist()

    def careless():
        with undisturbed(module):
            assert not any(part.training for part in module.modules())
            assert not torch.is_grad_enabled()
            random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002 - as a policy might
            raise ValueError("x")

    before = states()
    with pytest.raises(ValueError, match="x"):
        careless()
    assert states() == before
    assert [part.training for part in module.modules()] == [True, True, False]
    assert torch.is_grad_enabled()


def test_sharded_weights_are_refused_with_a_way_out():
    """FSDP cannot be evaluated in memory; the watcher can."""

    class FullyShardedDataParallel(torch.nn.Module):
        pass

    with pytest.raises(UsageError, match="vlaeval watch"):
        refuse_sharded(torch.nn.Sequential(FullyShardedDataParallel()))
    refuse_sharded(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("rank", [0, 1])
def test_one_rank_evaluates_and_all_get_the_result(monkeypatch, rank):
    """Rank 1 does not run; it takes what rank 0 sends."""
    calls = []

    def broadcast(box, src):
        assert src == 0
        box[:] = ["result", ""]

    fake = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_world_size=lambda: 2,
        get_rank=lambda: rank,
        broadcast_object_list=broadcast,
    )
    monkeypatch.setitem(__import__("sys").modules, "torch.distributed", fake)
    assert on_one_rank(lambda: calls.append(1) or "result") == "result"
    assert len(calls) == (rank == 0)
