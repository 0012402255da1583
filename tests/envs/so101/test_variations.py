"""Robustness options: what each changes, what it leaves alone, and that its draws belong to the key."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from scipy.spatial.transform import Rotation

from vla_eval_envs.manipulation.variations import Levels
from vla_eval_envs.so101.base import SO101Env
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.pick_place_either import PickPlaceEither
from vla_eval_envs.so101.sorting import Sorting
from vla_eval_envs.so101.stacking import Stacking
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert
from vla_eval_policies.experts.so101.sorting import SortingExpert
from vla_eval_policies.experts.so101.stacking import StackingExpert

OPTIONS = [field.name for field in dataclasses.fields(Levels)]
LOOKS = ("light", "colours", "camera_jitter")
MODEL_FIELDS = ("mat_rgba", "light_diffuse", "cam_pos", "body_mass", "geom_friction")
Maker = Callable[..., PickPlace]


@pytest.fixture
def make() -> Iterator[Maker]:
    made: list[SO101Env] = []

    def build(**levels: int) -> PickPlace:
        made.append(PickPlace(image_size=64, **levels))
        return made[-1]

    yield build
    for env in made:
        env.close()


def start(env: SO101Env, state: int = 2, seed: int = 5) -> tuple[Any, dict[str, Any]]:
    return env.reset(seed=seed, options={"init_state": state})


def moved(env: SO101Env) -> np.ndarray:
    target = np.array([20.0, -60.0, 50.0, 60.0, 10.0, 40.0], dtype=np.float32)
    for _ in range(20):
        env.advance(target)
    return env.data.qpos.copy()


@pytest.mark.parametrize("option", OPTIONS)
def test_draws_belong_to_the_key(make, option):
    """Same seed and state: the same observation, whatever came before; each of both changes it."""
    env, other = make(**{option: 3}), make(**{option: 3})
    first, info = start(env)
    kept = {field: getattr(env.model, field).copy() for field in MODEL_FIELDS}
    assert data_equivalence(first, start(other)[0], exact=True)
    start(env, seed=6)
    moved(env)
    again, again_info = start(env)
    assert data_equivalence(first, again, exact=True)
    assert info == again_info
    for field, value in kept.items():
        np.testing.assert_array_equal(getattr(env.model, field), value)
    if option not in ("mass_friction", "action_latency"):
        assert not data_equivalence(first, start(env, seed=6)[0], exact=True)


@pytest.mark.parametrize("option", LOOKS)
def test_looks_change_pictures_and_not_physics(make, option):
    """Light, colours and cameras are seen by policies, and by nothing else; more is more."""
    nominal, _ = start(plain := make())
    slight, _ = start(make(**{option: 1}))
    strong, _ = start(varied := make(**{option: 3}))
    for camera, picture in nominal["pixels"].items():
        near, far = (
            np.abs(each["pixels"][camera].astype(float) - picture).mean()
            for each in (slight, strong)
        )
        assert 0 < near < far < 80
    np.testing.assert_array_equal(moved(varied), moved(plain))


def test_red_block_stays_red(make):
    """Under the strongest light and colours, in ten draws."""
    env = make(light=3, colours=3)
    for seed in range(10):
        top = start(env, seed=seed)[0]["pixels"]["top"].astype(int)
        red = (top[..., 0] > 1.6 * top[..., 1]) & (top[..., 0] > 1.6 * top[..., 2])
        assert (red & (top[..., 2] < 110)).sum() > 4


def test_equal_boxes_stay_equal():
    """Colours are drawn by look, so that neither of two good goals stands out."""
    env = PickPlaceEither(image_size=8, colours=3)
    start(env)
    left, right = (env.model.mat_rgba[env.model.material(f"{x}_box").id] for x in ("left", "right"))
    wood, mat = (env.model.mat_rgba[env.model.material(name).id] for name in ("birch", "mat"))
    env.close()
    np.testing.assert_array_equal(left, right)
    assert not np.allclose(wood, mat)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_distractors_stand_behind_the_task(make, count):
    """As many as the level says; they stand still, apart, and where no block starts."""
    env = make(distractors=count)
    start(env)
    names = [
        env.model.body(i).name
        for i in range(env.model.nbody)
        if env.model.body(i).name.startswith("distractor")
    ]
    before = np.array([env.object_pose(name)[0] for name in names])
    for _ in range(30):
        env.advance(env.hold_action())
    after = np.array([env.object_pose(name)[0] for name in names])
    assert len(names) == count
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert (before[:, 0] > 0.33).all()
    gaps = np.linalg.norm(before[:, None] - before[None], axis=-1) + np.eye(count)
    assert gaps.min() > 0.06


def test_mass_and_friction_stay_in_their_bounds(make):
    """Level 3 is a factor of up to 2.1 for the mass and 1.43 for friction; the arm keeps its mass."""
    env, plain = make(mass_friction=3), make()
    block, jaw = env.model.body("block").id, env.model.geom("fixed_jaw_0").id
    factors = []
    for seed in range(30):
        start(env, seed=seed)
        mass = env.model.body_mass / np.where(plain.model.body_mass, plain.model.body_mass, 1.0)
        assert (np.delete(mass, block) <= 1.0).all()
        grip = env.model.geom_friction[jaw, 0] / plain.model.geom_friction[jaw, 0]
        factors.append((mass[block], grip))
    low, high = np.min(factors, axis=0), np.max(factors, axis=0)
    assert (low > np.exp([-0.75, -0.36])).all()
    assert (high < np.exp([0.75, 0.36])).all()
    assert (high / low > 1.3).all()


def test_cameras_and_light_stay_in_their_bounds(make):
    """Level 2: up to 8 mm and 2 degrees about an axis; light 30 % either way and turned 20 degrees."""
    env, plain = make(camera_jitter=2, light=2), make()
    start(plain)
    cameras = [plain.model.camera(name).id for name in plain.observe()["pixels"]]
    shifts, turns, lights, leans = [], [], [], []
    for seed in range(40):
        start(env, seed=seed)
        shifts.append(1e3 * (env.model.cam_pos - plain.model.cam_pos)[cameras])
        both = [
            Rotation.from_quat(each.model.cam_quat[cameras][:, [1, 2, 3, 0]])
            for each in (env, plain)
        ]
        turns.append(np.rad2deg((both[0] * both[1].inv()).as_rotvec()))
        lights.append(
            (
                env.model.light_diffuse[0, 0] / plain.model.light_diffuse[0, 0],
                env.model.vis.headlight.ambient[0] / plain.model.vis.headlight.ambient[0],
            )
        )
        cosine = env.model.light_dir[0] @ plain.model.light_dir[0]
        leans.append(np.rad2deg(np.arccos(min(1.0, cosine))))
    for found, most in ((shifts, 8), (turns, 2)):
        low, high = np.min(found, axis=(0, 1)), np.max(found, axis=(0, 1))
        assert (low >= -1.001 * most).all()
        assert (high <= 1.001 * most).all()
        assert (low < -0.6 * most).all()
        assert (high > 0.6 * most).all()
    assert (np.min(lights, axis=0) >= 0.7 - 1e-6).all()
    assert (np.max(lights, axis=0) <= 1.3 + 1e-6).all()
    assert (np.min(lights, axis=0) < 0.8).all()
    assert (np.max(lights, axis=0) > 1.2).all()
    assert 12 < max(leans) <= 20 * 3**0.5


def test_inertia_goes_with_mass(make):
    """A block is heavier as a whole; what is not the task's keeps both."""
    env, plain = make(mass_friction=3), make()
    start(plain)
    block = env.model.body("block").id
    for seed in range(3):
        start(env, seed=seed)
        factor = env.model.body_mass[block] / plain.model.body_mass[block]
        assert abs(factor - 1) > 0.01
        np.testing.assert_allclose(
            env.model.body_inertia[block], factor * plain.model.body_inertia[block]
        )
        for field in ("body_mass", "body_inertia"):
            mine, theirs = (
                np.delete(getattr(each.model, field), block, 0) for each in (env, plain)
            )
            np.testing.assert_array_equal(mine, theirs)


