"""LeRobot's own evaluation drives our tasks: its command line, its vector environments, its loop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from vla_eval.catalog import find_suite

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
# Importing LeRobot takes 10 to 25 s, and each command does it anew.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
BY_FLAG = ("--env.discover_packages_path=vla_eval_policies.lerobot",)


def lerobot_eval(checkpoint: Path, out: Path, *arguments: str, path: Path | None = None) -> dict:
    """Run the real command; return its eval_info.json."""
    program = "from lerobot.scripts.lerobot_eval import main; main()"
    script = out.parent / "lerobot_eval.py"
    script.write_text(f"if __name__ == '__main__':\n    {program}\n")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), environment.get("PYTHONPATH", "")])
    command = [
        sys.executable,
        str(script),
        f"--policy.path={checkpoint}",
        "--policy.device=cpu",
        "--env.type=vla_eval",
        '--env.env_kwargs={"image_size": 64}',
        "--env.episode_length=12",
        f"--output_dir={out}",
        *arguments,
    ]
    done = subprocess.run(
        command, env=environment, cwd=out.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    info: dict = json.loads((out / "eval_info.json").read_text())
    return info


@pytest.mark.parametrize(("asynchronous", "name"), [("false", "PickBelt"), ("true", "PickPlace")])
def test_lerobot_eval_runs_a_task(asynchronous: str, name: str, checkpoint, tmp_path: Path):
    """`lerobot-eval` runs two episodes of a task side by side, and writes a video of each."""
    info = lerobot_eval(
        checkpoint("so101"),
        tmp_path / "out",
        *BY_FLAG,
        f"--env.task=so101/{name}",
        "--eval.n_episodes=2",
        "--eval.batch_size=2",
        f"--eval.use_async_envs={asynchronous}",
    )
    assert info["overall"]["n_episodes"] == 2
    (task,) = info["per_task"]
    number = [each.name for each in find_suite("so101").tasks].index(name)
    assert (task["task_group"], task["task_id"]) == ("so101", number)
    assert task["metrics"]["successes"] == [False, False]
    assert len(task["metrics"]["video_paths"]) == 2
    assert all(Path(video).stat().st_size > 0 for video in task["metrics"]["video_paths"])


@pytest.mark.parametrize("suite", ["so101", "lekiwi"])
def test_the_installed_plugin_needs_no_flag(suite: str, checkpoint, tmp_path: Path):
    """With the distribution `lerobot_env_vla_eval`, every task of a suite runs without a flag."""
    source = ROOT / "plugins" / "lerobot_env_vla_eval"
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    # What its wheel holds; the name goes in as it is written, which LeRobot relies on.
    metadata = tmp_path / "site" / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    shutil.copy(source / f"{name}.py", tmp_path / "site")
    info = lerobot_eval(
        checkpoint(suite),
        tmp_path / "out",
        f"--env.task={suite}",
        "--eval.n_episodes=1",
        "--eval.batch_size=1",
        path=tmp_path / "site",
    )
    tasks = [(task["task_group"], task["task_id"]) for task in info["per_task"]]
    assert tasks == [(suite, index) for index in range(len(find_suite(suite).tasks))]


def test_lerobot_eval_can_record(checkpoint, tmp_path: Path):
    """`--eval.recording=true` works with our feature names, as it does not with LIBERO's."""
    lerobot_eval(
        checkpoint("so101"),
        tmp_path / "out",
        *BY_FLAG,
        "--env.task=so101/Sorting",
        "--eval.n_episodes=1",
        "--eval.batch_size=1",
        "--eval.recording=true",
    )
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    (info_file,) = (tmp_path / "out" / "recordings").rglob("info.json")
    dataset = LeRobotDataset("x", root=info_file.parent.parent, video_backend="pyav")
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (1, 12, 30)


@pytest.fixture
def config():
    from vla_eval_policies.lerobot.environments import VlaEvalEnv

    def make(**fields):
        return VlaEvalEnv(**{"env_kwargs": {"image_size": 16}, "episode_length": 6, **fields})

    return make


