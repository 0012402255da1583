"""The arm's numbers, units and frozen states; importing and checking without a simulator."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.manipulation.tasks import task_classes
from vla_eval_envs.so101 import doctor
from vla_eval_envs.so101.arm import LINKS
from vla_eval_envs.so101.catalog import suites
from vla_eval_envs.so101.kinematics import forward, inverse, inverse_path
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.units import (
    ACTION_HIGH,
    ACTION_LOW,
    JOINT_NAMES,
    STATE_HIGH,
    STATE_LOW,
    UNIT_SYSTEMS,
    action_fields,
    to_radians,
    to_units,
)


@pytest.fixture(scope="module")
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=32)
    yield made
    made.close()


def test_units_survive_the_round_trip():
    """Radians and back give the same joints, for single vectors and for batches."""
    units = np.random.default_rng(0).uniform(ACTION_LOW, ACTION_HIGH, (100, 6))
    np.testing.assert_allclose(to_units(to_radians(units)), units, atol=1e-12)
    np.testing.assert_allclose(to_radians(units[0]), to_radians(units)[0])


def test_gripper_is_a_percentage_and_never_an_angle():
    """0 is a jaw angle of -10 degrees, 100 one of +100; the other joints are plain degrees."""
    closed, opened = np.rad2deg(to_radians([0] * 6)), np.rad2deg(to_radians([90] * 5 + [100]))
    np.testing.assert_allclose(closed, [0, 0, 0, 0, 0, -10])
    np.testing.assert_allclose(opened, [90] * 5 + [100])


def test_converting_units_leaves_the_argument_alone():
    """Conversion writes into no array of the caller's."""
    units = np.full(6, 50.0)
    to_radians(units)
    to_units(units)
    np.testing.assert_array_equal(units, 50.0)


def test_joints_of_the_model_are_those_of_the_table(env):
    """Order, limits and servos of the compiled model are LeRobot's; only the roll turns further."""
    model = env.model
    assert [model.joint(i).name for i in range(6)] == list(JOINT_NAMES)
    assert [model.actuator(i).name for i in range(6)] == list(JOINT_NAMES)
    np.testing.assert_allclose(to_units(model.jnt_range[:6, 0]), ACTION_LOW, atol=1e-4)
    upper = ACTION_HIGH.astype(float)
    upper[4] = 162.8
    np.testing.assert_allclose(to_units(model.jnt_range[:6, 1]), upper, atol=1e-4)
    np.testing.assert_allclose(model.actuator_forcerange[:, 1], [2.94] * 5 + [1.5])
    np.testing.assert_allclose(model.opt.timestep * 10, 1 / 30)


def test_arm_weighs_what_the_real_one_does(env):
    """Masses are the table's: shells and collision boxes add nothing."""
    arm = [env.model.body(link.name).id for link in LINKS]
    assert env.model.body_mass[arm].sum() == pytest.approx(0.632, abs=1e-3)
    assert env.model.body_mass[arm].sum() == pytest.approx(sum(link.mass for link in LINKS))


def test_everything_in_the_model_has_a_name(env):
    """Whoever looks at a contact or a picture can say what is in it."""
    model = env.model
    unnamed = [i for i in range(model.ngeom) if not model.geom(i).name]
    assert not unnamed
    assert all(model.body(i).name for i in range(model.nbody))


def test_forward_kinematics_are_the_models(env):
    """The closed form and MuJoCo agree on position and orientation of the hand."""
    data = mujoco.MjData(env.model)
    generator = np.random.default_rng(1)
    for _ in range(200):
        joints = to_radians(generator.uniform(ACTION_LOW, ACTION_HIGH))
        data.qpos[:6] = joints
        mujoco.mj_kinematics(env.model, data)
        hand, body = forward(joints), data.body("gripper")
        np.testing.assert_allclose(hand.position, body.xpos, atol=1e-9)
        np.testing.assert_allclose(hand.rotation, body.xmat.reshape(3, 3), atol=1e-7)


