"""The environment of the LeKiwi tasks: driving, looking, its documentation, its robustness."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from vla_eval.errors import InfrastructureError
from vla_eval_envs.lekiwi.base import HOME
from vla_eval_envs.lekiwi.catalog import suites
from vla_eval_envs.lekiwi.features import FEATURE_NAMES
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.manipulation.variations import Levels

TASKS = suites()[0].tasks


@pytest.fixture
def env() -> Iterator[Shopping]:
    made = Shopping(image_size=32)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


@pytest.fixture
def blind(env, monkeypatch) -> Shopping:
    """An environment that renders nothing."""
    monkeypatch.setattr(env._cameras, "picture", lambda data, camera: None)
    return env


def driven(env: Shopping, velocity: tuple[float, float, float], steps: int = 15) -> np.ndarray:
    """Drive for some steps and return the wheels' reading, float32 (3,)."""
    action = env.hold_action()
    action[6:] = velocity
    for _ in range(steps):
        env.advance(action)
    return env.observe()["agent_pos"][6:]


COMMANDS = [
    (0.2, 0, 0), (-0.2, 0, 0), (0, 0.2, 0), (0, -0.2, 0), (0, 0, 60), (0, 0, -60),
    (0.1, 0.1, 30), (0.13, 0.085, 34.5),
]  # fmt: skip


@pytest.mark.parametrize("velocity", COMMANDS)
def test_base_drives_as_it_is_told(blind, velocity):
    """Steady state within 2 mm/s and 0.1 deg/s, in the base's frame."""
    reading = driven(blind, velocity)
    np.testing.assert_allclose(reading[:2], velocity[:2], atol=2e-3)
    np.testing.assert_allclose(reading[2], velocity[2], atol=0.1)


def test_base_reaches_its_velocity_in_one_step(blind):
    """More than 63 % of it after 1/30 s."""
    assert driven(blind, (0.2, 0, 0), steps=1)[0] > 0.126


def test_wheels_saturate_in_proportion(blind):
    """What the wheels cannot do is scaled down, in the same direction."""
    reading = driven(blind, (0.3, 0.3, 90))
    np.testing.assert_allclose(reading / reading[0], [1, 1, 300], rtol=0.03)
    assert reading[0] < 0.15


def test_velocity_turns_with_the_base(blind):
    """Facing left, forward is the world's +y."""
    blind.data.joint("drive_yaw").qpos[0] = np.pi / 2
    before = blind.base_pose()
    driven(blind, (0.2, 0, 0), steps=30)
    np.testing.assert_allclose(blind.base_pose() - before, [0, 0.197, 0], atol=0.005)


def test_arm_does_not_push_the_base_away(blind):
    """Ten seconds of swinging the arm move the base by less than 1 mm."""
    before = blind.base_pose()
    action = blind.hold_action()
    for step in range(300):
        action[:3] = [45 * np.sin(step / 8), -60 + 35 * np.sin(step / 9), 40]
        blind.advance(action)
        assert np.hypot(*(blind.base_pose() - before)[:2]) < 1e-3


def test_nothing_moves_without_being_told(blind):
    """Half a minute of holding still: items wander by less than 0.1 mm, the base by none."""
    names = ("salt", "matcha", "chocolate")
    before = {name: blind.object_pose(name)[0] for name in names}
    base = blind.base_pose()
    action = blind.hold_action()
    for _ in range(900):
        blind.advance(action)
    for name in names:
        assert np.linalg.norm(blind.object_pose(name)[0] - before[name]) < 1e-4
    np.testing.assert_allclose(blind.base_pose(), base, atol=1e-4)


def test_robot_touches_nothing_at_the_start(blind):
    """In all starts of all tasks only items touch, and only the stand."""
    for task in TASKS:
        env = Shopping(image_size=8, **task.kwargs)
        env._cameras.picture = lambda data, camera: None
        for index in range(0, task.init_states, 5):
            env.reset(options={"init_state": index})
            names = {
                frozenset(env.model.geom(int(geom)).name.split("_foot")[0] for geom in contact.geom)
                for contact in env.data.contact
            }
            stand = [{"salt", "stand_b"}, {"matcha", "stand_b"}, {"chocolate", "stand_a"}]
            assert all(pair in stand for pair in names)
        env.close()


def test_ten_thousand_random_actions_break_nothing(blind):
    """Uniform full-range actions: no NaN, no MuJoCo warning, everything stays in the room."""
    draws = np.random.default_rng(0)
    low, high = blind.action_space.low, blind.action_space.high
    for episode in range(25):
        blind.reset(seed=episode)
        for action in draws.uniform(low, high, (400, 9)).astype(np.float32):
            blind.advance(action)
        assert np.isfinite(blind.data.qpos).all()
        assert np.abs(blind.data.qvel).max() < 100
        assert np.abs(blind.base_pose()[:2]).max() < 1.4
        for name in ("salt", "matcha", "chocolate"):
            assert np.abs(blind.object_pose(name)[0]).max() < 4.0
        assert blind.observation_space["agent_pos"].contains(blind.observe()["agent_pos"])


