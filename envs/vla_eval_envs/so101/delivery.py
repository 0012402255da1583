"""Tasks in which objects are grasped and brought to a goal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from vla_eval_envs.so101.base import SO101Env
from vla_eval_envs.so101.predicates import DeliveryDetector, GraspDetector

__all__ = ["Delivery", "DeliveryTask"]


@dataclass(frozen=True)
class Delivery:
    """One object and the names of its two subgoals."""

    object_name: str
    grasped: str
    delivered: str


class DeliveryTask(SO101Env):
    """Base of tasks in which every grasp and every delivery has the same weight in the score.

    A grasp latches. A delivery latches too, unless ``deliveries_last`` is false. The first grasp of an
    object that was already delivered clears its delivery, because the object is on its way again. The
    score then stays the same, because the grasp has the same weight.
    """

    deliveries: ClassVar[tuple[Delivery, ...]]
    deliveries_last: ClassVar[bool] = True
    """Whether a delivery latches. If not, it counts only while the object lies at its goal."""

    @abstractmethod
    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        """Return the detector of an object's arrival at its goal."""

    def _bind(self) -> None:
        self._grasps = {
            delivery.object_name: GraspDetector(self.model, delivery.object_name)
            for delivery in self.deliveries
        }
        self._arrivals = {
            delivery.object_name: self._delivery_detector(delivery) for delivery in self.deliveries
        }

    def _carried(self) -> list[int]:
        return [int(self.model.joint(delivery.object_name).id) for delivery in self.deliveries]

    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        subgoals: dict[str, bool] = {}
        for delivery in self.deliveries:
            name = delivery.object_name
            grasp, arrival = self._grasps[name], self._arrivals[name]
            if fresh:
                grasp.reset(self.data)
                arrival.reset()
                subgoals |= {delivery.grasped: False, delivery.delivered: False}
            else:
                subgoals |= self._progress(delivery, self.subgoals)
        return subgoals

    def _progress(self, each: Delivery, before: Mapping[str, bool]) -> dict[str, bool]:
        """Return the subgoals of one object after a control step."""
        grasped = before[each.grasped]
        delivered = before[each.delivered] and self.deliveries_last
        if not grasped and self._grasps[each.object_name].update(self.data):
            grasped, delivered = True, False
        delivered = self._arrivals[each.object_name].update(self.data) or delivered
        return {each.grasped: grasped, each.delivered: delivered}
