"""The LIBERO environment keeps the contract, and shows exactly what LIBERO shows."""

from __future__ import annotations

import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.spatial.transform import Rotation

from vla_eval.errors import InfrastructureError, UsageError
from vla_eval_envs.libero.env import LiberoEnv
from vla_eval_envs.libero.versions import versions

SIZE = 64


@pytest.fixture(scope="module")
def env(libero_assets):
    env = gymnasium.make("vla_eval_envs:libero/goal-7-v0", image_size=SIZE).unwrapped
    yield env
    env.close()


@pytest.mark.parametrize(
    "options",
    [
        {"suite": "libero_spatial", "task": 10},
        {"suite": "libero_spatial", "task": -1},
        {"suite": "spatial", "task": 0},
        {"suite": "libero_spatial", "task": 0, "control_mode": "delta"},
        {"suite": "libero_spatial", "task": 0, "axis_angle": "robosuite"},
        {"suite": "libero_spatial", "task": 0, "gripper": "open"},
        {"suite": "libero_spatial", "task": 0, "drawing": "fast"},
        {"suite": "libero_spatial", "task": 0, "render_mode": "human"},
        {"suite": "libero_spatial", "task": 0, "image_size": 0},
        {"suite": "libero_spatial", "task": 0, "settle_steps": -1},
    ],
)
def test_bad_options_are_refused(options):
    """Every option is checked when the environment is made, before anything is loaded."""
    with pytest.raises(UsageError):
        LiberoEnv(**options)


def test_a_robot_that_waits():
    """Displacements: none, with the last command of the gripper. Poses: the last one."""
    last = np.array([0.5, -0.5, 0.2, 0.1, 0.0, 0.3, -1.0], np.float32)
    relative = LiberoEnv(suite="libero_spatial", task=0)
    stall = relative.stall_action(last, 1)
    assert stall.dtype == np.float32
    assert stall.tolist() == [0, 0, 0, 0, 0, 0, -1]
    poses = LiberoEnv(suite="libero_spatial", task=0, control_mode="absolute")
    assert np.array_equal(poses.stall_action(last, 99), last)


def test_contract_of_reset(env):
    """Reset gives an observation of the space and every key that the contract names."""
    observation, info = env.reset(seed=3, options={"init_state": 11})
    assert env.observation_space.contains(observation)
    assert observation["pixels"]["agentview"].shape == (SIZE, SIZE, 3)
    assert observation["agent_pos"].dtype == np.float32
    assert info["is_success"] is False
    assert info["score"] == 0.0
    assert info["subgoals"] == {"turnon(flat_stove_1)": False}
    assert info["task"] == env.task_description == "turn on the stove"
    assert info["init_state"] == 11
    assert len(info["scene_hash"]) == 64
    assert info["provenance"]["robosuite"] == versions().robosuite
    assert len(env.metadata["action_names"]) == env.action_space.shape[0] == 7
    assert len(env.metadata["state_names"]) == observation["agent_pos"].shape[0] == 8
    assert env.metadata["render_fps"] == 20


def test_step_is_advance_then_observe(env):
    """The same actions lead to the same pictures and states, seen at each step or at the end."""
    actions = np.random.default_rng(0).uniform(-1, 1, (5, 7)).astype(np.float32)
    env.reset(seed=0, options={"init_state": 0})
    for action in actions:
        stepped, *_ = env.step(action)
    env.reset(seed=0, options={"init_state": 0})
    for action in actions:
        reward, terminated, truncated, info = env.advance(action)
    observed = env.observe()
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert set(info) == {"is_success", "score", "subgoals", "task"}
    _assert_same(stepped, observed)
    _assert_same(observed, env.observe())
    for name, picture in observed["pixels"].items():
        assert not np.shares_memory(picture, env.observe()["pixels"][name])


def test_starting_is_resetting_without_pictures(env, monkeypatch):
    """An episode for a policy that never looks begins like any other, and draws nothing."""
    observation, info = env.reset(seed=3, options={"init_state": 11})
    env.advance(np.ones(7, dtype=np.float32))
    with monkeypatch.context() as patch:
        patch.setattr(env._simulator, "render", None)
        assert env.start(seed=3, init_state=11) == info
    _assert_same(env.observe(), observation)


def test_the_callers_random_numbers_are_left_alone(env):
    """Neither reset nor advance draws from or reseeds NumPy's global generator."""
    np.random.seed(5)  # noqa: NPY002  the very generator that LIBERO uses
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    env.reset(seed=1, options={"init_state": 1})
    env.advance(env.hold_action())
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_draws_come_from_the_seed(env):
    """Without an initial state, and without a seed, both are drawn from the environment's own."""
    _, first = env.reset(seed=8)
    _, second = env.reset()
    _, again = env.reset(seed=8)
    _, after = env.reset()
    assert (first["init_state"], first["scene_hash"]) == (again["init_state"], again["scene_hash"])
    assert (second["init_state"], second["scene_hash"]) == (
        after["init_state"],
        after["scene_hash"],
    )
    assert first["scene_hash"] != second["scene_hash"]


