"""The LIBERO expert's geometry, without a simulator: grasps, places, ways, the arm's model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval_policies.experts.libero import expert as libero_expert
from vla_eval_policies.experts.libero.arm import PandaArm, PandaHand, turn_between
from vla_eval_policies.experts.libero.grasps import nearer, plan_grasp, yaws
from vla_eval_policies.experts.libero.gripper import MAX_WIDTH_M, facing, hand_points, top_down
from vla_eval_policies.experts.libero.places import (
    Ground,
    find_spot,
    find_way_out,
    unique_cells,
    way_heights,
)
from vla_eval_policies.experts.libero.scene import Pose

HOME = Pose(np.array([0.0, 0.0, 0.4]), top_down(0.0))


def box(centre, half, step=0.004) -> np.ndarray:
    """Return points on a box's faces."""
    half = np.asarray(half, dtype=float)
    parts = []
    for axis in range(3):
        u, v = (i for i in range(3) if i != axis)
        grids = [np.arange(-half[i], half[i] + 1e-9, step) for i in (u, v)]
        for sign in (-1, 1):
            face = np.zeros((len(grids[0]) * len(grids[1]), 3))
            face[:, u], face[:, v] = (grid.ravel() for grid in np.meshgrid(*grids))
            face[:, axis] = sign * half[axis]
            parts.append(face)
    return np.concatenate(parts) + centre


def ring(radius, height, step=0.003) -> np.ndarray:
    """Return points on an upright tube around the origin, standing on z = 0."""
    angles = np.arange(0, 2 * np.pi, step / radius)
    heights = np.arange(0, height + 1e-9, step)
    angle, z = (grid.ravel() for grid in np.meshgrid(angles, heights))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


TABLE = box([0.0, 0.0, -0.01], [0.3, 0.3, 0.01], step=0.01)


def test_a_box_is_held_across_its_short_side_at_its_middle():
    """The fingers close along the side that fits between them."""
    bar = box([0.0, 0.0, 0.02], [0.06, 0.02, 0.02])
    hand = Pose(HOME.position, top_down(1.3))
    grasp = plan_grasp(bar, TABLE, hand, rotations=yaws())
    assert grasp is not None
    assert abs(grasp.pose.rotation[1, 0]) > 0.9
    assert np.linalg.norm(grasp.closed[:2]) < 0.015


def test_a_wide_ring_is_held_by_its_rim():
    """What does not fit between the fingers has a wall that does."""
    wide = ring(0.06, 0.05)
    grasp = plan_grasp(wide, TABLE, HOME, rotations=yaws())
    assert grasp is not None
    assert np.hypot(*grasp.closed[:2]) == pytest.approx(0.06, abs=0.012)
    assert grasp.width < MAX_WIDTH_M


def test_a_rim_is_not_squeezed_out():
    """Across an arc's chord both sides fall away, and it would slip; a bar as wide is held."""
    across = [top_down(np.pi / 2)]
    whole = ring(0.045, 0.05)
    arc = whole[whole[:, 0] < -0.035]
    assert plan_grasp(arc, TABLE, HOME, rotations=across) is None
    bar = box([-0.04, 0.0, 0.025], [0.005, 0.028, 0.025])
    assert plan_grasp(bar, TABLE, HOME, rotations=across) is not None


def test_nothing_foreign_is_between_the_fingers():
    """With a wall beside it, a bar is never held together with that wall."""
    bar = box([0.0, 0.0, 0.02], [0.06, 0.012, 0.02])
    wall = box([0.0, 0.030, 0.02], [0.06, 0.002, 0.02])
    grasp = plan_grasp(bar, np.concatenate([TABLE, wall]), HOME, rotations=[top_down(np.pi / 2)])
    assert grasp is None
    loose = plan_grasp(
        bar, np.concatenate([TABLE, wall]), HOME, rotations=[top_down(np.pi / 2)], loose=True
    )
    assert loose is not None


def test_what_is_too_large_or_walled_in_has_no_grasp():
    """A block wider than the open hand, taken square."""
    block = box([0.0, 0.0, 0.05], [0.08, 0.08, 0.05])
    square = [top_down(0.0), top_down(np.pi / 2)]
    assert plan_grasp(block, TABLE, HOME, rotations=square) is None


