"""The checkpoints that come with the package: small, readable by everybody, and what they say they are."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from vla_eval.environment import make_env
from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import build_policy
from vla_eval.trainedon import seen, together
from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.flow.shipped import checkpoint_path, shipped_names
from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]
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

    Recipes are of SO-101 unless their name begins with another suite's. The moving tasks' have a folder.
    """
    card = read_card(checkpoint_path(name))
    base, seeded, seed = name.partition("-seed")
    assert card.seed == int(seed or 0)
    called = f"{base.removeprefix('so101/').replace('/', '-')}.toml"
    (file,) = (ROOT / "examples" / "recipes").rglob(called)
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


SCENES = json.loads(
    (ROOT / "policies/vla_eval_policies/flow/checkpoints/trained_on.json").read_text()
)


LISTED = [
    name for name in shipped_names() if read_card(checkpoint_path(name)).trained_on is not None
]
"""The checkpoints whose cards list their scenes themselves."""


@pytest.mark.parametrize("name", LISTED)
def test_its_card_says_what_it_was_trained_on(name: str):
    """A scene for each development state of its task, none of them a certification state."""
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    policy, card = build_policy(f"flow:{name}"), read_card(checkpoint_path(name))
    assert policy.metadata.trained_on == card.trained_on
    data = card.recipe["data"]["expert"]
    (task,) = data["tasks"]
    kwargs = {**(data["env_kwargs"] or {}), "image_size": 8}
    env = make_env(f"vla_eval_envs:{task}-v0", kwargs)
    hashes = [env.reset(seed=0, options={"init_state": i})[1]["scene_hash"] for i in range(200)]
    env.close()
    learned = seen(asdict(policy.metadata), hashes)
    assert learned == hashes[: data["init_states"]]
    assert len(learned) == 100


@pytest.mark.parametrize("name", [name for name in shipped_names() if name not in LISTED])
def test_it_says_what_it_was_trained_on(name: str):
    """Of its own demonstrations and its teacher's, in whatever folder the file lies; no byte changed."""
    said, path = SCENES["checkpoints"][name], checkpoint_path(name)
    assert said["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    card = read_card(path)
    sources = [SCENES["demonstrations"][each] for each in said["demonstrations"]]
    assert sources[0]["data_sha256"] == card.data_sha256
    for each in sources:
        assert each["scenes"] == sorted(set(each["scenes"]))
    expected = together(tuple(each["scenes"]) for each in sources)
    assert build_policy(f"flow:{path}").metadata.trained_on == expected
    assert len(expected) == (300 if name == "so101/fm-stacking" else 200)
    made_again = None if name.startswith("libero/") else True  # of LIBERO, only begun again
    assert all(each["same_bytes"] is made_again for each in sources)
    teacher = card.recipe["training"]["start"]
    if teacher in shipped_names():
        taught = build_policy(f"flow:{teacher}").metadata.trained_on
        assert set(taught) <= set(expected)


@pytest.mark.parametrize(
    "run",
    ["so101-one-step", "so101-two-grasps", "so101-whole-chunk", "libero-one-step"],
)
def test_no_certified_scene_was_learned(run: str):
    """The committed runs of the shipped checkpoints: of every arm it is known, and none was seen."""
    folder = RunFolder.open(ROOT / "benchmarks/results/one_step" / run)
    scenes = {record.scene_hash for record in folder.records().final.values()}
    assert len(scenes) >= 29
    for arm in folder.header.arms:
        identity = asdict(build_policy(arm.spec).metadata)
        assert identity["weights_sha256"] == arm.identity["weights_sha256"]
        assert seen(identity, scenes) == []


def test_a_development_scene_was_learned():
    """The first frozen state is among what the teacher learned; the first certification state is not."""
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    env = make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 8})
    hashes = [env.reset(seed=0, options={"init_state": i})[1]["scene_hash"] for i in (0, 99, 100)]
    env.close()
    identity = asdict(build_policy("flow:so101/snapflow").metadata)
    assert seen(identity, hashes) == hashes[:2]


def test_unknown_name_is_refused():
    """The nearest shipped name is offered."""
    with pytest.raises(PolicySpecError, match="neither such a file nor such a shipped one"):
        build_policy("flow:so101/none")
