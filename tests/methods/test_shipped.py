"""The checkpoints that come with the package: small, readable by everybody, and what they say they are."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import pytest

from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy
from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.flow.shipped import checkpoint_path, shipped_names
from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20


def test_files_are_small_and_readable():
    """At most 4 MiB each and 48 together, and not only for their owner."""
    files = [checkpoint_path(name) for name in shipped_names()]
    sizes = [file.stat().st_size for file in files]
    assert len(files) >= 1
    assert max(sizes) < 4 * MEBIBYTE
    assert sum(sizes) < 48 * MEBIBYTE
    assert all(file.stat().st_mode & stat.S_IROTH for file in files)


@pytest.mark.parametrize("name", shipped_names())
def test_card_names_its_recipe(name: str):
    """A card's recipe is the example that trains it; ``-seedN`` is that with seed N throughout.

    Recipes are of SO-101 unless their name begins with another suite's.
    """
    card = read_card(checkpoint_path(name))
    base, seeded, seed = name.partition("-seed")
    assert card.seed == int(seed or 0)
    file = ROOT / "examples" / "recipes" / f"{base.removeprefix('so101/').replace('/', '-')}.toml"
    recipe = json.loads(load_recipe(file).model_dump_json())
    if seeded and recipe["training"]["start"]:
        recipe["training"]["start"] += f"-seed{seed}"
        teacher = checkpoint_path(recipe["training"]["start"])
        assert card.start_sha256 == hashlib.sha256(teacher.read_bytes()).hexdigest()
    told = json.loads(json.dumps(dict(card.recipe)))
    assert told == {**recipe, "seed": card.seed}
    assert card.steps == recipe["training"]["steps"]
    assert len(card.data_sha256) == 64


@pytest.mark.parametrize("name", shipped_names())
def test_it_acts(name: str):
    """By its name, it returns a finite chunk for what SO-101 shows."""
    policy = build_policy(f"flow:{name}")
    card = read_card(checkpoint_path(name))
    rng = np.random.default_rng(0)
    pixels = {
        camera: rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        for camera in card.network.cameras
    }
    seen = {"pixels": pixels, "agent_pos": np.zeros(card.network.state_size, np.float32)}
    bound = np.full(card.network.action_size, 100, np.float32)
    context = Context(EpisodeKey("so101", "PickPlace", 0, 0, 0), 0, 0, "put it", -bound, bound)
    (chunk,) = policy.infer([seen], [context])
    assert np.isfinite(chunk.actions).all()
    assert chunk.actions.shape == (card.network.chunk_size, card.network.action_size)


def test_unknown_name_is_refused():
    """The nearest shipped name is offered."""
    with pytest.raises(PolicySpecError, match="neither such a file nor such a shipped one"):
        build_policy("flow:so101/none")
