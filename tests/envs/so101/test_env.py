"""The environment contract of the SO-101 tasks."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from vla_eval.environment import make_env
from vla_eval.errors import InfrastructureError, UsageError
from vla_eval_envs.gl import choose_gl_backend
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.mujoco_warnings import LATEST
from vla_eval_envs.so101.base import HOME
from vla_eval_envs.so101.catalog import suites
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.units import FEATURE_NAMES, UNIT_SYSTEMS

TASK = suites()[0].task("PickPlace")


@pytest.fixture
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=64)
    yield made
    made.close()


def random_actions(env: PickPlace, count: int, seed: int = 0) -> np.ndarray:
    space = env.action_space
    draws = np.random.default_rng(seed).uniform(space.low, space.high, (count, 6))
    return draws.astype(np.float32)


def same(first: Any, second: Any) -> bool:
    return bool(data_equivalence(first, second, exact=True))


def test_registered_task_is_this_environment():
    """gym.make and make_env give the class, its instruction and the catalogue's time limit."""
    made = gymnasium.make(TASK.env_id, image_size=32)
    assert isinstance(made.unwrapped, PickPlace)
    assert made.unwrapped.task_description == TASK.instruction
    assert made.spec is not None
    assert made.spec.max_episode_steps == TASK.max_steps == 600
    made.close()
    inner = make_env(TASK.env_id, {"image_size": 32})
    assert isinstance(inner, PickPlace)
    inner.close()


# Recommended for policies trained from scratch; ours are LeRobot's units, on purpose.
ALLOWED_WARNINGS = ("symmetric and normalized",)


