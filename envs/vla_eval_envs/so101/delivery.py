"""Tasks in which objects are grasped and brought to where they belong."""

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
    """One object, and what its two subgoals are called."""

    object_name: str
    grasped: str
    delivered: str


class DeliveryTask(SO101Env):
    """Base of tasks that score each object's grasp and each object's delivery alike.

    A grasp latches. So does a delivery, unless ``deliveries_last`` is false; but an object that is
    grasped for the first time after it was delivered is on its way again, which clears its
    delivery. The score then stays as it is, because the grasp is worth as much.
    """

    deliveries: ClassVar[tuple[Delivery, ...]]
    deliveries_last: ClassVar[bool] = True
    """Whether a delivery latches. If not, it counts while the object lies where it belongs."""

    @abstractmethod
    def _delivery_detector(self, delivery: Delivery) -> DeliveryDetector:
        """Return what says whether an object is where it belongs."""

    def _bind(self) -> None:
        self._grasps = {
            each.object_name: GraspDetector(self.model, each.object_name)
            for each in self.deliveries
        }
        self._arrivals = {
            each.object_name: self._delivery_detector(each) for each in self.deliveries
        }

    def _carried(self) -> list[int]:
        return [int(self.model.joint(each.object_name).id) for each in self.deliveries]

    def _watch(self, *, fresh: bool) -> dict[str, bool]:
        subgoals: dict[str, bool] = {}
        for each in self.deliveries:
            grasp, arrival = self._grasps[each.object_name], self._arrivals[each.object_name]
            if fresh:
                grasp.reset(self.data)
                arrival.reset()
                subgoals |= {each.grasped: False, each.delivered: False}
            else:
                subgoals |= self._progress(each, self.subgoals)
        return subgoals

    def _progress(self, each: Delivery, before: Mapping[str, bool]) -> dict[str, bool]:
        """Return one object's subgoals after a control step."""
        grasped = before[each.grasped]
        delivered = before[each.delivered] and self.deliveries_last
        if not grasped and self._grasps[each.object_name].update(self.data):
            grasped, delivered = True, False
        delivered = self._arrivals[each.object_name].update(self.data) or delivered
        return {each.grasped: grasped, each.delivered: delivered}