def test_inverse_kinematics_hit_random_reachable_targets(env):
    """Over the workspace the error is below 0.5 mm, and nearly every target is reachable."""
    data = mujoco.MjData(env.model)
    generator = np.random.default_rng(2)
    offset = np.array([0.007, 0.0, -0.094])
    worst, reached = 0.0, 0
    for _ in range(500):
        target = generator.uniform([0.15, -0.20, 0.01], [0.30, 0.20, 0.12])
        joints = inverse(target, generator.uniform(-0.8, 0.8), offset)
        if joints is None:
            continue
        reached += 1
        assert (np.abs(to_units(np.append(joints, 0.0)))[:5] <= ACTION_HIGH[:5] + 1e-9).all()
        data.qpos[:5] = joints
        mujoco.mj_kinematics(env.model, data)
        body = data.body("gripper")
        found = body.xpos + body.xmat.reshape(3, 3) @ offset
        worst = max(worst, float(np.linalg.norm(found - target)))
    assert worst < 0.5e-3
    assert reached >= 490


def test_vertical_hand_opens_along_the_yaw_that_was_asked_for():
    """With no tilt the fingers point straight down and the jaws open along the yaw."""
    for yaw in (-0.7, 0.0, 0.5):
        joints = inverse([0.22, 0.03, 0.02], yaw, [0.0, 0.0, -0.094], tilt=0.0)
        assert joints is not None
        rotation = forward(joints).rotation
        np.testing.assert_allclose(rotation[:, 2], [0, 0, 1], atol=1e-9)
        np.testing.assert_allclose(rotation[:2, 0], [np.cos(yaw), np.sin(yaw)], atol=1e-9)


def test_path_is_its_points_one_by_one():
    """Solving many places at once gives what solving each gives; one out of reach refuses all."""
    targets = np.random.default_rng(4).uniform([0.12, -0.20, 0.01], [0.36, 0.20, 0.16], (60, 3))
    offset = np.array([0.007, 0.0, -0.094])
    alone = [inverse(target, 0.3, offset) for target in targets]
    reachable = np.array([joints is not None for joints in alone])
    assert inverse_path(targets, 0.3, offset) is None or reachable.all()
    together = inverse_path(targets[reachable], 0.3, offset)
    np.testing.assert_allclose(together, [each for each in alone if each is not None], atol=1e-9)


@pytest.mark.parametrize("target", [(0.6, 0.0, 0.1), (0.0, 0.0, 0.7), (0.0388353, 0.0, 0.05)])
def test_inverse_kinematics_refuse_what_is_out_of_reach(target):
    """Too far, too high, and on the pan axis itself."""
    assert inverse(target, 0.0) is None


@pytest.mark.parametrize("task", suites()[0].tasks, ids=lambda task: task.name)
def test_frozen_states_are_what_the_generator_gives(task):
    """The committed file equals its recipe, and its hash is the pinned one."""
    module, _, name = task.entry_point.partition(":")
    frozen = getattr(importlib.import_module(module), name).frozen
    text = frozen.generate()
    assert hashlib.sha256(text.encode()).hexdigest() == frozen.sha256
    states = frozen.load()
    assert len(states) == frozen.count == task.init_states == 200
    for state in states:
        values = np.array([state[field] for field in frozen.fields])
        assert (values >= np.array(frozen.low)).all()
        assert (values <= np.array(frozen.high)).all()
    assert len({tuple(state.values()) for state in states}) == len(states)


def test_each_task_has_states_of_its_own():
    """No two tasks share their draws."""
    frozen = [kind.frozen for kind in task_classes("vla_eval_envs.so101")]
    assert len({each.seed for each in frozen}) == len(suites()[0].tasks)
    assert len({each.sha256 for each in frozen}) == len(suites()[0].tasks)


