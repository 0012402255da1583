"""Shared by the tests of training: one thread, and a tiny recipe with frames for it."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra 'flow'")


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture
def frames(monkeypatch):
    """What training reads instead of the recipe's dataset."""
    from fakes.training import fake_frames
    from vla_eval_policies.training import run

    found = fake_frames()
    monkeypatch.setattr(run, "read_frames", lambda *_: found)
    monkeypatch.setattr(run, "cameras_of", lambda _: ("top",))
    return found


@pytest.fixture
def recipe(tmp_path, frames):
    """A tiny recipe by its method and changes."""
    from fakes.training import RECIPE
    from vla_eval_policies.training.recipe import load_recipe

    def make(method: str = "fm", *changes: str):
        path = tmp_path / "recipe.toml"
        path.write_text(RECIPE.format(method=method))
        return load_recipe(path, changes)

    return make