def rollout(env, *, succeed_at: dict[int, int] | None = None) -> list[int]:
    """LeRobot's loop, without a policy; returns the initial states that it began with."""
    from lerobot.envs.utils import NEW_ROLLOUT_OPTION

    _, info = env.reset(seed=[1000] * env.num_envs, options={NEW_ROLLOUT_OPTION: True})
    states = [int(each) for each in info["init_state"]]
    over = np.zeros(env.num_envs, dtype=bool)
    for step in range(env.call("_max_episode_steps")[0]):
        for index, when in (succeed_at or {}).items():
            if step == when:
                win(env.envs[index])
        action = np.zeros((env.num_envs, 6), np.float32)
        _, _, terminated, truncated, _ = env.step(action)
        over |= terminated | truncated
    assert over.all()
    return states


def win(env) -> None:
    """Let the next step succeed."""
    inner = env.unwrapped._running()
    advance = inner.advance

    def once(action):
        inner.advance = advance
        _, _, _, info = advance(action)
        return 1.0, True, False, {**info, "is_success": True}

    inner.advance = once


def test_states_do_not_depend_on_success(config):
    """Rollouts start from states 0, 1, 2, 3 …, also when a copy is done long before the other.

    LeRobot's LIBERO environment goes to 0, 1, then 4, 3, then 8, 5 in the same situation.
    """
    env = config().create_envs(2)["so101"][0]
    states = [rollout(env, succeed_at={0: 2}) for _ in range(4)]
    assert states == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [each.unwrapped._env.score for each in env.envs] == [0.0, 0.0]
    env.close()


def test_states_wrap_around_and_can_begin_elsewhere(config):
    """`first_init_state` shifts the walk; after the last state comes the first."""
    env = config(first_init_state=199, episode_length=1).create_envs(1)["so101"][0]
    assert [rollout(env) for _ in range(3)] == [[199], [0], [1]]
    env.close()


def test_scene_is_the_one_of_the_evaluator(config):
    """State i through LeRobot's environment is state i of ours, pixel by pixel."""
    from vla_eval import make_env

    env = config(first_init_state=7).create_envs(1)["so101"][0]
    ours = make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 16})
    seen, _ = env.reset(seed=[1007])
    wanted, _ = ours.reset(seed=0, options={"init_state": 7})
    for name, picture in wanted["pixels"].items():
        assert np.array_equal(seen["pixels"][name][0], picture)
    assert np.array_equal(seen["agent_pos"][0], wanted["agent_pos"])
    env.close()
    ours.close()


def test_what_lerobot_asks_of_an_environment(config):
    """Features, names, description, time limit, rate and pictures are where LeRobot looks."""
    from lerobot.envs.utils import env_to_policy_features

    cfg = config(task="so101/Sorting,so101/PickPlace")
    features = env_to_policy_features(cfg)
    assert {name: feature.shape for name, feature in features.items()} == {
        "action": (6,),
        "observation.state": (6,),
        "observation.images.top": (3, 16, 16),
        "observation.images.wrist": (3, 16, 16),
    }
    assert cfg.fps == 30
    envs = cfg.create_envs(1)
    assert list(envs) == ["so101"]
    sorting = next(iter(envs["so101"].values()))
    assert sorting.call("task") == ("so101/Sorting",)
    assert "green cube" in sorting.call("task_description")[0]
    assert sorting.call("_max_episode_steps") == (6,)
    assert sorting.metadata["render_fps"] == 30
    sorting.reset()
    assert sorting.call("render")[0].shape == (16, 32, 3)
    for env in envs["so101"].values():
        env.close()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("so100/PickPlace", "no suite is named 'so100'; did you mean 'so101'?"),
        ("so101/PickPlaces", "did you mean 'PickPlace'?"),
        ("so101/Sorting,so101", "named twice"),
    ],
)
def test_unknown_tasks_are_refused(task: str, message: str, config):
    """A misspelt task is refused before anything is built, with the nearest name."""
    from vla_eval.errors import UsageError

    with pytest.raises(UsageError) as caught:
        config(task=task)
    assert message in str(caught.value)
