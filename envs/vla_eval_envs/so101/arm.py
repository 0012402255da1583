"""Parameters of the SO-101 follower arm: links, joints, servos and collision shapes.

At joint zero every body frame is parallel to the base frame, except the frames of gripper and jaw:
their z axis points back along the fingers, their x axis from the fixed jaw to the moving jaw.

Sources. Positions, masses, inertias: TheRobotStudio/SO-ARM100, ``so101_new_calib`` (Apache-2.0),
turned into these frames and rounded to 0.1 um. Gains, damping, armature: the same
project's identified STS3215 servo. Faces of the jaws: measured on its printed parts. The upstream
model uses convex hulls of meshes for collisions. The palm's hull fills the space between the jaws, so
nothing can be gripped. Here the jaws are boxes that follow the real inner faces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.units import ACTION_HIGH, ACTION_LOW, JOINT_NAMES, to_radians

__all__ = ["FIXED_JAW", "LINKS", "MOVING_JAW", "Link", "add_arm", "jaw_geom_names"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Link:
    """A rigid part of the arm and the hinge that carries it."""

    name: str
    position: Triple
    """Position of the link's frame in the parent's frame, m."""
    mass: float
    """Mass in kg."""
    centre_of_mass: Triple
    """Centre of mass in the link's frame, m."""
    inertia: tuple[float, float, float, float, float, float]
    """Inertia xx, yy, zz, xy, xz, yz about the centre of mass, kg m^2."""
    joint: str = ""
    """Name of the hinge; empty for the base, which is fixed to the table."""
    axis: Triple = (0.0, 0.0, 1.0)
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Orientation of the link's frame in the parent's frame at joint zero, w x y z."""
    bumper: tuple[Triple, Triple] | None = None
    """Centre and half sizes (m) of the link's collision box."""


# The wrist's roll zero is the middle of its servo, 2.79 degrees from the upright hand.
_HAND_QUATERNION = (0.70689734, 0.01720911, -0.70689734, -0.01720911)

LINKS = (
    Link(
        "base", (0.0, 0.0, 0.0), 0.147, (0.0137179, -5.2e-05, 0.0334843),
        (0.000114686, 0.000136117, 0.000130364, -4.598e-07, 4.9715e-06, 9.75e-08),
    ),
    Link(
        "shoulder", (0.0388353, 0.0, 0.0624), 0.100006, (0.0307604, -1.67e-05, 0.0252713),
        (8.3759e-05, 8.10403e-05, 2.39783e-05, -7.56e-08, -1.1634e-06, -1.547e-07),
        joint="shoulder_pan", axis=(0.0, 0.0, -1.0),
    ),
    Link(
        "upper_arm", (0.0303992, -0.0182778, 0.0542), 0.103, (0.0083822, 0.0184089, 0.0898471),
        (0.000147318, 0.000142487, 4.08002e-05, -9e-09, -1.97819e-05, 4.03e-08),
        joint="shoulder_lift", axis=(0.0, 1.0, 0.0),
        bumper=((0.004, 0.0183, 0.062), (0.014, 0.026, 0.055)),
    ),
    Link(
        "lower_arm", (0.028, 0.0, 0.11257), 0.104, (0.0980701, 0.0182831, 0.0032438),
        (2.87438e-05, 0.00014529, 0.000159844, -1.2641e-06, -7.4115e-06, -4.9e-08),
        joint="elbow_flex", axis=(0.0, 1.0, 0.0),
        bumper=((0.066, 0.0183, 0.002), (0.055, 0.026, 0.014)),
    ),
    Link(
        "wrist", (0.1349, 0.0, 0.0052), 0.079, (0.0386143, 0.0281156, 0.0001033),
        (2.5391e-05, 2.1e-05, 3.68263e-05, -3.6412e-06, 1.79e-08, 5.28e-08),
        joint="wrist_flex", axis=(0.0, 1.0, 0.0),
        bumper=((0.026, 0.0200, 0.001), (0.030, 0.026, 0.016)),
    ),
    Link(
        "gripper", (0.0611, 0.0181, 0.0), 0.087, (0.0002136, 0.0002451, -0.025187),
        (2.75087e-05, 4.33657e-05, 3.45059e-05, -3.352e-07, -5.7352e-06, -5.18e-08),
        joint="wrist_roll", axis=(0.0, 0.0, 1.0), quaternion=_HAND_QUATERNION,
        bumper=((0.0, 0.0, -0.020), (0.026, 0.021, 0.019)),
    ),
    Link(
        "moving_jaw", (0.0202, 0.0188, -0.0234), 0.012, (-0.001575, -0.0300244, 0.0192755),
        (6.6143e-06, 1.8903e-06, 5.2874e-06, -3.198e-07, -5.9e-09, -1.099e-07),
        joint="gripper", axis=(0.0, 0.0, 1.0), quaternion=(0.70710678, 0.70710678, 0.0, 0.0),
    ),
)  # fmt: skip