def test_driving_into_the_stand_stops_the_base(blind):
    """The base stands against it; it is neither pushed through nor thrown back."""
    action = blind.hold_action()
    action[6] = 0.3
    for _ in range(200):
        blind.advance(action)
    assert 0.40 < blind.base_pose()[0] < 0.44


def test_diverged_simulation_is_the_machines_failure(blind):
    """MuJoCo would restart the scene silently; here it raises."""
    blind.data.qvel[:] = 1e12
    with pytest.raises(InfrastructureError, match="MuJoCo warned"):
        blind.advance(blind.hold_action())


def test_a_robot_that_waits_drives_on_for_half_a_second(blind):
    """The watchdog stops the base after 15 control steps; the arm keeps its command."""
    last = blind.hold_action()
    last[6:] = (0.2, 0.1, 30)
    assert np.array_equal(blind.stall_action(last, 15), last)
    stopped = blind.stall_action(last, 16)
    assert np.array_equal(stopped[:6], last[:6])
    assert not stopped[6:].any()
    assert blind.action_space.contains(stopped)


def test_arm_starts_at_home_and_stays(blind):
    """The state's first six are the arm's joints, in LeRobot's units."""
    np.testing.assert_allclose(blind.observe()["agent_pos"][:6], HOME, atol=1e-4)
    driven(blind, (0, 0, 0), steps=60)
    np.testing.assert_allclose(blind.observe()["agent_pos"][:6], HOME, atol=0.5)


@pytest.mark.parametrize("units", ["normalized", "radians"])
def test_units_change_the_numbers_and_not_the_motion(blind, units):
    """The same targets in other numbers give the same episode."""
    other = Shopping(image_size=8, units=units)
    other.reset(options={"init_state": 0})
    draws = np.random.default_rng(1)
    low, high = blind.action_space.low, blind.action_space.high
    for action in draws.uniform(low / 4, high / 4, (20, 9)).astype(np.float32):
        blind.advance(action)
        other.advance(other.units.action(blind.units.to_si(action)))
    np.testing.assert_allclose(other.data.qpos, blind.data.qpos, atol=1e-3)
    assert other.action_space.contains(other.hold_action())
    other.close()


def test_cameras_see_what_they_should():
    """From the start ``front`` and ``top`` see the salt's blue label in nearly every state."""
    env = Shopping(image_size=128)
    seen = {"front": 0, "top": 0}
    for index in range(0, 200, 20):
        pixels = env.reset(options={"init_state": index})[0]["pixels"]
        assert set(pixels) == {"front", "wrist", "top"}
        for name in seen:
            red, green, blue = (pixels[name][..., channel].astype(int) for channel in range(3))
            seen[name] += int(((blue > 110) & (red < 70) & (green < 100)).sum() > 8)
    env.close()
    assert seen["top"] == 10
    assert seen["front"] >= 9


def test_render_gives_a_side_view():
    """In render mode rgb_array; None without."""
    env = Shopping(image_size=32, render_mode="rgb_array", shadows=True)
    env.reset(options={"init_state": 0})
    view = env.render()
    assert view is not None
    assert view.shape == (480, 640, 3)
    assert view.std() > 10
    env.close()
    assert Shopping(image_size=32).render() is None


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments(mode):
    """make_vec works in both modes.

    Processes are spawned: one that is forked after its parent has rendered hangs in Mesa.
    """
    vector = gymnasium.make_vec(
        TASKS[1].env_id,
        num_envs=2,
        vectorization_mode=mode,
        vector_kwargs={"context": "spawn"} if mode == "async" else {},
        image_size=32,
    )
    observations, _ = vector.reset(seed=[4, 5])
    _, rewards, *_ = vector.step(vector.action_space.sample())
    assert observations["pixels"]["top"].shape == (2, 32, 32, 3)
    assert rewards.shape == (2,)
    vector.close()


def _table(heading: str) -> list[list[str]]:
    doc = inspect.getdoc(Shopping) or ""
    section = doc.split(f"## {heading}")[1].split("## ")[0]
    rows = [line.strip("| \n").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_documented_bounds_are_the_spaces(env):
    """Tables in the docstring: index, name, min and max of action and state."""
    spaces = {
        "Action Space": env.action_space,
        "Observation Space": env.observation_space["agent_pos"],
    }
    for heading, space in spaces.items():
        rows = _table(heading)
        assert [int(row[0]) for row in rows] == list(range(9))
        assert [row[1] for row in rows] == list(FEATURE_NAMES) == env.metadata["action_names"]
        np.testing.assert_allclose([float(row[2]) for row in rows], space.low, rtol=1e-6)
        np.testing.assert_allclose([float(row[3]) for row in rows], space.high, rtol=1e-6)


def test_documented_arguments_are_the_signatures():
    """Names and defaults of the constructor; the robustness options are named in one row."""
    parameters = list(inspect.signature(Shopping.__init__).parameters.values())[1:]
    *rows, levels = _table("Arguments")
    documented = [(row[0], row[1].replace('"', "'")) for row in rows]
    assert documented == [(each.name, repr(each.default)) for each in parameters[:-1]]
    assert levels[0] == parameters[-1].name == "levels"
    assert all(f"``{field.name}``" in levels[2] for field in dataclasses.fields(Levels))
