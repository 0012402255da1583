"""LeKiwi's wheels, units, frozen states and model; importing and checking without a simulator."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval_envs.lekiwi import doctor
from vla_eval_envs.lekiwi.catalog import suites
from vla_eval_envs.lekiwi.features import ARM_JOINTS, FEATURE_NAMES, UNIT_SYSTEMS
from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.lekiwi.states import ITEM_ORDER
from vla_eval_envs.lekiwi.wheels import MAX_TICKS, from_ticks, to_ticks
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.units import JOINT_NAMES, to_units

VELOCITIES = np.random.default_rng(0).uniform([-0.4, -0.4, -2.0], [0.4, 0.4, 2.0], (500, 3))


@pytest.fixture(scope="module")
def env() -> Iterator[Shopping]:
    made = Shopping(image_size=32)
    yield made
    made.close()


def test_wheels_are_lerobots():
    """Ticks and velocities equal those of LeRobot's own functions, saturated or not."""
    module = pytest.importorskip("lerobot.robots.lekiwi.lekiwi")
    robot = object.__new__(module.LeKiwi)
    for x, y, turning in VELOCITIES:
        theirs = robot._body_to_wheel_raw(x, y, np.rad2deg(turning))
        ours = to_ticks([x, y, turning])
        np.testing.assert_array_equal(ours, list(theirs.values()))
        body = robot._wheel_raw_to_body(*theirs.values())
        back = from_ticks(ours)
        np.testing.assert_allclose(back[:2], [body["x.vel"], body["y.vel"]], atol=1e-12)
        np.testing.assert_allclose(np.rad2deg(back[2]), body["theta.vel"], atol=1e-9)