# Servo: position gains, N m / rad and N m s / rad; at 998 the force saturates 0.17 degrees off the
# target, so the arm is a force-limited tracker whose speed limit is force / damping = 4.9 rad/s.
_STIFFNESS, _DAMPING_GAIN = 998.22, 2.731
_ARM_TORQUE_NM = 2.94  # stall torque of an STS3215 at 12 V
_GRIPPER_TORQUE_NM = 1.5  # LeRobot halves the gripper's torque limit; about 15 N at the fingertip
# The servos' dry friction, 0.052 N m, is left out. At this stiffness its effect is 0.003 degrees, and
# as a constraint that is always active it would make a step a sixth slower.
_JOINT_DAMPING, _JOINT_ARMATURE = 0.60, 0.028
# The roll servo turns further in one direction than a command may ask for (degrees).
_ROLL_STOP_DEG = 162.8

_JAW_HALF_THICKNESS = 0.003
# One box of a jaw: position of its inner face (x), its span along the finger, and its half width.
# Fixed jaw: x and z in the gripper's frame. Moving jaw: x and y in its own frame.
FIXED_JAW = (
    (-0.0079, (-0.104, -0.089), 0.006),
    (-0.0099, (-0.089, -0.083), 0.008),
    (-0.0116, (-0.083, -0.059), 0.009),
    (-0.0133, (-0.059, -0.041), 0.010),
)
MOVING_JAW = (
    (-0.0123, (-0.082, -0.071), 0.006),
    (-0.0103, (-0.071, -0.060), 0.008),
    (-0.0083, (-0.060, -0.026), 0.009),
)
_MOVING_JAW_MIDDLE_Z = 0.0189
_COLLISION_GROUP = 3  # not rendered by default


def jaw_geom_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the collision boxes of the fixed and of the moving jaw."""
    fixed = tuple(f"fixed_jaw_{i}" for i in range(len(FIXED_JAW)))
    moving = tuple(f"moving_jaw_{i}" for i in range(len(MOVING_JAW)))
    return fixed, moving


def add_arm(spec: mujoco.MjSpec) -> None:
    """Add the arm's bodies, joints, collision boxes and servos, with its base at the origin."""
    parent = spec.worldbody
    for link in LINKS:
        parent = _add_link(parent, link)
    _add_jaws(spec)
    for name, low, high in zip(
        JOINT_NAMES, to_radians(ACTION_LOW), to_radians(ACTION_HIGH), strict=True
    ):
        torque = _GRIPPER_TORQUE_NM if name == "gripper" else _ARM_TORQUE_NM
        spec.add_actuator(
            name=name,
            target=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=[_STIFFNESS] + [0.0] * 9,
            biasprm=[0.0, -_STIFFNESS, -_DAMPING_GAIN] + [0.0] * 7,
            ctrlrange=[low, high],
            forcerange=[-torque, torque],
        )


def _add_link(parent: mujoco.MjsBody, link: Link) -> mujoco.MjsBody:
    body = parent.add_body(
        name=link.name,
        pos=link.position,
        quat=link.quaternion,
        mass=link.mass,
        ipos=link.centre_of_mass,
        fullinertia=link.inertia,
        explicitinertial=True,
    )
    if link.joint:
        body.add_joint(
            name=link.joint,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=link.axis,
            range=_joint_range(link.joint),
            limited=True,
            damping=_JOINT_DAMPING,
            armature=_JOINT_ARMATURE,
        )
    if link.bumper is not None:
        centre, half_sizes = link.bumper
        body.add_geom(
            name=f"{link.name}_bumper",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            size=half_sizes,
            mass=0.0,
            group=_COLLISION_GROUP,
        )
    return body


def _joint_range(joint: str) -> tuple[float, float]:
    """Return a hinge's end stops in radians."""
    index = JOINT_NAMES.index(joint)
    low, high = to_radians(ACTION_LOW)[index], to_radians(ACTION_HIGH)[index]
    return float(low), float(np.deg2rad(_ROLL_STOP_DEG)) if joint == "wrist_roll" else float(high)


def _add_jaws(spec: mujoco.MjSpec) -> None:
    fixed, moving = jaw_geom_names()
    for name, (face, (start, end), half_width) in zip(fixed, FIXED_JAW, strict=True):
        centre = (face - _JAW_HALF_THICKNESS, 0.0, (start + end) / 2)
        _add_jaw_box(
            spec.body("gripper"), name, centre, (_JAW_HALF_THICKNESS, half_width, (end - start) / 2)
        )
    for name, (face, (start, end), half_width) in zip(moving, MOVING_JAW, strict=True):
        centre = (face + _JAW_HALF_THICKNESS, (start + end) / 2, _MOVING_JAW_MIDDLE_Z)
        _add_jaw_box(
            spec.body("moving_jaw"),
            name,
            centre,
            (_JAW_HALF_THICKNESS, (end - start) / 2, half_width),
        )


def _add_jaw_box(body: mujoco.MjsBody, name: str, centre: Triple, half_sizes: Triple) -> None:
    """Add one box of a jaw, with torsional friction and stiffer contacts than MuJoCo's default.

    The default (solref 0.02 1, solimp .9 .95) lets a held object sink in by millimetres.
    """
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=centre,
        size=half_sizes,
        mass=0.0,
        group=_COLLISION_GROUP,
        condim=4,
        priority=1,
        friction=[1.0, 0.05, 0.002],
        solref=[0.01, 1.0],
        solimp=[0.95, 0.99, 0.001, 0.5, 2.0],
    )