def test_failed_grasps_are_avoided():
    """The second plan is somewhere else."""
    wide = ring(0.06, 0.05)
    first = plan_grasp(wide, TABLE, HOME, rotations=yaws())
    second = plan_grasp(wide, TABLE, HOME, rotations=yaws(), avoid=[first.pose.position])
    assert np.linalg.norm(second.pose.position - first.pose.position) > 0.02


def test_a_grasp_is_chosen_with_what_comes_after_in_mind():
    """The cost decides between two sides of a ring that are equally good to hold."""
    wide = ring(0.06, 0.05)
    rotations = [top_down(0.0)]
    left = plan_grasp(wide, TABLE, HOME, rotations=rotations, cost=lambda p: p.position[0])
    right = plan_grasp(wide, TABLE, HOME, rotations=rotations, cost=lambda p: -p.position[0])
    assert left.closed[0] < -0.03
    assert right.closed[0] > 0.03


def spot(held, scene, *, freedom=(0.0, 0.0), hand=None, outwards=False):
    """Return where to put a thing that is held at the origin."""
    hand = HOME.position + hand_points() @ HOME.rotation.T if hand is None else hand
    return find_spot(
        held,
        hand,
        Ground(scene, np.array([0.1, 0.0]), 0.4),
        origin=np.array([0.0, 0.0, 0.3]),
        centre=np.array([0.1, 0.0, 0.0]),
        axes=np.eye(2),
        freedom=np.array(freedom),
        outwards=outwards,
    )


def test_things_are_put_on_what_is_there():
    """The lowest point ends just above the table; with a box there, just above the box."""
    held = box([0.0, 0.0, 0.3], [0.02, 0.02, 0.02])
    assert 0.0 < spot(held, TABLE).height < 0.01
    crate = box([0.1, 0.0, 0.03], [0.05, 0.05, 0.03])
    placed = spot(held, np.concatenate([TABLE, crate]))
    assert 0.06 < placed.height < 0.07
    assert placed.shift[:2] == pytest.approx([0.1, 0.0])


def test_a_free_place_is_better_than_a_heap():
    """Where a region leaves room, a thing is put beside what is there already."""
    held = box([0.0, 0.0, 0.3], [0.02, 0.02, 0.02])
    other = box([0.1, 0.0, 0.03], [0.015, 0.015, 0.03])
    placed = spot(held, np.concatenate([TABLE, other]), freedom=(0.08, 0.08))
    assert placed.height < 0.01
    assert np.linalg.norm(placed.shift[:2] - [0.1, 0.0]) > 0.03


def test_who_is_followed_leaves_the_middle_free():
    """What shares its region with something that comes later goes to the region's edge."""
    held = box([0.0, 0.0, 0.3], [0.02, 0.02, 0.02])
    alone = spot(held, TABLE, freedom=(0.06, 0.06))
    first = spot(held, TABLE, freedom=(0.06, 0.06), outwards=True)
    assert np.linalg.norm(alone.shift[:2] - [0.1, 0.0]) < 0.01
    assert np.abs(first.shift[:2] - [0.1, 0.0]) == pytest.approx([0.06, 0.06])


def test_ways_are_above_what_stands_between():
    """A tower half way lifts both ends of the way; one that is far aside lifts neither."""
    start, end = np.array([-0.2, 0.0, 0.05]), np.array([0.2, 0.0, 0.05])
    low = way_heights(TABLE, start, end, width=0.05, clear=0.03)
    tower = box([0.0, 0.0, 0.1], [0.02, 0.02, 0.1])
    high = way_heights(np.concatenate([TABLE, tower]), start, end, width=0.05, clear=0.03)
    far = np.concatenate([TABLE, box([0.0, 0.2, 0.1], [0.02, 0.02, 0.1])])
    aside = way_heights(far, start, end, width=0.05, clear=0.03)
    assert max(high) > 0.22 > max(low)
    assert aside == pytest.approx(low)