def test_no_wheel_is_asked_for_more_than_its_limit():
    """Beyond the limit all wheels slow down in proportion, so the direction stays."""
    ticks = to_ticks(VELOCITIES)
    assert np.abs(ticks).max() == MAX_TICKS
    np.testing.assert_array_equal(ticks, np.rint(ticks))
    fast = from_ticks(to_ticks([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(fast, [0.2657, 0.0, 0.0], atol=2e-4)
    np.testing.assert_allclose(from_ticks(to_ticks([0.0, 1.0, 0.0]))[1], 0.2301, atol=2e-4)
    np.testing.assert_allclose(np.rad2deg(from_ticks(to_ticks([0, 0, 9.0]))[2]), 105.5, atol=0.1)


def test_rounding_to_ticks_is_small():
    """A velocity that no wheel refuses survives within a tick: 0.1 mm/s and 0.05 deg/s."""
    slow = VELOCITIES / 4
    np.testing.assert_allclose(from_ticks(to_ticks(slow))[:, :2], slow[:, :2], atol=1e-4)
    np.testing.assert_allclose(from_ticks(to_ticks(slow))[:, 2], slow[:, 2], atol=1e-3)


def test_features_are_lerobots():
    """Names and order; the action is the state."""
    assert FEATURE_NAMES == (
        "arm_shoulder_pan.pos", "arm_shoulder_lift.pos", "arm_elbow_flex.pos",
        "arm_wrist_flex.pos", "arm_wrist_roll.pos", "arm_gripper.pos",
        "x.vel", "y.vel", "theta.vel",
    )  # fmt: skip
    module = pytest.importorskip("lerobot.robots.lekiwi.lekiwi")
    robot = object.__new__(module.LeKiwi)
    assert tuple(robot._state_ft) == FEATURE_NAMES


@pytest.mark.parametrize("name", UNIT_SYSTEMS)
def test_unit_systems_survive_the_round_trip(name):
    """To SI and back, for vectors and batches; the argument stays as it is."""
    units = UNIT_SYSTEMS[name]
    values = np.random.default_rng(0).uniform(units.action_low, units.action_high, (100, 9))
    before = values.copy()
    np.testing.assert_allclose(units.from_si(units.to_si(values)), values, atol=1e-9)
    np.testing.assert_allclose(units.to_si(values[0]), units.to_si(values)[0])
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(units.action(np.full(9, 20.0)), units.action_high)
    np.testing.assert_array_equal(units.state(np.full(9, -20.0)), units.state_low)
    assert (units.state_low <= units.action_low).all()
    assert (units.state_high >= units.action_high).all()


def test_units_of_velocities():
    """90 of ``theta.vel`` are a quarter turn a second in degrees, and in LeRobot's legacy too."""
    for name, turning in (("degrees", 90.0), ("normalized", 90.0), ("radians", np.pi / 2)):
        values = np.append(np.zeros(ARM_JOINTS), [0.2, -0.1, turning])
        si = UNIT_SYSTEMS[name].to_si(values)[ARM_JOINTS:]
        np.testing.assert_allclose(si, [0.2, -0.1, np.pi / 2])


@pytest.mark.parametrize("item", ITEM_ORDER)
def test_frozen_states_are_what_the_generator_gives(item):
    """The committed file equals its recipe, its hash is the pinned one, and no two rows agree."""
    frozen = Shopping.frozen[item]
    assert hashlib.sha256(frozen.generate().encode()).hexdigest() == frozen.sha256
    states = frozen.load()
    assert len(states) == 200
    assert len({tuple(state.values()) for state in states}) == 200
    for state in states:
        base = [state[f"base_{field}"] for field in ("x_m", "y_m", "yaw_rad")]
        assert (np.abs(base) <= [0.05, 0.08, 0.2]).all()
        across = sorted(state[f"{name}_y_m"] for name in ITEM_ORDER)
        np.testing.assert_allclose(across, [-0.13, 0.0, 0.13], atol=0.02)


def test_each_task_has_states_of_its_own():
    """No two tasks share their draws, and each item comes to stand in each lane."""
    assert len({frozen.sha256 for frozen in Shopping.frozen.values()}) == len(Shopping.frozen)
    for frozen in Shopping.frozen.values():
        lanes = [round(state[f"{frozen.item}_y_m"] / 0.13) for state in frozen.load()]
        assert min(lanes.count(lane) for lane in (-1, 0, 1)) >= 50


def test_changed_states_are_refused():
    """A file that is not the frozen one is never used."""
    other = dataclasses.replace(Shopping.frozen["salt"], sha256="0" * 64)
    with pytest.raises(RuntimeError, match="was changed"):
        other.load()


def test_catalogue_and_items_agree(env):
    """The catalogue, which loads no simulator, knows the items, and the model has them."""
    (suite,) = suites()
    tasks = [task for task in suite.tasks if "item" in task.kwargs]
    assert [task.kwargs["item"] for task in tasks] == list(ITEMS) == list(Shopping.frozen)
    for task, item in zip(tasks, ITEMS.values(), strict=True):
        assert item.phrase in task.instruction
        assert env.model.body(item.name).id > 0


def test_robot_weighs_what_the_real_one_does(env):
    """Base and arm together: 2.8 kg, not the 17 of the CAD's solid metal."""
    chassis = env.model.body("chassis").id
    robot = env.model.body_rootid == chassis
    assert env.model.body_mass[robot].sum() == pytest.approx(2.2 + 0.632, abs=2e-3)


def test_arm_is_the_so101s(env):
    """Joints, limits and servos are those of the table-top arm."""
    model = env.model
    for name in JOINT_NAMES:
        assert model.actuator(name).forcerange[1] == (1.5 if name == "gripper" else 2.94)
    ranges = np.array([model.joint(name).range for name in JOINT_NAMES])
    np.testing.assert_allclose(
        to_units(ranges[:, 0]), UNIT_SYSTEMS["degrees"].action_low[:6], atol=1e-4
    )


def test_everything_in_the_model_has_a_name(env):
    """Whoever looks at a contact or a picture can say what is in it."""
    model = env.model
    assert all(model.geom(index).name for index in range(model.ngeom))
    assert all(model.body(index).name for index in range(model.nbody))
    assert all(model.joint(index).name for index in range(model.njnt))


def test_physics_are_the_ones_that_hold_items(env):
    """Settings on which the friction grip depends; no welds, no other constraints."""
    option = env.model.opt
    assert option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    assert option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert (option.impratio, option.iterations, option.noslip_iterations) == (10.0, 20, 4)
    assert option.timestep * 10 == pytest.approx(1 / 30)
    assert env.model.neq == 0


def test_doctor_finds_this_machine_well():
    """The check passes where the tests run."""
    assert [(name, ok) for name, ok, _, _ in doctor.checks()] == [("lekiwi: rendering", True)]


@pytest.mark.parametrize(
    "kwargs", [{"image_size": 0}, {"render_mode": "film"}, {"units": "ticks"}, {"item": "tea"}]
)
def test_bad_arguments_are_refused(kwargs):
    """The error names the argument."""
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        Shopping(**kwargs)


def test_misspelt_reset_option_is_refused(env):
    """An option that would be ignored is an error that names the right one."""
    with pytest.raises(ValueError, match="did you mean 'init_state'"):
        env.reset(options={"init_stat": 3})


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_catalogue_loads_no_simulator():
    """Listing the tasks imports neither mujoco nor OpenGL."""
    loaded = _run(
        "import sys, vla_eval_envs, vla_eval_envs.lekiwi.catalog as c; c.suites();"
        "print([m for m in ('mujoco', 'OpenGL') if m in sys.modules])"
    )
    assert loaded == "[]"


def test_missing_mujoco_names_the_extra():
    """Without mujoco the doctor says what to install."""
    message = _run(
        "import sys; sys.modules['mujoco'] = None\n"
        "from vla_eval_envs.lekiwi import doctor\nprint(doctor.checks())"
    )
    assert "lekiwi: mujoco" in message
    assert "the extra 'so101'" in message
