"""What is asked of a cluster, and which engine a text names; knows no package of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from pydantic import JsonValue

from vla_eval.cores import usable_cores
from vla_eval.doctor import Check
from vla_eval.engine.crew import Crew
from vla_eval.engine.devices import Fleet
from vla_eval.engine.local import LocalCrew
from vla_eval.engine.session import RunSession
from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.runs.folder import RunFolder

__all__ = ["Cluster", "Engine", "check_nodes", "engine_of", "is_local", "opened", "size_of"]


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and what a run asks of it. No record depends on it at max_batch 1."""

    address: str = ""
    """``HOST:PORT``; empty: the cluster of this node; ``local``: a throw-away one on this machine."""
    worker_cpus: float = 1.0
    """Processors that each simulator reserves."""
    host_gpus: float = 0.0
    """Share of a GPU that each policy host reserves; 0: it sees none."""
    host_threads: int = 2
    """Numerics threads of each policy host, equal on all nodes: it can change a sum's last bits."""
    workers_per_host: int = 16
    """Largest number of simulators at one host of each policy."""
    placement_s: float = 120.0
    """Longest time in which no process of the run has a place."""
    insecure: bool = False
    """Whether a cluster without a token is accepted."""

    def __post_init__(self) -> None:
        """Refuse counts that cannot be."""
        if self.workers_per_host < 1 or self.host_threads < 1 or self.host_gpus < 0:
            raise UsageError(
                "a cluster needs at least 1 worker a host, 1 thread a host and 0 GPUs a host"
            )


@dataclass(frozen=True)
class Engine:
    """An opened engine."""

    make_crew: Callable[[RunFolder, RunSession, int], Crew]
    """Makes the crew of a run from its folder, its session and its number of workers."""
    workers: int
    """Default number of workers."""
    about: Mapping[str, JsonValue] | None = None
    """The cluster, for ``run.json``."""
    gpus: float = 0.0
    """Number of the cluster's GPUs."""


def engine_of(name: str) -> Fleet | Cluster:
    """Return the engine that a name stands for, with its defaults.

    Args:
        name: ``local``; ``ray`` (the cluster that this node belongs to); ``ray:ADDRESS``;
            ``ray:local`` (a throw-away cluster on this machine).

    Raises:
        UsageError: no such engine.
    """
    kind, _, address = name.partition(":")
    if name == "local":
        return Fleet()
    if kind != "ray":
        raise UsageError(f"--engine {name}: expected local, ray, ray:ADDRESS or ray:local")
    return Cluster(address)


def is_local(engine: str | Fleet | Cluster) -> bool:
    """Return whether an engine is this machine's own."""
    return isinstance(engine_of(engine) if isinstance(engine, str) else engine, Fleet)


@contextmanager
def _needs_ray() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingExtraError("--engine ray", "cluster") from None


def check_nodes(engine: str, *, insecure: bool) -> list[Check]:
    """Return the checks of all nodes of a cluster; raises UsageError without one."""
    cluster = engine_of(engine)
    if isinstance(cluster, Fleet):
        raise UsageError("--engine local is this machine; leave it out to check it")
    with _needs_ray():
        from vla_eval.engine.ray_doctor import check_nodes as look
    return look(replace(cluster, insecure=insecure))


def size_of(engine: str, *, insecure: bool) -> tuple[int, float]:
    """Return an engine's simulators at a time and its GPUs; raises UsageError if it cannot be used."""
    cluster = engine_of(engine)
    if isinstance(cluster, Cluster):
        cluster = replace(cluster, insecure=insecure)
    with opened(cluster) as where:
        return where.workers, where.gpus


@contextmanager
def opened(engine: str | Fleet | Cluster) -> Iterator[Engine]:
    """Open an engine, and close its connection after the block.

    Args:
        engine: a name, see :func:`engine_of`; or devices of this machine; or a cluster and what is
            asked of it.

    Raises:
        UsageError: no such engine, or a cluster that cannot be used.
        MissingExtraError: the engine's package is not installed.
    """
    if isinstance(engine, str):
        engine = engine_of(engine)
    if isinstance(engine, Fleet):
        yield Engine(partial(LocalCrew, fleet=engine), usable_cores())
        return
    with _needs_ray():
        from vla_eval.engine.ray_connection import connected
        from vla_eval.engine.ray_crew import RayCrew
    with connected(engine) as (resources, about):
        cpus = resources.get("CPU", 1.0)
        workers = max(1, int(cpus / engine.worker_cpus)) if engine.worker_cpus else 1
        gpus = resources.get("GPU", 0.0)
        yield Engine(partial(RayCrew, cluster=engine), workers, about, gpus)
