"""LeRobot's own LIBERO environment shows, step by step, what ours shows."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from fakes.motion import smooth_actions
from vla_eval_envs.libero.install import load

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED, INIT_STATE, SIZE = 7, 3, 64
STEPS = 150
CASES = [
    ("spatial", 0, "relative", "reference"),
    ("spatial", 0, "relative", "exact"),
    ("spatial", 4, "absolute", "exact"),
    ("object", 1, "relative", "reference"),
    ("object", 1, "absolute", "exact"),
    ("goal", 7, "relative", "exact"),
    ("goal", 0, "relative", "reference"),
    ("10", 3, "relative", "exact"),
    ("10", 8, "absolute", "reference"),
    ("90", 16, "relative", "exact"),
]


@pytest.fixture
def assets(libero_assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = libero_assets
    root = load(found).root
    folders = {
        "assets": found.path,
        "bddl_files": root / "bddl_files",
        "benchmark_root": root,
        "init_states": root / "init_files",
    }
    (tmp_path / "config.yaml").write_text("".join(f"{k}: {v}\n" for k, v in folders.items()))
    module = pytest.importorskip("libero.libero")
    monkeypatch.setattr(module, "config_file", str(tmp_path / "config.yaml"))
    return found


def theirs(suite: str, task: int, mode: str):
    """Return LeRobot's environment and its processor, at the start of the episode."""
    from lerobot.envs.libero import LiberoEnv, _get_suite
    from lerobot.processor.env_processor import LiberoProcessorStep

    name = f"libero_{suite}"
    env = LiberoEnv(
        _get_suite(name),
        task,
        name,
        obs_type="pixels_agent_pos",
        observation_width=SIZE,
        observation_height=SIZE,
        control_mode=mode,
        episode_index=INIT_STATE,
    )
    # LeRobot's reset is the environment's third, and LIBERO draws one more time for each drawer and
    # each reset before. Ours is a fresh environment's first, so the list is cut back to that.
    env._ensure_env()
    inner = env._env.env
    fresh = len(inner.object_property_initializers) // 2
    del inner.object_property_initializers[fresh:]
    first, _ = env.reset(seed=SEED)
    return env, LiberoProcessorStep(), first


def translated(processor, observation) -> dict[str, np.ndarray]:
    """Return LeRobot's observation, after its own processor, in our names."""
    from lerobot.envs.utils import preprocess_observation

    batch = {
        "pixels": {name: view[None] for name, view in observation["pixels"].items()},
        "robot_state": {
            part: {name: value[None] for name, value in values.items()}
            for part, values in observation["robot_state"].items()
        },
    }
    seen = processor.observation(preprocess_observation(batch))
    pictures = {"agentview": "observation.images.image", "wrist": "observation.images.image2"}
    views = {
        ours: (seen[key][0].permute(1, 2, 0) * 255).round().byte().numpy()
        for ours, key in pictures.items()
    }
    return {**views, "agent_pos": seen["observation.state"][0].numpy()}


@pytest.mark.parametrize(("suite", "task", "mode", "physics"), CASES)
def test_equals_lerobots(assets, suite: str, task: int, mode: str, physics: str):
    """Pictures, robot state, joint positions and success, over an episode of smooth actions."""
    del assets
    options = {"image_size": SIZE, "control_mode": mode, "physics": physics}
    ours = gymnasium.make(f"vla_eval_envs:libero/{suite}-{task}-v0", **options).unwrapped
    them, processor, first = theirs(suite, task, mode)
    try:
        mine, _ = ours.reset(seed=SEED, options={"init_state": INIT_STATE})
        assert_same(mine, translated(processor, first))
        hold = ours.hold_action()
        actions = smooth_actions(STEPS, seed=2)
        if mode == "absolute":
            actions = hold + actions * np.float32([0.1] * 6 + [0.9])
        for i, action in enumerate(actions):
            _, done, _, info = ours.advance(action)
            observation, _, terminated, _, their_info = them.step(action)
            assert (done, info["is_success"]) == (terminated, their_info["is_success"])
            np.testing.assert_array_equal(
                ours._simulator._env.sim.data.qpos, them._env.env.sim.data.qpos
            )
            robot = observation["robot_state"]
            np.testing.assert_array_equal(ours._simulator.observed("eef_pos"), robot["eef"]["pos"])
            np.testing.assert_array_equal(
                ours._simulator.observed("eef_quat"), robot["eef"]["quat"]
            )
            if i % 10 == 9:
                assert_same(ours.observe(), translated(processor, observation))
    finally:
        ours.close()
        them.close()


def assert_same(mine, other) -> None:
    # LeRobot turns the quaternion into a rotation vector in single precision, we in double.
    np.testing.assert_allclose(mine["agent_pos"], other["agent_pos"], rtol=0, atol=5e-7)
    for name in ("agentview", "wrist"):
        np.testing.assert_array_equal(mine["pixels"][name], other[name])
