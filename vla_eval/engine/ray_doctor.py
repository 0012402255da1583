"""Checks of every node of a Ray cluster: what `vlaeval doctor` checks on one machine, and that they agree."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vla_eval.doctor import Check, check_installation
from vla_eval.engine.cluster import Cluster
from vla_eval.engine.devices import egl_device_of
from vla_eval.engine.ray_connection import connected
from vla_eval.engine.ray_crew import environment_of_actors
from vla_eval.runs.provenance import other_physics, versions

__all__ = ["check_nodes"]

_PATIENCE_S = 180.0


@dataclass(frozen=True)
class _Answer:
    """What a node says of itself."""

    checks: list[Check]
    versions: Mapping[str, str]
    renderers: Mapping[int, int]
    machine: str


def _look() -> _Answer:
    """Run on a node."""
    checks = check_installation()
    return _Answer(checks, versions(), dict(egl_device_of()), platform.node())


def check_nodes(cluster: Cluster) -> list[Check]:
    """Return the checks of all nodes, each in the group of its node.

    Raises:
        UsageError: there is no cluster, or it has no token.
    """
    with connected(cluster):
        asked = {node["NodeID"]: _ask(node["NodeID"]) for node in ray.nodes() if node["Alive"]}
        checks: list[Check] = []
        for node, reference in asked.items():
            try:
                answer: _Answer = ray.get(reference, timeout=_PATIENCE_S)
            except Exception as error:  # noqa: BLE001 - a node that does not answer is a finding
                text = str(error).strip().partition("\n")[0]
                remedy = "is vla_eval installed there, for the same Python?"
                checks.append(
                    Check(f"node {node[:8]}", "answers", ok=False, detail=text, remedy=remedy)
                )
                continue
            checks += _findings(answer, node)
    return checks


def _ask(node: str) -> Any:
    look = ray.remote(_look).options(
        num_cpus=0,
        max_retries=0,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        runtime_env=environment_of_actors(1),
    )
    return look.remote()


def _findings(answer: _Answer, node: str) -> list[Check]:
    group = f"node {answer.machine} ({node[:8]})"
    here = versions()
    physics = other_physics(here, answer.versions)
    others = [
        f"{name} {here.get(name, 'absent')} here, {answer.versions.get(name, 'absent')} there"
        for name in sorted(here.keys() | answer.versions.keys())
        if here.get(name) != answer.versions.get(name)
    ]
    renderers = ", ".join(f"cuda:{cuda} is EGL {egl}" for cuda, egl in answer.renderers.items())
    remedy = "install the same as on this machine" if others else ""
    return [
        *(check._replace(group=f"{group}, {check.group}") for check in answer.checks),
        Check(group, "versions", not physics, "; ".join(others) or "as on this machine", remedy),
        Check(group, "renderers", ok=True, detail=renderers or "no NVIDIA device", remedy=""),
    ]