def test_a_wall_before_the_end_is_met_on_the_way_up():
    """What leads up to the end of a way, such as a basket's wall, is passed above, not through."""
    start, end = np.array([-0.1, 0.0, 0.03]), np.array([0.1, 0.0, 0.12])
    wall = box([0.03, 0.0, 0.05], [0.003, 0.1, 0.05])
    over, up = way_heights(np.concatenate([TABLE, wall]), start, end, width=0.1, clear=0.03)
    before = (0.03 - 0.05 - start[0]) / 0.2
    assert up + before * (over - up) > 0.1 + 0.03 - 1e-6


def test_what_is_under_a_shelf_comes_out_sideways():
    """The way out is clear of the shelf; where nothing is above, there is no need to move."""
    held = box([0.0, 0.0, 0.05], [0.02, 0.02, 0.02])
    fingers = np.array([[0.0, 0.0, 0.08]])
    shelf = box([-0.05, 0.0, 0.3], [0.1, 0.2, 0.005])
    out = find_way_out(held, fingers, np.concatenate([TABLE, shelf]))
    assert out[0] > 0.06
    assert out[2] == pytest.approx(0.05)
    assert not find_way_out(held, fingers, TABLE).any()


def test_what_is_low_is_passed_over_on_the_way_out():
    """A kerb that would be touched at the height of the held thing is not, a little further up."""
    held = box([0.0, 0.0, 0.05], [0.02, 0.02, 0.02])
    fingers = np.array([[0.0, 0.0, 0.08]])
    shelf = box([0.0, 0.0, 0.3], [0.15, 0.06, 0.005])
    kerbs = [box([0.0, side * 0.05, 0.02], [0.15, 0.005, 0.025]) for side in (-1, 1)]
    out = find_way_out(held, fingers, np.concatenate([TABLE, shelf, *kerbs]))
    assert abs(out[1]) > 0.06


def test_the_fingers_may_be_swapped():
    """The nearer of an orientation and its half turn is taken: never more than 90° about z."""
    hand = top_down(0.1)
    for yaw in np.linspace(0, np.pi, 9):
        assert np.linalg.norm(turn_between(hand, nearer(top_down(yaw), hand))) <= np.pi / 2 + 1e-9


def test_facing_is_a_rotation():
    """Right-handed and orthonormal; z is the approach."""
    rotation = facing(np.array([1.0, 0.0, -2.0]), np.array([0.3, 1.0, 0.0]))
    assert rotation.T @ rotation == pytest.approx(np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert rotation[:, 2] == pytest.approx(np.array([1.0, 0.0, -2.0]) / np.sqrt(5))


def test_the_arm_s_feedback_reaches_a_pose_and_stays():
    """In its own model the hand arrives within 40 steps, with actions inside their bounds."""
    arm = PandaArm(np.eye(6))
    hand = PandaHand(HOME, np.zeros(6))
    goal = Pose(np.array([0.2, -0.1, 0.3]), top_down(1.0))
    for _ in range(40):
        action = arm.towards(hand, goal, 1.0)
        assert np.abs(action).max() <= 1.0 + 1e-9
        hand = arm.after(hand, action)
    assert np.linalg.norm(hand.pose.position - goal.position) < 0.002
    assert np.linalg.norm(turn_between(hand.pose.rotation, goal.rotation)) < 0.01
    assert np.linalg.norm(hand.velocity) < 0.02


@pytest.mark.parametrize(
    ("able", "asked"), [((), ["a", "b"]), (("b",), ["a", "b"] * 12), (("a",), ["a"] * 12)]
)
def test_the_expert_gives_up_where_there_is_nothing_to_do(monkeypatch, able, asked):
    """A goal that nothing can be done about is left for the next one; without any, all is over."""
    tried = []

    def achieve(_scene, goal):
        tried.append(goal[1])
        if goal[1] in able:
            yield ["moves"]

    scene = SimpleNamespace(goals=[("on", "a", "p"), ("on", "b", "p")], holds=lambda _goal: False)
    monkeypatch.setattr(libero_expert, "_achieve", achieve)
    list(libero_expert._script(scene))
    assert tried == asked


def test_cells_are_those_of_numpy():
    """The same order and the same inverse, negative numbers too."""
    places = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 2))
    cells, which = np.unique(np.round(places / 0.008).astype(int), axis=0, return_inverse=True)
    mine, where = unique_cells(places, 0.008)
    assert np.array_equal(mine, cells)
    assert np.array_equal(where, which.ravel())