def test_changed_states_are_refused():
    """A file that is not the frozen one is never used."""
    other = dataclasses.replace(PickPlace.frozen, sha256="0" * 64)
    with pytest.raises(RuntimeError, match="was changed"):
        other.load()


@pytest.mark.parametrize("name", UNIT_SYSTEMS)
def test_unit_systems_survive_the_round_trip(name):
    """To radians and back, for vectors and batches; the argument stays as it is."""
    units = UNIT_SYSTEMS[name]
    values = np.random.default_rng(0).uniform(units.action_low, units.action_high, (100, 6))
    before = values.copy()
    np.testing.assert_allclose(units.from_radians(units.to_radians(values)), values, atol=1e-9)
    np.testing.assert_allclose(units.to_radians(values[0]), units.to_radians(values)[0])
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("name", UNIT_SYSTEMS)
def test_unit_systems_share_their_bounds(name):
    """The bounds are the same joint angles in all of them, and actions and states stay inside."""
    units = UNIT_SYSTEMS[name]
    for bound, reference in ((units.action_low, ACTION_LOW), (units.action_high, ACTION_HIGH)):
        np.testing.assert_allclose(units.to_radians(bound), to_radians(reference), atol=1e-6)
    beyond = np.full(6, 10.0)
    np.testing.assert_array_equal(units.action(beyond), units.action_high)
    np.testing.assert_array_equal(units.state(-beyond), units.state_low)


def test_normalized_is_lerobots_legacy():
    """Body joints -100..100 of their range; the gripper's 50 is half open in both systems."""
    values = UNIT_SYSTEMS["normalized"].from_radians(to_radians([55, -50, 0, 95, -157.2, 50]))
    np.testing.assert_allclose(values, [50, -50, 0, 100, -100, 50], atol=1e-4)
    radians = UNIT_SYSTEMS["radians"].from_radians(to_radians([0, 0, 0, 0, 0, 50]))
    np.testing.assert_allclose(radians, [0, 0, 0, 0, 0, np.deg2rad(45)])


def test_state_bounds_hold_the_action_bounds():
    """Every target can be a state."""
    assert (STATE_LOW <= ACTION_LOW).all()
    assert (STATE_HIGH >= ACTION_HIGH).all()


def test_doctor_finds_this_machine_well():
    """All checks pass where the tests run, in this order."""
    results = doctor.checks()
    assert [name for name, *_ in results] == [
        "so101: mujoco",
        "so101: GL backend",
        "so101: rendering",
    ]
    assert all(ok for _, ok, _, _ in results), results


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_catalogue_loads_no_simulator():
    """Listing the tasks imports neither mujoco nor OpenGL."""
    loaded = _run(
        "import sys, vla_eval_envs, vla_eval_envs.so101.catalog as c; c.suites();"
        "print([m for m in ('mujoco', 'OpenGL') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_missing_mujoco_names_the_extra():
    """Without mujoco, building the task says what to install; the doctor says the same."""
    message = _run(
        "import sys; sys.modules['mujoco'] = None\n"
        "import gymnasium, vla_eval.errors as e\n"
        "try: gymnasium.make('vla_eval_envs:so101/PickPlace-v0')\n"
        "except e.MissingExtraError as error: print(error)\n"
        "from vla_eval_envs.so101 import doctor\n"
        "print([row[1] for row in doctor.checks()])"
    )
    assert "SO-101 simulation needs the extra 'so101'" in message
    assert message.endswith("[False]")


@pytest.mark.parametrize(
    ("arguments", "units"),
    [
        ({}, ["°"] * 5 + ["%"]),
        ({"units": "normalized"}, ["%"] * 6),
        ({"units": "radians"}, ["rad"] * 6),
    ],
)
def test_each_action_has_its_unit(arguments, units):
    """Five joints and the gripper, whose unit is another one in degrees."""
    assert list(action_fields(arguments)) == list(zip(JOINT_NAMES, units, strict=True))
