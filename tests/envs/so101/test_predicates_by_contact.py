"""Grasp and delivery from made-up contacts: each condition alone, on either side of its bound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101 import predicates
from vla_eval_envs.so101.arm import jaw_geom_names
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.predicates import (
    DeliveryDetector,
    GraspDetector,
    PlacementDetector,
    StackDetector,
    lowest_point,
)

FIXED, MOVING = (names[0] for names in jaw_geom_names())


@pytest.fixture(scope="module")
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=8)
    made.reset(options={"init_state": 0})
    yield made
    made.close()


class Contacts(list):
    """Contacts as MuJoCo lists them, each with its normal and its normal force."""

    @property
    def geom(self) -> np.ndarray:
        return np.array([contact.geom for contact in self]).reshape(-1, 2)


def touch(model, first: str, second: str, force: float, normal=(1.0, 0.0, 0.0)):
    """One contact; its normal points from the first geom to the second."""
    geoms = (model.geom(first).id, model.geom(second).id)
    return SimpleNamespace(geom=geoms, force=force, frame=np.array([*normal, 9, 9, 9, 9, 9, 9]))


@pytest.fixture
def pressed(env, monkeypatch):
    """Whether a grasp's two jaws press, for some contacts."""

    def force(_model, data, index, wrench):
        wrench[:] = [data.contact[index].force, 7, 7, 7, 7, 7]

    monkeypatch.setattr(predicates.mujoco, "mj_contactForce", force)
    detector = GraspDetector(env.model, "block")

    def ask(*contacts) -> bool:
        made = Contacts(touch(env.model, *contact) for contact in contacts)
        return detector.pressed(SimpleNamespace(contact=made))

    return ask


def turned(cosine: float) -> tuple[float, float, float]:
    return cosine, math.sqrt(1 - cosine**2), 0.0


def test_jaws_press_from_opposing_sides(pressed):
    """In whichever order the two geoms of a contact stand, the forces are those on the object."""
    left, right = (FIXED, "block", 1.0), ("block", MOVING, 1.0)
    assert pressed(left, ("block", MOVING, 1.0, (1, 0, 0))) is True
    assert pressed(("block", FIXED, 1.0), (MOVING, "block", 1.0)) is True
    assert not pressed(left, (MOVING, "block", 1.0)), "both from one side"
    assert not pressed(("block", FIXED, 1.0), right), "both from one side"
    assert pressed((FIXED, "block", 1.0), (MOVING, "block", 1.0, (-1, 0, 0)))


@pytest.mark.parametrize(("force", "holds"), [(0.19, False), (0.21, True)])
def test_each_jaw_presses_with_two_tenths_of_a_newton(pressed, force, holds):
    """The weaker jaw decides; several small contacts of one jaw add up."""
    assert pressed((FIXED, "block", force), ("block", MOVING, 5.0)) == holds
    assert pressed((FIXED, "block", 5.0), ("block", MOVING, force)) == holds
    parts = [(FIXED, "block", force / 2)] * 2
    assert pressed(*parts, ("block", MOVING, 5.0)) == holds


def test_other_contacts_do_not_press(pressed):
    """Neither the table under the object, nor a jaw on the table, nor one jaw alone."""
    jaw = (FIXED, "block", 1.0)
    assert not pressed(jaw)
    assert not pressed(jaw, ("block", "table", 5.0))
    assert not pressed(jaw, (MOVING, "table", 5.0))
    assert not pressed()
    assert pressed(jaw, ("block", "table", 50.0, (0, 0, -1)), ("block", MOVING, 1.0))


@pytest.mark.parametrize(("cosine", "holds"), [(-0.31, True), (-0.29, False), (0.3, False)])
def test_the_angle_between_the_jaws_decides(pressed, cosine, holds):
    """The size of the forces does not: 3 N against 0.5 N at the same angle."""
    for strong, weak in ((3.0, 0.5), (0.5, 3.0), (1.0, 1.0)):
        assert pressed((FIXED, "block", strong), (MOVING, "block", weak, turned(cosine))) == holds


def test_a_grasp_lasts_five_steps_in_a_row(env, monkeypatch):
    """A step on the way down, or without pressing, begins the count anew; so does a reset."""
    detector = GraspDetector(env.model, "block")
    height, holds = 0.0, True
    monkeypatch.setattr(GraspDetector, "_height", lambda self, data: height)
    monkeypatch.setattr(GraspDetector, "pressed", lambda self, data: holds)
    detector.reset(env.data)
    height = 0.0199
    assert not any(detector.update(env.data) for _ in range(9))
    height = 0.0201
    assert [detector.update(env.data) for _ in range(6)] == [False] * 4 + [True] * 2
    holds = False
    assert not detector.update(env.data)
    holds = True
    assert [detector.update(env.data) for _ in range(5)] == [False] * 4 + [True]
    detector.reset(env.data)
    assert not detector.update(env.data), "the height at the start is that of now"
    detector.reset(env.data)
    height = 0.0402
    assert [detector.update(env.data) for _ in range(5)] == [False] * 4 + [True]