def test_public_checker_is_content(monkeypatch):
    """Gymnasium's own checker finds nothing in any render mode, save what the list above allows."""
    monkeypatch.setattr("vla_eval_envs.manipulation.env.Viewer", Mock())  # there is no display
    made = gymnasium.make(TASK.env_id, image_size=32, render_mode="rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(made.unwrapped)
    made.close()
    messages = [str(each.message) for each in caught]
    assert not [m for m in messages if not any(allowed in m for allowed in ALLOWED_WARNINGS)]


def test_metadata_names_every_dimension(env):
    """Names are LeRobot's features; the frame rate is the control rate."""
    assert env.metadata["action_names"] == env.metadata["state_names"] == list(FEATURE_NAMES)
    assert FEATURE_NAMES[0] == "shoulder_pan.pos"
    assert FEATURE_NAMES[5] == "gripper.pos"
    assert env.metadata["render_fps"] == 30


def test_same_key_same_episode():
    """Two environments, same seed and state, the same 50 actions: exactly equal throughout."""
    first, second = PickPlace(image_size=64), PickPlace(image_size=64)
    options = {"init_state": 17}
    assert same(first.reset(seed=3, options=options), second.reset(seed=3, options=options))
    for action in random_actions(first, 50):
        assert same(first.step(action), second.step(action))
    np.testing.assert_array_equal(first.data.qpos, second.data.qpos)
    np.testing.assert_array_equal(first.data.qvel, second.data.qvel)
    first.close()
    second.close()


def test_reset_forgets_every_earlier_episode(env):
    """After 30 random episodes a reset is that of a fresh environment, and so is what follows."""
    for episode in range(30):
        env.reset(seed=episode)
        for action in random_actions(env, 20, episode):
            env.advance(action)
    fresh = PickPlace(image_size=64)
    options = {"init_state": 5}
    assert same(env.reset(seed=0, options=options), fresh.reset(seed=0, options=options))
    for field in ("qpos", "qvel", "ctrl", "qacc_warmstart", "time"):
        np.testing.assert_array_equal(getattr(env.data, field), getattr(fresh.data, field))
    for action in random_actions(env, 20):
        assert same(env.step(action), fresh.step(action))
    fresh.close()


def test_initial_states_vary(env):
    """Different states give different scenes and pictures; the seed alone draws the index."""
    results = [env.reset(options={"init_state": i}) for i in range(20)]
    assert len({info["scene_hash"] for _, info in results}) == 20
    assert len({obs["pixels"]["top"].tobytes() for obs, _ in results}) == 20
    drawn = [env.reset(seed=seed)[1]["init_state"] for seed in range(20)]
    assert drawn == [env.reset(seed=seed)[1]["init_state"] for seed in range(20)]
    assert len(set(drawn)) > 10


def test_seed_changes_nothing_where_the_state_is_given(env):
    """The seed draws the index and decides nothing else."""
    first = env.reset(seed=1, options={"init_state": 9})
    assert same(first, env.reset(seed=2, options={"init_state": 9}))


@pytest.mark.parametrize("index", [-1, 200, 1.0, "3", True])
def test_initial_state_that_does_not_exist_is_refused(env, index):
    """The error names the range."""
    with pytest.raises(ValueError, match=r"0\.\.199"):
        env.reset(options={"init_state": index})


def test_misspelt_reset_option_is_refused(env):
    """An option that would be ignored is an error that names the right one."""
    with pytest.raises(ValueError, match="did you mean 'init_state'"):
        env.reset(options={"init_stat": 3})


def test_info_carries_the_contract(env):
    """Keys and types of reset's and step's info."""
    _, info = env.reset(options={"init_state": 4})
    assert info["init_state"] == 4
    assert info["subgoals"] == {"grasped": False, "placed": False}
    assert (info["is_success"], info["score"], info["task"]) == (False, 0.0, TASK.instruction)
    assert re.fullmatch("[0-9a-f]{64}", info["scene_hash"])
    assert set(info["provenance"]) == {"mujoco", "gl", "model"}
    _, reward, terminated, truncated, info = env.step(env.hold_action())
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert set(info) == {"is_success", "score", "subgoals", "task"}


def test_observations_stay_inside_the_space_and_share_no_memory(env):
    """Every observation is in its space, owns its arrays, and no joint reading is constant."""
    last, _ = env.reset(seed=0)
    readings = [last["agent_pos"]]
    for action in random_actions(env, 40):
        now, *_ = env.step(action)
        assert env.observation_space.contains(now)
        for camera, pixels in now["pixels"].items():
            assert not np.shares_memory(pixels, last["pixels"][camera])
        assert not np.shares_memory(now["agent_pos"], last["agent_pos"])
        readings.append(now["agent_pos"])
        last = now
    assert (np.std(readings, axis=0) > 1.0).all()


@pytest.mark.parametrize(
    "action",
    [np.zeros(5), np.zeros((1, 6)), np.full(6, np.nan), np.array([0, 0, np.inf, 0, 0, 0])],
)
def test_actions_that_are_none_are_refused(env, action):
    """Wrong shapes and values that are not finite raise, before anything moves."""
    env.reset(seed=0)
    before = env.data.qpos.copy()
    with pytest.raises(ValueError, match="the action must"):
        env.advance(action)
    np.testing.assert_array_equal(env.data.qpos, before)


def test_actions_outside_the_space_are_clipped(env):
    """A target beyond the bounds is the bound."""
    env.reset(seed=0)
    env.advance(np.full(6, 1e6, dtype=np.float32))
    beyond = env.data.ctrl.copy()
    env.reset(seed=0)
    env.advance(env.action_space.high)
    np.testing.assert_array_equal(env.data.ctrl, beyond)


def test_joints_go_where_they_are_told(env):
    """A reachable target is met within a quarter of a degree after a second."""
    env.reset(seed=0)
    target = np.array([20.0, -40.0, 30.0, 50.0, -30.0, 60.0], dtype=np.float32)
    for _ in range(60):
        env.advance(target)
    np.testing.assert_allclose(env.observe()["agent_pos"], target, atol=0.25)


def test_hold_action_holds(env):
    """It is in the action space, and two seconds of it move no joint by half a degree."""
    start, _ = env.reset(seed=0)
    hold = env.hold_action()
    assert env.action_space.contains(hold)
    for _ in range(60):
        env.advance(hold)
    np.testing.assert_allclose(env.observe()["agent_pos"], start["agent_pos"], atol=0.5)


def test_arm_touches_nothing_at_the_start(env):
    """In all 200 starts the only contact, if any, is between block and table."""
    for index in range(TASK.init_states):
        env._cameras.picture = lambda data, camera: None
        env.reset(options={"init_state": index})
        pairs = {
            tuple(sorted(env.model.geom(int(g)).name for g in contact.geom))
            for contact in env.data.contact
        }
        assert pairs <= {("block", "table")}


def test_thousands_of_random_actions_break_nothing(env):
    """3,000 uniform full-range actions: no NaN, no MuJoCo warning, the block stays in the room."""
    env._cameras.picture = lambda data, camera: None
    for episode in range(10):
        env.reset(seed=episode)
        for action in random_actions(env, 300, episode):
            _, _, _, _ = env.advance(action)
        assert np.isfinite(env.data.qpos).all()
        assert np.abs(env.object_pose("block")[0]).max() < 4.0
        assert not any(warning.number for warning in env.data.warning)
        assert env.observation_space["agent_pos"].contains(env.observe()["agent_pos"])


@pytest.mark.parametrize("units", ["degrees", "normalized", "radians"])
def test_units_change_the_numbers_and_not_the_motion(env, units):
    """The same joint targets in other numbers give the same episode."""
    other = PickPlace(image_size=64, units=units)
    first, _ = env.reset(options={"init_state": 6})
    second, _ = other.reset(options={"init_state": 6})
    for action in random_actions(env, 30):
        env.advance(action)
        other.advance(other.units.action(env.units.to_radians(action)))
    np.testing.assert_allclose(other.data.qpos, env.data.qpos, atol=1e-3)
    for observation, made in ((first, env), (second, other)):
        joints = made.units.to_radians(observation["agent_pos"])
        np.testing.assert_allclose(joints, env.units.to_radians(HOME), atol=1e-5)
    assert other.observation_space.contains(other.observe())
    assert other.action_space.contains(other.hold_action())
    other.close()


def test_unknown_units_are_refused():
    """The error lists the known ones."""
    with pytest.raises(ValueError, match="degrees, normalized, radians"):
        PickPlace(units="ticks")


def test_mujoco_leaves_no_log_file(env, tmp_path, monkeypatch, caplog):
    """A warning is logged and kept, and nothing is written to the working directory."""
    monkeypatch.chdir(tmp_path)
    env.reset(seed=0)
    env.data.qvel[:] = 1e12
    with pytest.raises(InfrastructureError, match="huge value in QVEL"):
        env.advance(env.hold_action())
    assert "huge value in QVEL" in caplog.text
    assert "huge value in QVEL" in LATEST[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments(mode):
    """make_vec works in both modes, and gives what single environments give.

    Processes are spawned: one that is forked after its parent has rendered hangs in Mesa.
    """
    vector = gymnasium.make_vec(
        TASK.env_id,
        num_envs=2,
        vectorization_mode=mode,
        vector_kwargs={"context": "spawn"} if mode == "async" else {},
        image_size=32,
        units="radians",
    )
    observations, _ = vector.reset(seed=[4, 5])
    actions = np.stack([UNIT_SYSTEMS["radians"].action(np.zeros(6))] * 2)
    after, rewards, *_ = vector.step(actions)
    assert observations["pixels"]["top"].shape == (2, 32, 32, 3)
    assert rewards.shape == (2,)
    single = PickPlace(image_size=32, units="radians")
    expected, _ = single.reset(seed=5)
    assert same(expected["agent_pos"], observations["agent_pos"][1])
    assert same(expected["pixels"]["top"], observations["pixels"]["top"][1])
    assert same(single.step(actions[1])[0]["agent_pos"], after["agent_pos"][1])
    single.close()
    vector.close()


@pytest.mark.parametrize(
    "episodes",
    [pytest.param(4, id="1200-steps"), pytest.param(34, id="10200-steps", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("task", suites()[0].tasks, ids=lambda task: task.name)
def test_no_task_breaks_under_random_actions(task, episodes):
    """Uniform full-range actions: no warning (it would raise), nothing leaves the room."""
    made = make_env(task.env_id, {"image_size": 8})
    made._cameras.picture = lambda data, camera: None
    for episode in range(episodes):
        made.reset(seed=episode)
        for action in random_actions(made, 300, episode):
            made.advance(action)
        assert np.abs(made.data.xpos).max() < 4.0
        assert np.abs(made.data.qvel).max() < 100
    made.close()


def test_diverged_simulation_is_the_machines_failure(env):
    """MuJoCo would restart the scene silently; here it raises."""
    env.reset(seed=0)
    env.data.qvel[:] = 1e12
    with pytest.raises(InfrastructureError, match="MuJoCo warned"):
        env.advance(env.hold_action())


def test_physics_are_the_ones_that_hold_objects(env):
    """Settings on which the friction grip depends."""
    option = env.model.opt
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert (option.impratio, option.iterations) == (10.0, 20)


def test_a_script_that_closes_nothing_ends_in_silence():
    """The README's three lines, and a picture: no traceback of a GL library at the end."""
    script = (
        "import gymnasium\n"
        "env = gymnasium.make('vla_eval_envs:so101/PickPlace-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0, options={'init_state': 5})\n"
        "env.render()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_gl_backend_is_said(monkeypatch):
    """Before MuJoCo raises from the middle of an import."""
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(UsageError, match="MUJOCO_GL=nonsense: cgl, egl, glfw"):
        choose_gl_backend()
