"""Places of a run's actors on a Ray cluster: a policy's hosts and their simulators start together or wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from vla_eval.engine.cluster import Cluster
from vla_eval.engine.crew import HostPlace

__all__ = ["Cells"]

_NODE_LABEL = "ray.io/node-id"
_ANY = -1
"""Ray's index for any place of a reservation: a host that reserves nothing outlives the loss of one."""


class Cells:
    """Reserves a cell for each replica: one host of every hosted arm, and the replica's simulators.

    Without hosted arms each simulator has a place of its own. So has a simulator whose reserved place is
    on a node that is out of use.

    Args:
        cluster: what is asked of the cluster.
        hosted: the arms that have hosts.
        slots: number of workers.
        replicas: number of cells.
    """

    def __init__(self, cluster: Cluster, hosted: Sequence[str], slots: int, replicas: int) -> None:
        self._cluster, self._hosted = cluster, hosted
        self._slots, self._replicas = slots, replicas
        self._groups: dict[int, PlacementGroup] = {}
        self._avoided: list[str] = []

    def of_host(self, place: HostPlace) -> dict[str, Any]:
        """Return the options of a host's actor."""
        gpus = self._cluster.host_gpus
        index = self._hosted.index(place.arms[0]) if gpus else _ANY
        asked = {"num_cpus": 0, "num_gpus": gpus}
        return asked | self._where(place.replica, index, strategy="DEFAULT")

    def of_worker(self, slot: int) -> dict[str, Any]:
        """Return the options of a worker's actor."""
        index = len(self._host_bundles()) + slot // self._replicas
        asked = {"num_cpus": self._cluster.worker_cpus}
        return asked | self._where(slot % self._replicas, index, strategy="SPREAD")

    def _where(self, replica: int, index: int, *, strategy: str) -> dict[str, Any]:
        group = self._group(replica)
        if group is not None and not self._is_avoided(group, index):
            return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, index)}
        if self._avoided:
            return {"label_selector": {_NODE_LABEL: f"!in({','.join(self._avoided)})"}}
        return {"scheduling_strategy": strategy}

    def _group(self, replica: int) -> PlacementGroup | None:
        """Return a cell's reservation, which the cluster fills as a whole, at once or later."""
        if not self._hosted or not self._cluster.worker_cpus:
            return None
        if replica not in self._groups:
            count = len(range(replica, self._slots, self._replicas))
            workers = [{"CPU": self._cluster.worker_cpus}] * count
            bundles = [*self._host_bundles(), *workers]
            self._groups[replica] = ray.util.placement_group(bundles, strategy="PACK")
        return self._groups[replica]

    def _host_bundles(self) -> list[dict[str, float]]:
        """Return what the hosts of a cell reserve; without GPUs they live beside a simulator."""
        gpus = self._cluster.host_gpus
        return [{"GPU": gpus} for _ in self._hosted] if gpus else []

    def _is_avoided(self, group: PlacementGroup, index: int) -> bool:
        if not self._avoided:
            return False
        return placement_group_table(group)["bundles_to_node_id"].get(index) in self._avoided

    def avoid(self, node_id: str) -> None:
        """Give out no further place on a node."""
        self._avoided.append(node_id)

    def close(self) -> None:
        """Give the reservations back."""
        for group in self._groups.values():
            ray.util.remove_placement_group(group)
        self._groups.clear()
