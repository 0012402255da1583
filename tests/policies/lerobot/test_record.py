"""`vlaeval record`: the dataset loads in LeRobot, holds what happened, and a policy trains on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vla_eval.catalog import find_suite
from vla_eval.cli import main
from vla_eval.installed import install_command

WORKER = "fakes.policies:InWorker"
EXPERT = ("--policy", "expert", "--tasks", "PickPlace", "--env", "image_size=64")
JOINTS = [
    f"{name}.pos"
    for name in (
        "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper",
    )
]  # fmt: skip


@pytest.fixture
def cli(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["record", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return call


@pytest.fixture
def load():
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    def call(folder: Path, **options):
        return LeRobotDataset("x", root=folder, video_backend="pyav", **options)

    return call


def replay(dataset, env) -> None:
    """Drive the environment with a dataset's actions, and compare everything along the way."""
    index, exact = 0, dataset.meta.image_keys
    for episode in range(dataset.num_episodes):
        first = dataset[index]
        seen, _ = env.reset(
            seed=int(first["key.env_seed"]), options={"init_state": int(first["key.init_state"])}
        )
        done = False
        while not done:
            frame = dataset[index]
            assert int(frame["episode_index"]) == episode
            assert np.array_equal(frame["observation.state"], seen["agent_pos"])
            for name, picture in seen["pixels"].items():
                got = 255 * frame[f"observation.images.{name}"].permute(1, 2, 0).numpy()
                error = np.abs(got - picture.astype(float))
                # At 64 x 64 LeRobot's AV1 loses 4.5 on average, 8 at worst.
                assert error.max() < 0.01 if exact else error.mean() < 10
            seen, reward, done, _, info = env.step(frame["action"].numpy())
            assert float(frame["next.reward"]) == np.float32(reward)
            assert float(frame["next.score"]) == np.float32(info["score"])
            assert bool(frame["next.success"]) == info["is_success"]
            assert bool(frame["next.done"]) == done
            index += 1
    assert index == dataset.num_frames


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("images", ["video", "png"])
def test_dataset_holds_what_happened(images: str, cli, load, tmp_path: Path):
    """Names, shapes, rate, task and key are right; replaying the actions gives the same frames."""
    from vla_eval import make_env

    folder = tmp_path / "demos"
    code, stdout, _ = cli(
        "so101", *EXPERT, "--init-states", "3,5", "--out", folder, "--images", images, "--json"
    )
    assert code == 0
    summary = json.loads(stdout)
    assert (summary["tried"], summary["successes"], summary["episodes"]) == (2, 2, 2)
    dataset = load(folder)
    assert (dataset.num_episodes, dataset.num_frames) == (2, summary["frames"])
    assert (dataset.fps, dataset.meta.robot_type) == (30, "so101")
    assert dataset.meta.features["observation.state"]["names"] == JOINTS
    assert dataset.meta.features["action"]["names"] == JOINTS
    frame = dataset[dataset.num_frames - 1]
    assert frame["observation.images.top"].shape == (3, 64, 64)
    assert frame["task"] == "grasp the red block and put it in the box"
    assert (frame["key.suite"], frame["key.task"]) == ("so101", "PickPlace")
    assert [int(frame[f"key.{name}"]) for name in ("init_state", "env_seed", "policy_seed")] == [5, 0, 0]  # fmt: skip
    env = make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 64})
    replay(dataset, env)
    env.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_several_tasks_share_a_dataset(cli, load, tmp_path: Path):
    """All of LeKiwi goes into one dataset, each episode with its own instruction."""
    folder = tmp_path / "demos"
    arguments = ("--policy", "hold", "--init-states", "0", "--env", "image_size=32")
    short = ("--out", folder, "--images", "png", "--n-action-steps", "50")
    assert cli("lekiwi", *arguments, *short)[0] == 0
    dataset = load(folder)
    assert dataset.meta.robot_type == "lekiwi"
    assert dataset.meta.features["action"]["names"][-3:] == ["x.vel", "y.vel", "theta.vel"]
    starts = [int(index) for index in dataset.meta.episodes["dataset_from_index"]]
    instructions = [task.instruction for task in find_suite("lekiwi").tasks]
    assert [dataset[index]["task"] for index in starts] == instructions
    assert not any(bool(dataset[index]["next.success"]) for index in starts)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_virtual_time_marks_stalled_frames(cli, load, protocol_file, tmp_path: Path):
    """A column says where the robot had no action of the policy; paused datasets have none."""
    table = (
        'latency = "virtual"\n[run.realtime]\nmode = "blocking"\narms.policy.total_us = 200_000\n'
    )
    for name, run in (("virtual", table), ("paused", "")):
        path = protocol_file(count=1, run=run, name=f"{name}.toml")
        options = ("--policy", WORKER, "--images", "png", "--out", tmp_path / name)
        assert cli(path, *options)[0] == 0
    stalled = load(tmp_path / "virtual").hf_dataset["is_stalled"]
    assert [bool(each) for each in stalled][:8] == [True, True, *[False] * 4, True, True]
    assert "is_stalled" not in load(tmp_path / "paused").meta.features
    requests = [
        json.loads((tmp_path / name / "meta" / "vla_eval.json").read_text())["request"]
        for name in ("virtual", "paused")
    ]
    assert requests[0]["realtime"]["mode"] == "blocking"
    assert "realtime" not in requests[1]
    assert "stalls" not in requests[1]["layout"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_policy_trains_on_it(cli, load, tiny_act, tmp_path: Path):
    """An ACT, configured from the dataset alone, learns for some steps and its loss falls."""
    folder = tmp_path / "demos"
    assert cli("so101", *EXPERT, "--init-states", "0", "--out", folder)[0] == 0
    import torch
    from lerobot.configs import FeatureType
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.utils.feature_utils import dataset_to_policy_features

    dataset = load(folder, delta_timestamps={"action": [step / 30 for step in range(10)]})
    features = dataset_to_policy_features(dataset.meta.features)
    outputs = {k: v for k, v in features.items() if v.type is FeatureType.ACTION}
    inputs = {k: v for k, v in features.items() if k not in outputs}
    assert set(inputs) == {"observation.state", "observation.images.top", "observation.images.wrist"}  # fmt: skip
    policy = tiny_act(inputs, outputs)
    preprocess, _ = make_pre_post_processors(policy.config, dataset_stats=dataset.meta.stats)
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    policy.train()
    losses = []
    for _, batch in zip(range(8), loader, strict=False):
        loss, _ = policy.forward(preprocess(batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert min(losses[-3:]) < losses[0]


class Listed:
    """Stands for LeRobot's writer: keeps the episodes in memory."""

    episodes: list[list] = []  # noqa: RUF012
    frames: list = []  # noqa: RUF012

    def __init__(self, folder: Path, layout, *, resume: bool, images: str) -> None:
        assert folder.exists() == resume
        folder.joinpath("meta").mkdir(parents=True, exist_ok=True)
        if not resume:
            Listed.episodes = []
        Listed.frames = []

    def add(self, frame) -> None:
        Listed.frames.append(frame)

    def end_episode(self, *, keep: bool) -> None:
        if keep:
            Listed.episodes.append(Listed.frames)
        Listed.frames = []

    def close(self) -> None:
        pass


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr("vla_eval.recording.folder.load_tool", lambda _: Listed)
    return Listed


def test_every_step_is_a_frame(cli, listed, protocol_file, tmp_path):
    """A frame is what was seen before the action, also between two inferences."""
    code, stdout, _ = cli(protocol_file(count=2), "--policy", WORKER, "--out", tmp_path / "demos")
    assert code == 0
    assert "2 episodes" in stdout
    for number, frames in enumerate(listed.episodes):
        start = 0.01 * number
        positions = [float(each.observation["agent_pos"][0]) for each in frames]
        moved = np.cumsum([0.1 * float(each.action[0]) for each in frames])
        assert positions[0] == pytest.approx(start)
        assert positions[1:] == pytest.approx(start + moved[:-1])
        assert [each.observation["pixels"]["front"][0, 0, 0] for each in frames] == list(
            range(len(frames))
        )
        assert [each.success for each in frames] == [False] * (len(frames) - 1) + [True]
        assert frames[-1].done
        assert frames[-1].score == 1.0


def test_recording_is_the_evaluation(listed, cli, protocol_file, tmp_path):
    """The recorded actions are those of `vlaeval run` with the same keys."""
    import hashlib

    from vla_eval import run
    from vla_eval.runs.store import read_records

    path = protocol_file(count=3)
    run(str(path), {"a": WORKER}, tmp_path / "run", workers=1)
    assert cli(path, "--policy", WORKER, "--out", tmp_path / "demos")[0] == 0
    records = read_records(sorted((tmp_path / "run" / "episodes").glob("*.jsonl"))).attempts
    wanted = {record.key: record.actions_sha256 for record in records}
    for frames in listed.episodes:
        digest = hashlib.sha256(b"".join(each.action.tobytes() for each in frames)).hexdigest()
        assert digest == wanted[frames[0].key]


def test_only_successes_are_kept(cli, listed, protocol_file, tmp_path):
    """`--only-successes` leaves failures out, but counts them."""
    arguments = (protocol_file(), "--policy", f"{WORKER}?skill=0.5", "--out", tmp_path / "demos")
    code, stdout, _ = cli(*arguments, "--only-successes", "--json")
    assert code == 0
    summary = json.loads(stdout)
    assert summary["tried"] == 8
    assert 0 < summary["episodes"] == summary["successes"] < 8
    assert len(listed.episodes) == summary["successes"]
    assert all(frames[-1].success for frames in listed.episodes)


def test_a_second_call_adds_what_is_missing(cli, listed, protocol_file, tmp_path):
    """The same command does nothing again; more initial states are added to what is there."""
    folder = tmp_path / "demos"
    arguments = (protocol_file(), "--policy", WORKER, "--out", folder)
    assert cli(*arguments, "--init-states", "0-2")[0] == 0
    first = listed.episodes
    assert cli(*arguments, "--init-states", "0-2")[0] == 0
    assert listed.episodes is first
    assert len(first) == 3
    assert cli(*arguments, "--init-states", "0-4")[0] == 0
    assert [frames[0].key.init_state for frames in listed.episodes] == [0, 1, 2, 3, 4]


def test_foreign_and_unfinished_folders_are_refused(cli, listed, protocol_file, tmp_path):
    """Another policy, a folder of somebody else, a killed recording: one sentence each."""
    folder = tmp_path / "demos"
    arguments = (protocol_file(), "--out", folder)
    assert cli(*arguments, "--policy", WORKER)[0] == 0
    code, _, stderr = cli(*arguments, "--policy", f"{WORKER}?skill=0.5")
    assert code == 4
    assert "holds a recording with another policy" in stderr
    file = folder / "meta" / "vla_eval.json"
    file.write_text(file.read_text().replace('"closed": true', '"closed": false'))
    code, _, stderr = cli(*arguments, "--policy", WORKER)
    assert code == 4
    assert "remove the folder and record again" in stderr
    code, _, stderr = cli(protocol_file(), "--policy", WORKER, "--out", tmp_path)
    assert code == 4
    assert "was not written by `vlaeval record`" in stderr


MISTAKES = [
    (["--tasks", "Pint"], "there is no task 'Pint'; did you mean 'Point'?"),
    (["--init-states", "7-9"], "there is no initial state [8]"),
    (["--init-states", "a-9"], "expected numbers and ranges"),
    (["--env", "fault"], "expected KEY=VALUE"),
    (["--env", "size=3"], "unexpected keyword argument"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_get_one_sentence(arguments, message, cli, listed, protocol_file, tmp_path):
    """What cannot be recorded is refused before a folder is made."""
    folder = tmp_path / "demos"
    code, _, stderr = cli(protocol_file(), "--policy", WORKER, "--out", folder, *arguments)
    assert code == 4
    assert message in stderr
    assert not folder.exists()


def test_without_lerobot_the_error_says_what_to_install(cli, protocol_file, monkeypatch, tmp_path):
    """A missing extra is a usage error with the command that mends it."""
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", None)
    code, _, stderr = cli(protocol_file(), "--policy", WORKER, "--out", tmp_path / "demos")
    assert code == 4
    assert f"run: {install_command('lerobot')}" in stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupted_recording_is_whole_and_continues(cli, load, tmp_path):
    """After SIGTERM in the middle of an episode the dataset loads; the same command completes it."""
    folder = tmp_path / "demos"
    arguments = ["so101", *EXPERT, "--init-states", "0-5", "--out", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "vlaeval_launcher", "record", *arguments],
        env=os.environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    videos = folder / "videos"
    while not list(videos.rglob("*.mp4")):  # the first episode was saved
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "repeat the command to continue" in stderr
    some = load(folder).num_episodes
    assert 0 < some < 6
    assert cli(*arguments)[0] == 0
    dataset = load(folder)
    starts = dataset.meta.episodes["dataset_from_index"]
    assert [int(dataset[i]["key.init_state"]) for i in starts] == [0, 1, 2, 3, 4, 5]
