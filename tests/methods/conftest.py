"""Shared by the tests of methods: the toys' code, one thread, and a tiny network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "examples" / "toys")]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def frames(monkeypatch):
    """What training reads instead of the recipe's dataset."""
    from helpers_training import fake_frames

    from vla_eval_policies.training import run

    found = fake_frames()
    monkeypatch.setattr(run, "read_frames", lambda *_: found)
    monkeypatch.setattr(run, "cameras_of", lambda _: ("top",))
    return found


@pytest.fixture
def recipe(tmp_path, frames):
    """A tiny recipe by its method and changes."""
    from helpers_training import RECIPE

    from vla_eval_policies.training.recipe import load_recipe

    def make(method: str = "fm", *changes: str):
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE.format(method=method))
        return load_recipe(path, changes)

    return make
