"""The driving base: planar joints, servos for its velocity, plates and wheels, three cameras.

Two slides and a hinge move the base over the floor. The velocity servos act in the base's own frame.
The wheels are only visual. Their rollers are not modelled: they would add degrees of freedom, and
contact chatter, which causes slip that we cannot calibrate.

Sources. Plates, wheels, mount of the arm and front camera: LeKiwi's URDF (Apache-2.0), rounded to
1 mm; its masses are those of solid metal, so this model has 2.2 kg, about the mass of the printed
parts, servos and battery. Gains: with 200 N s/m and 8 N m s a commanded velocity is reached in one
control step, and swinging the arm moves the base by less than 1 mm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_eval_envs.manipulation.appearance import Shape, add_material, add_part
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.arm import add_arm
from vla_eval_envs.so101.shell import add_shell

__all__ = ["ARM_MOUNT", "CAMERA_NAMES", "DRIVE_JOINTS", "add_robot"]

ARM_MOUNT = (0.0283, 0.0, 0.090)
"""Position of the arm's base frame in the robot's frame, m; the arm's shoulder-pan axis is
67 mm in front of the base's centre."""
DRIVE_JOINTS = ("drive_x", "drive_y", "drive_yaw")
"""Names of the base's joints, along and about the world's axes (m, m, rad), and of its servos, along and
about the base's own axes (control in m/s, m/s, rad/s)."""
CAMERA_NAMES = ("front", "wrist", "top")

_MASS_KG, _MASS_HEIGHT_M = 2.2, 0.06
_INERTIA = (0.010, 0.010, 0.013)  # kg m^2, about x, y, z: a disc of 0.108 m
_ROOM_M = 1.3  # how far the base can drive from the world's origin, along x and along y
_SERVOS = (
    # Name, gear (the axis in the base's frame), gain (N s/m, N m s), force limit (N, N m).
    ("drive_x", (1, 0, 0, 0, 0, 0), 200.0, 60.0),
    ("drive_y", (0, 1, 0, 0, 0, 0), 200.0, 60.0),
    ("drive_yaw", (0, 0, 0, 0, 0, 1), 8.0, 8.0),
)

_PLATE_RADIUS, _PLATE_CUT = 0.108, 0.088  # m; the plates are cut straight at the wheels
_PLATES = (("lower_plate", 0.0295), ("upper_plate", 0.0865))
_WHEELS = (("back", 180.0, 0.126), ("left", 60.0, 0.106), ("right", -60.0, 0.106))
_AXLE_HEIGHT = 0.0508

_BODY_LOOK: tuple[tuple[str, Shape, str, tuple[float, ...], tuple[float, ...]], ...] = (
    # Parts on and between the plates: name, shape, material, centre (m), size (m).
    ("battery", "box", "servo", (-0.030, 0.0, 0.049), (0.040, 0.030, 0.016)),
    ("computer", "box", "board", (0.045, 0.0, 0.040), (0.030, 0.028, 0.004)),
    ("computer_ports", "box", "steel", (0.066, 0.0, 0.050), (0.010, 0.026, 0.006)),
    ("post_0", "z", "steel", (0.078, 0.040, 0.058), (0.004, 0.025)),
    ("post_1", "z", "steel", (0.078, -0.040, 0.058), (0.004, 0.025)),
    ("post_2", "z", "steel", (-0.050, 0.076, 0.058), (0.004, 0.025)),
    ("post_3", "z", "steel", (-0.050, -0.076, 0.058), (0.004, 0.025)),
    ("front_mount", "box", "plate", (0.103, 0.0, 0.046), (0.010, 0.016, 0.013)),
    ("front_housing", "box", "servo", (0.116, 0.0, 0.058), (0.010, 0.017, 0.012)),
    ("front_lens", "x", "lens", (0.1265, 0.0, 0.058), (0.007, 0.0015)),
    ("mast_foot", "box", "plate", (-0.066, 0.0, 0.097), (0.018, 0.024, 0.007)),
)
_MAST_FOOT, _MAST_HEAD = (-0.070, 0.0, 0.100), (-0.200, 0.0, 0.640)
_TOP_CAMERA, _TOP_TILT_DEG = (-0.180, 0.0, 0.640), 45.0


def add_robot(spec: mujoco.MjSpec, look: str) -> None:
    """Add the base with the arm on it, standing at the world's origin and facing +x.

    Args:
        spec: the scene.
        look: appearance of the arm, "primitives" or "meshes"; see
            :func:`vla_eval_envs.so101.shell.add_shell`, which refuses others.
    """
    body = spec.worldbody.add_body(
        name="chassis",
        mass=_MASS_KG,
        ipos=[0.0, 0.0, _MASS_HEIGHT_M],
        inertia=_INERTIA,
        explicitinertial=True,
    )
    _add_joints(body)
    # The approximate collision shape of wheels and plates: as high as the upper plate, and clear of the floor.
    body.add_geom(
        name="chassis_bumper",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0.0, 0.0, 0.050],
        size=[0.120, 0.040, 0.0],
        mass=0.0,
        group=3,
    )
    _add_arm(spec, body, look)
    for name, gear, gain, limit in _SERVOS:
        # Acting on a site without a reference site makes a servo work along the base's own axes; a
        # servo on the joint would work along the world's.
        spec.add_actuator(
            name=name,
            target="drive",
            trntype=mujoco.mjtTrn.mjTRN_SITE,
            gear=gear,
            gaintype=mujoco.mjtGain.mjGAIN_FIXED,
            biastype=mujoco.mjtBias.mjBIAS_AFFINE,
            gainprm=[gain] + [0.0] * 9,
            biasprm=[0.0, 0.0, -gain] + [0.0] * 7,
            forcerange=[-limit, limit],
        )
    _add_look(spec, body)
    _add_cameras(spec, body)