def test_new_scenes_are_none_of_the_frozen(env):
    """They follow LIBERO's rules, as the frozen states do, come from the seed, and are others."""
    first = env.new_scene(seed=8)
    other = env.new_scene(seed=9)
    again = env.new_scene(seed=8)
    assert first["scene_hash"] == again["scene_hash"] != other["scene_hash"]
    assert "init_state" not in first
    simulator, frozen = env._simulator, env._init_states
    simulator.reset(8, None, 0, absolute=False)
    drawn = simulator._env.sim.get_state().flatten()
    joints = simulator._env.sim.model.nq
    assert np.abs(frozen - drawn)[:, 1 : 1 + joints].max(1).min() > 1e-3
    spread = frozen[:, 1 : 1 + joints].std(0)
    away = np.abs(frozen.mean(0) - drawn)[1 : 1 + joints]
    assert (away <= 4 * spread + 1e-6).all()


def test_seed_and_initial_state_both_matter(env):
    """Another seed moves the furniture, another initial state the objects: other hashes."""
    hashes = {
        env.reset(seed=seed, options={"init_state": state})[1]["scene_hash"]
        for seed, state in ((0, 0), (0, 1), (1, 0))
    }
    assert len(hashes) == 3


@pytest.mark.parametrize("init_state", [-1, 50])
def test_initial_state_out_of_range(env, init_state: int):
    """An initial state that does not exist is refused with the range."""
    with pytest.raises(ValueError, match="0 to 49"):
        env.reset(seed=0, options={"init_state": init_state})


def test_other_bad_resets(env):
    """Unknown options and seeds that NumPy's global generator cannot take are refused."""
    with pytest.raises(ValueError, match="the option init_state, not init"):
        env.reset(seed=0, options={"init": 1})
    with pytest.raises(ValueError, match=r"2\*\*32"):
        env.reset(seed=2**32)


def test_absolute_action_has_the_same_goal(env):
    """The pose is the one that the controller is sent to by the displacement, gripper included."""
    env.reset(seed=0, options={"init_state": 0})
    action = np.array([0.5, -0.3, -0.8, 0.2, -0.4, 0.9, 1.0], np.float32)
    for _ in range(3):
        env.advance(action)
    pose = env.absolute_action(action)
    env.advance(action)
    goal = env._simulator._driver._goal
    np.testing.assert_allclose(pose[:3], goal.position, atol=2e-3)  # one physics step later
    turn = Rotation.from_rotvec(pose[3:6]) * Rotation.from_matrix(goal.rotation).inv()
    assert turn.magnitude() < 0.01
    assert pose[6] == 1


def test_bad_actions_are_refused(env):
    """A wrong shape or a number that is none raises ValueError and changes nothing."""
    before, _ = env.reset(seed=0, options={"init_state": 0})
    for action in (np.zeros(6), np.zeros((1, 7)), np.full(7, np.nan), np.full(7, np.inf)):
        with pytest.raises(ValueError, match="an action"):
            env.advance(action)
    _assert_same(before, env.observe())


def test_actions_are_clipped(env):
    """An action outside the box acts as the nearest one inside."""
    seen = []
    for action in (np.full(7, 1.0), np.full(7, 9.0)):
        env.reset(seed=0, options={"init_state": 0})
        seen.append(env.step(action)[0])
    _assert_same(*seen)


def test_hold_keeps_the_gripper(env):
    """Holding keeps the last gripper command, open after reset, and moves the arm by < 1 cm."""
    env.reset(seed=0, options={"init_state": 0})
    np.testing.assert_array_equal(env.hold_action(), [0, 0, 0, 0, 0, 0, -1])
    env.advance(np.array([0, 0, 0, 0, 0, 0, 0.4], dtype=np.float32))
    assert env.hold_action()[6] == pytest.approx(0.4)
    start = env.observe()["agent_pos"]
    for _ in range(10):
        env.advance(env.hold_action())
    end = env.observe()["agent_pos"]
    assert np.linalg.norm(end[:3] - start[:3]) < 0.01
    assert end[6] - end[7] < start[6] - start[7] - 0.01  # the fingers closed


@pytest.mark.parametrize(("rule", "closes"), [("sign", False), ("binary", True)])
def test_what_a_gripper_command_of_zero_means(env, monkeypatch, rule: str, closes: bool):
    """By robosuite's sign it keeps the fingers where they are going; as a binary command it closes."""
    monkeypatch.setattr(env, "_gripper_rule", rule)
    env.reset(seed=0, options={"init_state": 0})
    for _ in range(10):
        env.advance(np.zeros(7, dtype=np.float32))
    left, right = env.observe()["agent_pos"][6:]
    assert (left - right < 0.01) == closes


def test_success_ends_the_episode(env):
    """With the stove turned on the step rewards 1, terminates, and the score is 1."""
    env.reset(seed=0, options={"init_state": 0})
    env._simulator._env.object_states_dict["flat_stove_1"].set_joint(1.0)
    reward, terminated, truncated, info = env.advance(env.hold_action())
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["is_success"] is True
    assert info["score"] == 1.0
    assert info["subgoals"] == {"turnon(flat_stove_1)": True}


