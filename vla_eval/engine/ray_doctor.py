"""Checks of every node of a Ray cluster: what `vlaeval doctor` checks on one machine, and that they agree."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from vla_eval.doctor import Check, check_installation
from vla_eval.engine.cluster import Cluster
from vla_eval.engine.devices import egl_device_of
from vla_eval.engine.ray_connection import connected, token_file
from vla_eval.engine.ray_crew import environment_of_actors
from vla_eval.installed import code_of_packages
from vla_eval.runs.provenance import other_physics, versions

__all__ = ["check_nodes"]

_PATIENCE_S = 300.0
_MOST_SKEW_S = 1.0
"""Records hold times of their nodes; more than this would set them in a wrong order."""

type _Look = Callable[[], Sequence[Check]]


@dataclass(frozen=True)
class _Facts:
    """What must be the same on all nodes, and what is good to know."""

    machine: str
    versions: Mapping[str, str]
    code: Mapping[str, str]
    renderers: Mapping[int, int]


def _facts() -> _Facts:
    return _Facts(platform.node(), versions(), code_of_packages(), dict(egl_device_of()))


class _Inspector:
    """Looks at the node on which it runs."""

    def now(self) -> float:
        """Return the node's time, s since 1970."""
        return time()

    def facts(self) -> _Facts:
        """Return the node's facts."""
        return _facts()

    def checks(self, look: _Look) -> list[Check]:
        """Return the checks of the node's installation, test renders included."""
        return list(look())


def check_nodes(cluster: Cluster, look: _Look = check_installation) -> list[Check]:
    """Return the checks of all nodes, each in the group of its node.

    On each node as many processes as it has processors look at once: some drivers hang when several
    processes begin to render.

    Args:
        cluster: the cluster.
        look: checks an installation.

    Raises:
        UsageError: there is no cluster, or it has no token.
    """
    with connected(cluster):
        nodes = [node for node in ray.nodes() if node["Alive"]]
        asked = [_Asked(node, look) for node in nodes]
        return [*_common(cluster, nodes), *(check for each in asked for check in each.checks())]


class _Asked:
    """The inspectors of a node, at work."""

    def __init__(self, node: Mapping[str, Any], look: _Look) -> None:
        self._node = node
        count = max(1, int(node["Resources"].get("CPU", 1)))
        inspector = ray.remote(_Inspector).options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            runtime_env=environment_of_actors(1),
        )
        self._inspectors = [inspector.remote() for _ in range(count)]
        self._checks = [each.checks.remote(look) for each in self._inspectors]

    def checks(self) -> list[Check]:
        """Wait for the node's answers; a node that does not answer is a finding too."""
        try:
            per_process: list[list[Check]] = ray.get(self._checks, timeout=_PATIENCE_S)
            facts: _Facts = ray.get(self._inspectors[0].facts.remote(), timeout=_PATIENCE_S)
            skew_s = self._skew_s()
        except Exception as error:  # noqa: BLE001 - whatever it is, the node cannot be used
            text = str(error).strip().partition("\n")[0] or type(error).__name__
            remedy = "is vla_eval installed there, for the same Python? Does one simulator render?"
            group = f"node {self._node['NodeManagerHostname']} ({self._node['NodeID'][:8]})"
            return [Check(group, "answers", ok=False, detail=text, remedy=remedy)]
        finally:
            for each in self._inspectors:
                ray.kill(each)
        group = f"node {facts.machine} ({self._node['NodeID'][:8]})"
        return [
            *(check._replace(group=f"{group}, {check.group}") for check in per_process[0]),
            _together(group, per_process),
            *_agreement(group, _facts(), facts),
            _clock(group, skew_s),
        ]

    def _skew_s(self) -> float:
        """Return by how much the node's clock is certainly off from ours, s."""
        before = time()
        there: float = ray.get(self._inspectors[0].now.remote(), timeout=_PATIENCE_S)
        return max(0.0, before - there, there - time())


def _together(group: str, per_process: Sequence[Sequence[Check]]) -> Check:
    """Judge what the processes found that looked at once."""
    alone = {(check.group, check.name) for check in per_process[0] if not check.ok}
    failed = {
        f"{check.group}: {check.name} ({check.detail})"
        for checks in per_process[1:]
        for check in checks
        if not check.ok and (check.group, check.name) not in alone
    }
    detail = "; ".join(sorted(failed)) or f"{len(per_process)} processes at once, as one alone"
    remedy = "use fewer workers a node, or another renderer (MUJOCO_GL)" if failed else ""
    return Check(group, "together", not failed, detail, remedy)


def _agreement(group: str, here: _Facts, there: _Facts) -> list[Check]:
    others = [
        f"{name} {here.versions.get(name, 'absent')} here, {there.versions.get(name, 'absent')} there"
        for name in sorted(here.versions.keys() | there.versions.keys())
        if here.versions.get(name) != there.versions.get(name)
    ]
    code = sorted(name for name in here.code if here.code[name] != there.code.get(name))
    physics = other_physics(here.versions, there.versions)
    renderers = ", ".join(f"cuda:{cuda} is EGL {egl}" for cuda, egl in there.renderers.items())
    same = "install the same as on this machine"
    return [
        Check(
            group, "versions", not physics, "; ".join(others) or "as here", same if others else ""
        ),
        Check(
            group,
            "code",
            not code,
            f"other files than here: {', '.join(code)}" if code else "as here",
            same if code else "",
        ),
        Check(group, "renderers", ok=True, detail=renderers or "no NVIDIA device", remedy=""),
    ]


def _clock(group: str, skew_s: float) -> Check:
    ok = skew_s <= _MOST_SKEW_S
    detail = f"off by at least {skew_s:.1f} s" if not ok else f"right to {_MOST_SKEW_S:g} s"
    return Check(group, "clock", ok, detail, "" if ok else "set its clock by NTP (chrony)")


def _common(cluster: Cluster, nodes: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Return the checks of the cluster as a whole: its token, and its models of GPU."""
    file = token_file()
    readable = file.is_file() and bool(file.stat().st_mode & 0o077)
    if cluster.insecure:
        token = "not asked for (--insecure-cluster)"  # noqa: S105 - a sentence
    else:
        token = f"others can read {file}" if readable else "needed to join"
    prefix = "accelerator_type:"
    models = sorted(
        {
            name.removeprefix(prefix)
            for node in nodes
            for name in node["Resources"]
            if name.startswith(prefix)
        }
    )
    mixed = len(models) > 1
    return [
        Check("cluster", "token", not readable, token, f"chmod 600 {file}" if readable else ""),
        Check(
            "cluster",
            "GPU models",
            not mixed,
            ", ".join(models) or "no GPU",
            "for a certificate use nodes of one model" if mixed else "",
        ),
    ]