def _add_joints(body: mujoco.MjsBody) -> None:
    body.add_site(name="drive", group=4)
    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    for name, axis in zip(DRIVE_JOINTS[:2], ([1, 0, 0], [0, 1, 0]), strict=True):
        body.add_joint(name=name, type=slide, axis=axis, range=[-_ROOM_M, _ROOM_M], limited=True)
    body.add_joint(name=DRIVE_JOINTS[2], type=hinge, axis=[0, 0, 1])


def _add_arm(spec: mujoco.MjSpec, body: mujoco.MjsBody, look: str) -> None:
    arm = mujoco.MjSpec()
    arm.compiler.degree = False
    add_arm(arm)
    add_shell(arm, look)
    spec.attach(arm, prefix="", frame=body.add_frame(pos=ARM_MOUNT))


def _add_look(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    add_material(spec, "plate", (0.90, 0.90, 0.88), 0.25, 0.35)
    add_material(spec, "tyre", (0.10, 0.10, 0.11), 0.20, 0.20)
    add_material(spec, "hub", (0.80, 0.81, 0.80), 0.30, 0.40)
    _add_plates(spec, body)
    for name, shape, material, centre, size in _BODY_LOOK:
        add_part(body, f"chassis_{name}", shape, material, centre, size)
    for name, bearing, distance in _WHEELS:
        _add_wheel(body, f"{name}_wheel", np.deg2rad(bearing), distance)
    foot, head = np.array(_MAST_FOOT), np.array(_MAST_HEAD)
    lean = _turn_about_y(float(np.arctan2(head[0] - foot[0], head[2] - foot[2])))
    half = float(np.linalg.norm(head - foot)) / 2
    add_part(body, "mast", "box", "steel", (foot + head) / 2, (0.008, 0.008, half), lean)
    tilt = _turn_about_y(np.deg2rad(_TOP_TILT_DEG))
    add_part(body, "top_housing", "box", "servo", (-0.200, 0.0, 0.645), (0.014, 0.024, 0.014), tilt)


def _add_plates(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    """Add two discs that are cut straight at the wheels: meshes, the convex hulls of their corners."""
    bearings = np.linspace(-np.pi, np.pi, 96, endpoint=False)
    wheels = np.deg2rad([bearing for _, bearing, _ in _WHEELS])
    facing = np.cos(bearings[:, None] - wheels).max(axis=1)
    radius = np.minimum(_PLATE_RADIUS, _PLATE_CUT / facing)
    rim = np.stack([radius * np.cos(bearings), radius * np.sin(bearings)], axis=1)
    corners = [[x, y, z] for x, y in rim for z in (-0.0035, 0.0035)]
    spec.add_mesh(name="plate", uservert=np.array(corners).flatten())
    for name, height in _PLATES:
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_MESH,
            meshname="plate",
            material="plate",
            pos=[0.0, 0.0, height],
            mass=0.0,
            contype=0,
            conaffinity=0,
            group=2,
        )


def _add_wheel(body: mujoco.MjsBody, name: str, bearing: float, distance: float) -> None:
    """Add an omni wheel, whose axle points away from the middle, and its servo."""
    out = np.array([np.cos(bearing), np.sin(bearing), 0.0])
    turn = np.array([np.cos(bearing / 2), 0.0, 0.0, np.sin(bearing / 2)])
    axle = _product(turn, _turn_about_y(np.pi / 2))
    height = np.array([0.0, 0.0, _AXLE_HEIGHT])
    for index, (along, radius, half, material) in enumerate(
        (
            (-0.009, 0.0508, 0.0050, "tyre"),
            (0.009, 0.0508, 0.0050, "tyre"),
            (0.0, 0.0440, 0.0130, "hub"),
            (0.0145, 0.0160, 0.0030, "horn"),
        )
    ):
        centre = out * (distance + along) + height
        add_part(body, f"{name}_{index}", "z", material, centre, (radius, half), axle)
    motor = out * (distance - 0.038) + height
    add_part(body, f"{name}_servo", "box", "servo", motor, (0.022, 0.012, 0.014), turn)


def _add_cameras(spec: mujoco.MjSpec, body: mujoco.MjsBody) -> None:
    """Add ``front`` and ``top`` on the base, and ``wrist`` on the hand as on the SO-101."""
    body.add_camera(name="front", pos=[0.130, 0.0, 0.058], quat=_looking(0.0), fovy=60.0)
    body.add_camera(
        name="top", pos=_TOP_CAMERA, quat=_looking(np.deg2rad(_TOP_TILT_DEG)), fovy=72.0
    )
    tilt = np.deg2rad(-28.65) / 2
    spec.body("gripper").add_camera(
        name="wrist", pos=[0.0, 0.04, -0.04], quat=[np.cos(tilt), np.sin(tilt), 0.0, 0.0], fovy=75.0
    )


def _looking(down: float) -> NDArray[np.float64]:
    """Return the orientation (w x y z) of a camera that looks along +x and ``down`` rad below it."""
    right, up = np.array([0.0, -1.0, 0.0]), np.array([np.sin(down), 0.0, np.cos(down)])
    quaternion = np.zeros(4)
    axes = np.stack([right, up, np.cross(right, up)], axis=1)
    mujoco.mju_mat2Quat(quaternion, axes.flatten())
    return quaternion


def _turn_about_y(angle: float) -> NDArray[np.float64]:
    return np.array([np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0])


def _product(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    quaternion = np.zeros(4)
    mujoco.mju_mulQuat(quaternion, np.asarray(first), np.asarray(second))
    return quaternion
