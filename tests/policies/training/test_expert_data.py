"""Demonstrations on the spot: what is kept is what the expert meant to do, from where it was."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from vla_eval.errors import UsageError
from vla_eval.trainedon import shorten
from vla_eval_policies.training import expert_data as rehearsal
from vla_eval_policies.training.data import Frames
from vla_eval_policies.training.expert_data import (
    Demonstration,
    ExpertData,
    generate,
    generated_cameras,
)

pytest.importorskip("mujoco", reason="needs the extra 'so101'")

TASK = "so101/PickPlace"


def act(**options) -> Frames:
    plan = ExpertData(tasks=(TASK,), init_states=1, look_every=10, **options)
    return generate(plan, ("top",), 32, 12)


def test_undisturbed_chunks_follow_each_other():
    """Without noise the last actions of a chunk are the first of the next: they were executed."""
    frames = act()
    assert np.array_equal(frames.chunks[:-1, 10:], frames.chunks[1:, :2])
    assert frames.pictures.shape[1:] == (1, 3, 32, 32)
    assert frames.describe() == f"1 episodes, {len(frames.states)} frames: {frames.instructions[0]}"
    # Absolute targets, close to where the arm is.
    assert np.abs(frames.chunks[:, 0, :5] - frames.states[:, :5]).max() < 10


@pytest.mark.parametrize("look_every", [1, 3])
def test_earlier_pictures_are_those_of_the_steps_before(look_every):
    """With two pictures an observation: the second is the present, the first the control step before it."""
    plans = [
        ExpertData(tasks=(TASK,), init_states=1, look_every=every) for every in (look_every, 1)
    ]
    both = generate(plans[0], ("top", "wrist"), 32, 12, n_obs_steps=2)
    every = generate(plans[1], ("top", "wrist"), 32, 12)
    assert both.pictures.shape[1:] == (2, 6, 32, 32)
    count = min(len(both.states), 20)
    for look in range(count):
        step = look_every * look
        np.testing.assert_array_equal(both.pictures[look, :, 3:], every.pictures[step])
        np.testing.assert_array_equal(both.pictures[look, :, :3], every.pictures[max(0, step - 1)])


def test_noise_moves_the_arm_but_not_what_is_learned():
    """The arm leaves the expert's path, while the chunks stay on it; the same seed, the same bits."""
    clean, noisy, again = act(), act(action_noise=0.005), act(action_noise=0.005)
    assert np.array_equal(clean.chunks[1:4], noisy.chunks[1:4])
    assert np.abs(clean.states[1:4, :5] - noisy.states[1:4, :5]).max() > 0.3
    assert noisy.sha256() == again.sha256() != clean.sha256()


def test_scatter_moves_the_object():
    """Scattered, the first picture and the whole plan are others, and it is still a success."""
    clean, scattered = act(), act(scatter_m=0.02)
    assert not np.array_equal(clean.pictures[0], scattered.pictures[0])
    assert not np.array_equal(clean.chunks[3], scattered.chunks[3])
    assert np.array_equal(clean.states[0], scattered.states[0])


def test_scatter_leaves_the_goal():
    """The toy that is carried lies elsewhere; the loose blocks that it is put on stay in their square."""
    env = rehearsal._make("so101/Stacking", {})
    env.reset(seed=0, options={"init_state": 0})
    world = env.unwrapped
    before = {name: world.data.joint(name).qpos.copy() for name in ("toy", "blue_block")}
    env.scatter(0.02, np.random.default_rng(0))
    moved = {name: np.abs(world.data.joint(name).qpos - old).max() for name, old in before.items()}
    env.close()
    assert moved["toy"] > 0.001
    assert moved["blue_block"] == 0


def test_cache_returns_the_same(tmp_path):
    """A second call reads what the first one wrote; another plan is another folder."""
    first = act(cache=str(tmp_path))
    second = act(cache=str(tmp_path))
    assert second.sha256() == first.sha256()
    assert isinstance(second.pictures, np.memmap)
    act(cache=str(tmp_path), seed=1)
    assert len(list(tmp_path.iterdir())) == 2


def test_scenes_are_those_of_the_states(tmp_path):
    """Of the frozen states, whatever was moved after that; kept by a cache, unknown to older ones."""
    env = rehearsal._make(TASK, {})
    hashes = [env.reset(seed=0, options={"init_state": i})[1]["scene_hash"] for i in (0, 1)]
    env.close()
    plan = ExpertData(
        tasks=(TASK,), init_states=2, look_every=10, scatter_m=0.01, cache=str(tmp_path)
    )
    for _ in range(2):
        assert generate(plan, ("top",), 32, 12).scenes == shorten(hashes)
    (meta,) = tmp_path.glob("*/meta.json")
    said = json.loads(meta.read_text())
    meta.write_text(json.dumps({"instructions": said["instructions"]}))
    assert generate(plan, ("top",), 32, 12).scenes is None


def test_refusals():
    """A task without a suite, an unknown task, a camera that is not there."""
    assert generated_cameras(ExpertData(tasks=(TASK,))) == ("top", "wrist")
    for tasks, camera, message in (
        (("PickPlace",), "top", "must be suite/task"),
        (("so101/PickPlac",), "top", "did you mean 'PickPlace'"),
        ((TASK,), "front", "has no camera 'front'"),
    ):
        with pytest.raises(UsageError, match=message):
            generate(ExpertData(tasks=tasks, init_states=1), (camera,), 32, 12)


def test_short_plans_become_chunks_of_what_was_done():
    """Where plans are short, a look's chunk is what the expert went on to do, up to the end."""
    looks = Demonstration(
        chunks=[np.zeros((2, 1), np.float32), np.zeros((1, 1), np.float32)],
        steps=[0, 2],
        meant=[np.full(1, step, np.float32) for step in range(5)],
    )
    chunks, lengths = looks.targets(4)
    assert chunks[..., 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 4]]
    assert lengths.tolist() == [4, 3]


def test_options_of_environments_leave_other_caches_valid():
    """A section without env_kwargs is kept where it always was."""
    plain = ExpertData(tasks=(TASK,), cache="demos")
    assert "env_kwargs" not in plain.model_dump()
    told = ExpertData(tasks=(TASK,), cache="demos", env_kwargs={"image_size": 128})
    assert plain.folder(128, 16) != told.folder(128, 16)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("VLA_EVAL_LIBERO_ASSETS"), reason="needs LIBERO's assets")
def test_libero_is_demonstrated_in_new_scenes():
    """Two pushed episodes of two scenes; displacements are learned, and the gripper closes."""
    plan = ExpertData(
        tasks=("libero_spatial/8",),
        init_states=2,
        look_every=5,
        action_noise=0.06,
        env_kwargs={"image_size": 64, "physics": "fast"},
    )
    frames = generate(plan, ("agentview",), 32, 16)
    assert frames.chunks.shape[1:] == (16, 7)
    assert frames.states.shape[1] == 8
    first = np.searchsorted(frames.episode, [0, 1])
    assert not np.array_equal(frames.states[first[0]], frames.states[first[1]])
    assert np.abs(frames.chunks).max() <= 1
    assert set(np.unique(frames.chunks[..., 6])) == {-1, 1}
    assert frames.lengths.max() == 16
    assert frames.lengths[-1] < 16
