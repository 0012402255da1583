"""The episodes of a run as a LeRobotDataset: played from stored actions, and read by LeRobot."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vla_eval
from vla_eval.recording.folder import scenes_of
from vla_eval.recording.from_run import Selection, record_run
from vla_eval.released import load_protocol
from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Traces

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two arms in one scene: one succeeds, the other runs out of time."""
    changes = [
        "blocks.0.init_states=[0]",
        "blocks.0.env_kwargs.image_size=32",
        "blocks.0.max_steps=140",
    ]
    out = tmp_path_factory.mktemp("run") / "run"
    arms = {"expert": "expert", "noisy": "impaired:expert?action_noise=0.05"}
    vla_eval.run(load_protocol("so101-quickstart", overrides=changes), arms, out=out, workers=1)
    return out


@pytest.fixture(scope="module")
def dataset(run, tmp_path_factory):
    """Both episodes, with exact pictures, as LeRobot opens them."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    out = tmp_path_factory.mktemp("dataset") / "episodes"
    record_run(run, out, Selection(), images="png")
    return LeRobotDataset("episodes", root=out, video_backend="pyav")


def rows(dataset, arm):
    return [row for row in dataset.hf_dataset if row["arm"] == arm]


@pytest.mark.parametrize("arm", ["expert", "noisy"])
def test_actions_and_results_are_those_of_the_run(run, dataset, arm):
    """Every executed action is a frame; arm, outcome, reason and key are the record's."""
    (record,) = [each for each in read_records([run / "episodes"]).attempts if each.arm == arm]
    trace, frames = Traces(run).get(record), rows(dataset, arm)
    np.testing.assert_array_equal([np.asarray(row["action"]) for row in frames], trace.actions)
    assert [int(row["inference"]) for row in frames] == trace.source.tolist()
    assert {row["outcome"] for row in frames} == {record.outcome}
    assert {row["reason"] for row in frames} == {record.reason or ""}
    assert {(row["key.task"], int(row["key.init_state"])) for row in frames} == {("PickPlace", 0)}
    assert "next.reward" not in frames[0]


def test_success_and_subgoals_come_with_their_step(dataset):
    """Only the last frame of the success is solved, and its parts are done then."""
    frames = rows(dataset, "expert")
    assert [bool(row["next.success"]) for row in frames] == [False] * (len(frames) - 1) + [True]
    assert all(json.loads(frames[-1]["next.subgoals"]).values())
    assert not any(bool(row["next.success"]) for row in rows(dataset, "noisy"))


def test_pictures_are_those_that_the_environment_draws(run, dataset):
    """The first picture of the dataset is the environment's own after reset."""
    env = vla_eval.make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 32})
    seen, _ = env.reset(seed=0, options={"init_state": 0})
    camera, picture = next(iter(seen["pixels"].items()))
    env.close()
    first = dataset[0][f"observation.images.{camera}"].numpy()
    np.testing.assert_array_equal(
        (first * 255).round().astype(np.uint8), picture.transpose(2, 0, 1)
    )


def test_a_policy_that_learns_from_it_is_known_to(run, dataset):
    """The scenes of the episodes are kept where training looks for them."""
    from vla_eval.trainedon import shorten

    hashes = {record.scene_hash for record in read_records([run / "episodes"]).attempts}
    assert scenes_of(dataset.root) == shorten(hashes)