def test_robosuites_horizon_is_out_of_play(env):
    """An episode goes on past robosuite's horizon of 1000 steps: limits belong to protocols."""
    env.reset(seed=0, options={"init_state": 0})
    env._simulator._env.timestep = 100_000
    for _ in range(2):
        assert env.advance(env.hold_action())[1:3] == (False, False)


def test_unstable_physics_is_infrastructure(env):
    """When MuJoCo gives up and resets the state by itself, that is no failure of the policy."""
    env.reset(seed=0, options={"init_state": 0})
    env._simulator._env.sim.data.qvel[:] = 1e12
    with pytest.raises(InfrastructureError, match="unstable"):
        env.advance(env.hold_action())
    env.reset(seed=0, options={"init_state": 0})
    env.advance(env.hold_action())


def test_checker(env):
    """Gymnasium's checker finds nothing, not even a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_two_environments_do_not_mix(env):
    """Pictures stay right while another environment lives, renders and closes in the process."""
    expected, _ = env.reset(seed=0, options={"init_state": 0})
    other = gymnasium.make("vla_eval_envs:libero/object-0-v0", image_size=SIZE).unwrapped
    other.reset(seed=0, options={"init_state": 0})
    _assert_same(expected, env.observe())
    other.observe()
    other.close()
    other.close()
    _assert_same(expected, env.observe())
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.observe()


def test_absolute_mode_holds_and_moves(env):
    """In absolute mode the hold action is the present pose, and a pose 5 cm higher is reached."""
    other = gymnasium.make(
        "vla_eval_envs:libero/goal-7-v0", image_size=SIZE, control_mode="absolute"
    ).unwrapped
    try:
        start = other.reset(seed=0, options={"init_state": 0})[0]["agent_pos"]
        hold = other.hold_action()
        assert other.action_space.contains(hold)
        np.testing.assert_allclose(hold[:3], start[:3], atol=1e-3)
        hold[2] += 0.05
        for _ in range(30):
            other.advance(hold)
        end = other.observe()["agent_pos"]
        np.testing.assert_allclose(end[:3] - start[:3], [0, 0, 0.05], atol=5e-3)
        assert other.metadata["action_names"] != env.metadata["action_names"]
    finally:
        other.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["relative", "absolute"])
@pytest.mark.parametrize(("suite", "task"), [("spatial", 5), ("goal", 7), ("10", 2), ("90", 40)])
def test_equals_libero_bit_for_bit(env, suite: str, task: int, mode: str):
    """Pixels, positions and final joint state equal those of LIBERO's own OffScreenRenderEnv.

    LIBERO is driven as LeRobot 0.6.1 does: seed, reset, initial state, ten steps of holding.
    """
    ours = gymnasium.make(
        f"vla_eval_envs:libero/{suite}-{task}-v0",
        image_size=SIZE,
        control_mode=mode,
        rotate_180=False,
    ).unwrapped
    seen = [ours.reset(seed=7, options={"init_state": 5})[0]]
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 7)).astype(np.float32)
    if mode == "absolute":
        actions = ours.hold_action() + actions * np.float32([0.1] * 6 + [0.9])
    seen += [ours.step(action)[0] for action in actions]
    stock, raw = _stock(ours, mode, [np.clip(a, -7, 7) for a in actions])
    try:
        for mine, theirs in zip(seen, raw, strict=True):
            np.testing.assert_array_equal(mine["pixels"]["agentview"], theirs["agentview_image"])
            np.testing.assert_array_equal(
                mine["pixels"]["wrist"], theirs["robot0_eye_in_hand_image"]
            )
            np.testing.assert_array_equal(
                mine["agent_pos"][:3], theirs["robot0_eef_pos"].astype(np.float32)
            )
            np.testing.assert_array_equal(
                mine["agent_pos"][6:], theirs["robot0_gripper_qpos"].astype(np.float32)
            )
        np.testing.assert_array_equal(ours._simulator._env.sim.data.qpos, stock.sim.data.qpos)
    finally:
        stock.close()
        ours.close()


def _stock(ours, mode: str, actions):
    """Run the same episode in LIBERO's OffScreenRenderEnv and return it with its observations."""
    from libero.libero.envs import OffScreenRenderEnv

    library = Path(__import__("libero.libero").libero.__file__).parent
    stock = OffScreenRenderEnv(
        bddl_file_name=str(ours._file(library / "bddl_files", "bddl")),
        camera_heights=SIZE,
        camera_widths=SIZE,
    )
    stock.seed(7)
    stock.reset()
    raw = stock.set_init_state(ours._init_states[5])
    for _ in range(10):
        raw, *_ = stock.step([0, 0, 0, 0, 0, 0, -1])
    stock.robots[0].controller.use_delta = mode == "relative"
    return stock, [raw] + [stock.step(action)[0] for action in actions]


def _assert_same(one, two) -> None:
    np.testing.assert_array_equal(one["agent_pos"], two["agent_pos"])
    for name, picture in one["pixels"].items():
        np.testing.assert_array_equal(picture, two["pixels"][name])