def test_latency_forgets_the_commands_of_an_earlier_episode(make):
    """After a reset the arm holds its place until the first command of the new episode is due."""
    env = make(action_latency=3)
    target = np.array([20.0, -60.0, 50.0, 60.0, 10.0, 40.0], dtype=np.float32)
    first, again = [], []
    for commands in (first, again):
        start(env)
        for _ in range(5):
            env.advance(target)
            commands.append(env.data.ctrl.copy())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.allclose(first[2], first[3])


@pytest.mark.parametrize("delay", [1, 3])
def test_latency_delays_commands_by_steps(make, delay):
    """The arm does what it did without, so many steps later."""
    prompt, late = make(), make(action_latency=delay)
    target = np.array([20.0, -60.0, 50.0, 60.0, 10.0, 40.0], dtype=np.float32)
    paths = []
    for env in (prompt, late):
        start(env)
        commands = []
        for _ in range(12):
            env.advance(target)
            commands.append(env.data.ctrl.copy())
        paths.append(np.array(commands))
    np.testing.assert_array_equal(paths[1][delay:], paths[0][: 12 - delay])
    assert not np.allclose(paths[1][delay - 1], paths[0][0])


def test_observation_noise_has_its_size_and_spares_the_physics(make):
    """Level 2: 0.5 degrees and 6 grey levels; two looks at one moment are the same."""
    env, plain = make(observation_noise=2), make()
    start(plain)
    start(env)
    errors, greys = [], []
    for _ in range(60):
        for each in (env, plain):
            each.advance(np.array([0, -60, 50, 60, 10, 40], dtype=np.float32))
        noisy, clean = env.observe(), plain.observe()
        assert data_equivalence(noisy, env.observe(), exact=True)
        assert env.observation_space.contains(noisy)
        errors.append((noisy["agent_pos"] - clean["agent_pos"])[:5])
        greys.append(noisy["pixels"]["top"].astype(float) - clean["pixels"]["top"])
    assert np.std(errors) == pytest.approx(0.5, rel=0.15)
    assert np.std(greys) == pytest.approx(6.0, rel=0.25)
    np.testing.assert_array_equal(env.data.qpos, plain.data.qpos)


@pytest.mark.parametrize("level", [-1, 4, 1.0, "2"])
def test_levels_are_integers_from_0_to_3(level):
    """Anything else is refused, by name."""
    with pytest.raises(ValueError, match=r"light must be an integer in 0\.\.3"):
        PickPlace(light=level)


def test_misspelt_option_is_refused():
    """The error names it."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'lihgt'"):
        PickPlace(lihgt=1)


@pytest.mark.parametrize(
    ("task", "expert"),
    [(PickPlace, PickPlaceExpert), (Stacking, StackingExpert), (Sorting, SortingExpert)],
)
def test_tasks_stay_possible_at_the_highest_levels(task, expert):
    """With everything at 3, the expert (who sees poses, not pictures) succeeds in three of three."""
    env = task(image_size=8, **dict.fromkeys(OPTIONS, 3))
    env._cameras.picture = lambda data, camera: np.zeros((8, 8, 3), np.uint8)
    done = 0
    for state in range(3):
        start(env, state)
        each, step, terminated = expert(env), 0, False
        while not terminated and step < 900:
            for action in each.actions(step, 10):
                _, terminated, _, _ = env.advance(action)
                step += 1
                if terminated:
                    break
        done += terminated
    env.close()
    assert done == 3
