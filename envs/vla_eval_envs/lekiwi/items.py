"""The items on the stand: a salt bottle, a matcha tin, a bar of chocolate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_eval_envs.lekiwi.world import FEET_BIT, TIER_A_Z, TIER_B_Z
from vla_eval_envs.manipulation.appearance import CONTACT, add_material, add_part
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["ITEMS", "Item", "add_items"]


@dataclass(frozen=True)
class Item:
    """A free body whose origin is the middle of its main part."""

    name: str
    phrase: str
    """Name of the item in the instruction."""
    shelf_z: float
    """Height of the tier under the item, m."""
    half_height: float
    """Distance from the tier to the item's origin, m."""
    width: float
    """Width of the item between the jaws, m."""


ITEMS = {
    item.name: item
    for item in (
        Item("salt", "salt bottle", TIER_B_Z, 0.050, 0.042),
        Item("matcha", "matcha tin", TIER_B_Z, 0.032, 0.048),
        Item("chocolate", "chocolate bar", TIER_A_Z, 0.008, 0.032),
    )
}

# Rolling resistance, N m s/rad: without it a tin that lands on its edge rolls in circles for seconds,
# like a coin. As a translational damping in N s/m the value has no effect.
_DAMPING = 2e-4
# A cylinder touches a box at one point at a time, and would drift on its tier. So bottle and tin stand
# on feet, which collide only with the stand; the cylinder begins a little above their soles.
_FEET, _FOOT_RADIUS_M, _FOOT_M = 6, 0.002, 0.0003


def add_items(spec: mujoco.MjSpec) -> None:
    """Add the three items; the free joint of an item has the item's name."""
    _add_salt(_add_body(spec, ITEMS["salt"]), spec)
    _add_matcha(_add_body(spec, ITEMS["matcha"]), spec)
    _add_chocolate(_add_body(spec, ITEMS["chocolate"]), spec)


def _add_body(spec: mujoco.MjSpec, item: Item) -> mujoco.MjsBody:
    height = item.shelf_z + item.half_height
    body = spec.worldbody.add_body(name=item.name, pos=[0.7, 0.0, height])
    body.add_joint(name=item.name, type=mujoco.mjtJoint.mjJNT_FREE, damping=_DAMPING)
    return body


def _add_upright(
    body: mujoco.MjsBody, name: str, radius: float, half_height: float, mass: float
) -> None:
    """Add a cylinder that stands on a ring of feet. Lengths in m, mass in kg."""
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, _FOOT_M / 2],
        size=[radius, half_height - _FOOT_M / 2, 0],
        mass=mass,
        material=name,
        **CONTACT,
    )
    for index in range(_FEET):
        bearing = 2 * np.pi * index / _FEET
        out = radius - _FOOT_RADIUS_M
        body.add_geom(
            name=f"{name}_foot_{index}",
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            pos=[out * np.cos(bearing), out * np.sin(bearing), _FOOT_RADIUS_M - half_height],
            size=[_FOOT_RADIUS_M, 0, 0],
            mass=0.0,
            material=name,
            contype=0,
            conaffinity=FEET_BIT,
            group=3,
            **CONTACT,
        )


def _add_salt(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> None:
    """Add a white bottle, 42 mm across and 100 mm high, with a green cap; 88 g."""
    add_material(spec, "salt", (0.92, 0.93, 0.95), 0.5, 0.6)
    add_material(spec, "salt_cap", (0.13, 0.55, 0.24), 0.4, 0.5)
    add_material(spec, "salt_label", (0.12, 0.30, 0.68), 0.2, 0.3)
    add_material(spec, "paper", (0.95, 0.94, 0.90), 0.1, 0.1)
    _add_upright(body, "salt", 0.021, ITEMS["salt"].half_height, 0.084)
    body.add_geom(
        name="salt_cap",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, 0.060],
        size=[0.015, 0.010, 0],
        mass=0.004,
        material="salt_cap",
        **CONTACT,
    )
    add_part(body, "salt_label", "z", "salt_label", (0, 0, -0.004), (0.0213, 0.026))
    add_part(body, "salt_stripe", "z", "paper", (0, 0, 0.004), (0.0215, 0.006))


def _add_matcha(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> None:
    """Add a dark green tin, 48 mm across and 64 mm high, with a lid; 73 g."""
    add_material(spec, "matcha", (0.16, 0.34, 0.13), 0.5, 0.6)
    add_material(spec, "matcha_label", (0.63, 0.76, 0.34), 0.2, 0.2)
    add_material(spec, "matcha_lid", (0.80, 0.68, 0.38), 0.8, 0.8)
    _add_upright(body, "matcha", 0.024, ITEMS["matcha"].half_height, 0.068)
    body.add_geom(
        name="matcha_lid",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0, 0, 0.036],
        size=[0.022, 0.004, 0],
        mass=0.005,
        material="matcha_lid",
        **CONTACT,
    )
    add_part(body, "matcha_label", "z", "matcha_label", (0, 0, -0.003), (0.0242, 0.013))
    add_part(body, "matcha_stripe", "z", "matcha", (0, 0, -0.003), (0.0244, 0.003))


def _add_chocolate(body: mujoco.MjsBody, spec: mujoco.MjSpec) -> None:
    """Add a bar, 32 x 90 x 16 mm along its own axes, in gold foil and a red sleeve; 51 g."""
    add_material(spec, "chocolate", (0.84, 0.69, 0.33), 0.7, 0.7)
    add_material(spec, "chocolate_sleeve", (0.62, 0.07, 0.10), 0.25, 0.3)
    add_material(spec, "chocolate_print", (0.27, 0.13, 0.06), 0.2, 0.3)
    body.add_geom(
        name="chocolate",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.016, 0.045, 0.008],
        mass=0.051,
        material="chocolate",
        **CONTACT,
    )
    sleeve, mark = (0.0162, 0.036, 0.0083), (0.0085, 0.020, 0.0088)
    add_part(body, "chocolate_sleeve", "box", "chocolate_sleeve", (0, 0, 0), sleeve)
    add_part(body, "chocolate_print", "box", "chocolate_print", (0, 0, 0), mark)
