"""The condition for a delivery: the item is in the basket, released and at rest."""

from __future__ import annotations

from vla_eval_envs.lekiwi.world import Basket
from vla_eval_envs.manipulation.simulator import mujoco
from vla_eval_envs.so101.predicates import DeliveryDetector

__all__ = ["BasketDetector"]


class BasketDetector(DeliveryDetector):
    """Watches one item: its centre is in the basket below the rim, and the robot does not touch it."""

    def __init__(self, model: mujoco.MjModel, object_name: str, basket: Basket) -> None:
        super().__init__(model, object_name)
        self._basket = basket
        robot = model.body("chassis").id
        self._robot = frozenset(
            geom
            for geom in range(model.ngeom)
            if model.body_rootid[model.geom_bodyid[geom]] == robot
        )

    def _at_goal(self, data: mujoco.MjData) -> bool:
        inside = self._basket.contains(self._place(data))
        return inside and not self._touching(data) & self._robot
