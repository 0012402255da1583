"""What is refused before LeRobot or torch is even imported: spec, files, robot."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vla_eval.errors import PolicySpecError
from vla_eval.keys import BlindKey, EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy, placement_of
from vla_eval_policies.lerobot_policy.checkpoint import find_checkpoint
from vla_eval_policies.lerobot_policy.embodiment import Wants, bind

FILES = (
    "config.json",
    "model.safetensors",
    "policy_preprocessor.json",
    "policy_postprocessor.json",
)


def folder_with(tmp_path: Path, *names: str, config: object = None) -> Path:
    for name in names:
        (tmp_path / name).write_text("{}")
    if "config.json" in names:
        (tmp_path / "config.json").write_text(json.dumps(config or {"type": "act"}))
    return tmp_path


@pytest.mark.parametrize(
    ("names", "config", "says"),
    [
        ((), None, "there is no model.safetensors in it"),
        (FILES[1:], None, "there is no config.json in it"),
        (FILES[:2] + FILES[3:], None, "no policy_preprocessor.json in it, so nobody knows how"),
        (FILES[:3], None, "no policy_postprocessor.json in it, so nobody knows how"),
        (("config.json", "pytorch_model.bin"), None, "'pytorch_model.bin' is a pickle"),
        (FILES, {"n_obs_steps": 1}, "names no type of policy"),
        (FILES, {"type": "act", "use_peft": True}, "is a PEFT adapter; merge it"),
    ],
)
def test_incomplete_folder(tmp_path, names, config, says):
    """A folder that LeRobot would half load, or load as a random model, is refused in a sentence."""
    with pytest.raises(PolicySpecError, match=says):
        find_checkpoint(str(folder_with(tmp_path, *names, config=config)))


def test_training_folder_names_the_right_one(tmp_path):
    """A folder of a training run is not the checkpoint; the message says which folder inside is."""
    (tmp_path / "pretrained_model").mkdir()
    with pytest.raises(PolicySpecError, match=r"try .*/pretrained_model"):
        find_checkpoint(str(tmp_path))


def test_config_that_is_no_json(tmp_path):
    """A broken config.json is named."""
    folder = folder_with(tmp_path, *FILES)
    (folder / "config.json").write_text("{")
    with pytest.raises(PolicySpecError, match=r"config\.json: is no file of a LeRobot checkpoint"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lerobot", "needs a checkpoint"),
        ("lerobot:./nowhere", "there is no such folder"),
        ("lerobot:x?nef=1", "did you mean 'nfe'"),
        ("lerobot:x?nfe=0", "options: nfe: "),
        ("lerobot:x?cameras=top", "expected CAMERA:NAME"),
    ],
)
def test_spec(spec, says):
    """Mistakes in a spec are named before anything is loaded."""
    with pytest.raises(PolicySpecError, match=says):
        build_policy(spec)
    assert placement_of(spec) == "host"


def test_identity_covers_statistics(tmp_path):
    """Two checkpoints with the same weights and other statistics are two policies."""
    folder = folder_with(tmp_path, *FILES, "policy_preprocessor_step_3.safetensors")
    before = find_checkpoint(str(folder)).sha256()
    (folder / "train_config.json").write_text("unrelated")
    assert find_checkpoint(str(folder)).sha256() == before
    (folder / "policy_preprocessor_step_3.safetensors").write_text("other")
    assert find_checkpoint(str(folder)).sha256() != before


def context(suite: str = "libero_spatial", action: int = 7) -> Context:
    bound = np.ones(action, np.float32)
    return Context(EpisodeKey(suite, "0", 0, 7, 0), 0, 0, "pick it up", -bound, bound)


def observation(size: int = 32, state: int = 8, cameras: tuple = ("agentview", "wrist")) -> dict:
    pixels = {name: np.zeros((size, size, 3), np.uint8) for name in cameras}
    return {"pixels": pixels, "agent_pos": np.zeros(state, np.float32)}


def wants(**changes: object) -> Wants:
    images = {"observation.images.image": (3, 32, 32), "observation.images.image2": (3, 32, 32)}
    fields = {"images": images, "state": 8, "action": 7, "resizes": False} | changes
    return Wants("lerobot:x", **fields)


def test_libero_cameras_have_lerobots_names():
    """LIBERO's cameras feed image and image2, as in LeRobot's own datasets."""
    binding = bind(wants(), observation(), context())
    assert binding.images == {
        "observation.images.image": "agentview",
        "observation.images.image2": "wrist",
    }
    assert binding.state


def test_a_hidden_key_still_says_which_robot():
    """The suite's name is all that is needed of a key."""
    hidden = dataclasses.replace(context(), key=BlindKey.of(context().key, "a" * 64))
    assert bind(wants(), observation(), hidden) == bind(wants(), observation(), context())


def test_own_names_and_unused_cameras():
    """The user may say which camera is which; a camera that the checkpoint does not know is unused."""
    one = wants(
        images={"observation.images.camera1": (3, 32, 32)}, cameras={"wrist": "camera1"}, state=None
    )
    binding = bind(one, observation(), context())
    assert binding.images == {"observation.images.camera1": "wrist"}
    assert not binding.state


def test_unknown_suite_keeps_its_names():
    """Somebody's own suite is taken as it is."""
    own = wants(images={"observation.images.left": (3, 32, 32)}, state=2, action=3)
    seen = observation(state=2, cameras=("left",))
    assert bind(own, seen, context("theirs", 3)).images == {"observation.images.left": "left"}


@pytest.mark.parametrize(
    ("changes", "seen", "says"),
    [
        (
            {"images": {"observation.images.camera1": (3, 32, 32)}},
            {},
            r"offers agentview \(as image\), wrist \(as image2\); .* cameras=agentview:camera1",
        ),
        ({"cameras": {"front": "image"}}, {}, "'front', but libero_spatial has agentview, wrist"),
        ({"state": 6}, {}, "states of 6 numbers, libero_spatial of 8"),
        ({"action": 6}, {}, "actions of 6 numbers, libero_spatial of 7"),
        ({}, {"size": 36}, "pictures of 32x32 .* gets 36x36; set .*image_size to 32"),
    ],
)
def test_checkpoint_of_another_robot(changes, seen, says):
    """What LeRobot would drop, mask out or fail on deep inside is refused beforehand."""
    with pytest.raises(PolicySpecError, match=says):
        bind(wants(**changes), observation(**seen), context())


def test_a_policy_that_resizes_takes_any_size():
    """VLAs bring pictures to their own size."""
    assert bind(wants(resizes=True), observation(size=36), context()).images