class Anywhere(DeliveryDetector):
    """A goal that is everywhere."""

    def _at_goal(self, data) -> bool:
        return data.there


class Still(Anywhere):
    """A goal at which the object must not turn, either."""

    steps_needed = 3
    max_spin_radps = 0.5


@pytest.mark.parametrize(
    ("detector", "moving", "turning", "needed"),
    [
        (Anywhere, (0.03, 0.0, 0.0399), (9, 9, 9), 10),
        (Anywhere, (0.0, -0.03, 0.0401), (0, 0, 0), None),
        (Still, (0.0, 0.0, 0.0), (0.3, -0.399, 0.0), 3),
        (Still, (0.0, 0.0, 0.0), (0.0, 0.3, 0.401), None),
    ],
)
def test_an_object_rests_below_its_speeds(env, detector, moving, turning, needed):
    """All three directions count: 5 cm/s, and half a radian a second where turning matters."""
    made = detector(env.model, "block")
    speeds = np.full(env.model.nv, 8.0)
    dof = int(env.model.joint("block").dofadr[0])
    speeds[dof : dof + 6] = [*moving, *turning]
    data = SimpleNamespace(qvel=speeds, there=True)
    seen = [made.update(data) for _ in range(12)]
    assert seen.count(True) == (0 if needed is None else 13 - needed)
    assert seen == sorted(seen)
    data.there = False
    assert not made.update(data)
    data.there = True
    assert made.update(data) is (needed == 1)
    made.reset()
    assert [made.update(data) for _ in range(12)] == seen


def test_released_means_that_no_part_of_the_arm_touches_it(env):
    """Either geom of a contact may be the object's; other things may touch it in the box."""
    boxes = [SimpleNamespace(contains=lambda place, said=said: said) for said in (False, True)]
    detector = PlacementDetector(env.model, "block", *boxes)

    def at_goal(*contacts: tuple[str, str]) -> bool:
        made = Contacts(touch(env.model, *contact, 1.0) for contact in contacts)
        return detector._at_goal(SimpleNamespace(contact=made, xpos=env.data.xpos))

    assert at_goal()
    assert at_goal(("table", "block"), (FIXED, "table"))
    for pair in ((FIXED, "block"), ("block", MOVING)):
        assert not at_goal(pair)
    nowhere = PlacementDetector(env.model, "block", boxes[0])
    assert not nowhere._at_goal(SimpleNamespace(contact=Contacts(), xpos=env.data.xpos))


def test_stacked_means_on_nothing_else(env):
    """On what it is to lie on, whichever geom comes first; not in the air, not beside it."""
    hand = env.model.body(env.model.geom(MOVING).bodyid[0]).name
    detector, support = StackDetector(env.model, "block", [hand]), MOVING

    def at_goal(*contacts: tuple[str, str]) -> bool:
        made = Contacts(touch(env.model, *contact, 1.0) for contact in contacts)
        return detector._at_goal(SimpleNamespace(contact=made))

    assert at_goal(("block", support)) is True
    assert at_goal((support, "block"), (FIXED, "table")) is True
    assert at_goal() is False
    assert at_goal(("block", "table")) is False
    assert at_goal(("block", support), ("table", "block")) is False


def test_the_lowest_point_of_a_turned_solid():
    """A box of unequal edges and a cylinder, turned about two axes, against their corners and rims."""
    spec = mujoco.MjSpec()
    turn = np.array([0.8, 0.4, -0.4, 0.2])
    for name, kind, size in (
        ("box", mujoco.mjtGeom.mjGEOM_BOX, [0.1, 0.2, 0.3]),
        ("can", mujoco.mjtGeom.mjGEOM_CYLINDER, [0.1, 0.3, 0.0]),
    ):
        body = spec.worldbody.add_body(name=name, pos=[0, 0, 2.0], quat=turn / np.linalg.norm(turn))
        body.add_freejoint()
        body.add_geom(name=name, type=kind, size=size)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    matrix = data.geom("box").xmat.reshape(3, 3)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T
    corners = signs * [0.1, 0.2, 0.3] @ matrix.T
    assert lowest_point(model, data, 0) == pytest.approx(2.0 + corners[:, 2].min())
    angles = np.linspace(0, 2 * np.pi, 100_000)
    rim = np.stack([0.1 * np.cos(angles), 0.1 * np.sin(angles), np.full_like(angles, 0.3)], 1)
    heights = np.concatenate([rim @ matrix.T, -rim @ matrix.T])[:, 2]
    assert lowest_point(model, data, 1) == pytest.approx(2.0 + heights.min(), abs=1e-6)
