"""The connection to a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import ray
from pydantic import JsonValue

from vla_eval.engine.cluster import Cluster
from vla_eval.errors import InfrastructureError, UsageError
from vla_eval.stopping import stop_signals

__all__ = ["connected", "token_file"]

_TOKEN, _TOKEN_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


@contextmanager
def connected(cluster: Cluster) -> Iterator[tuple[dict[str, float], dict[str, JsonValue]]]:
    """Connect to a cluster, and yield its resources by Ray's names, and what ``run.json`` says of it.

    Args:
        cluster: the cluster.

    Raises:
        UsageError: there is no cluster, or it has no token.
    """
    address = cluster.address
    if ray.is_initialized():  # by the caller, who also ends it
        yield ray.cluster_resources(), _about(cluster)
        return
    if address != "local" and not cluster.insecure and not _has_token():
        raise UsageError(
            "this cluster would run code for anybody who reaches it: start it with "
            "RAY_AUTH_MODE=token and a token file, and name the file in RAY_AUTH_TOKEN_PATH; or "
            "accept that with --insecure-cluster"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    handlers = {number: signal.getsignal(number) for number in stop_signals()}
    try:
        ray.init(
            address or os.environ.get("RAY_ADDRESS", "auto"),
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({"include_dashboard": False} if address == "local" else {}),
        )
    except Exception as error:  # noqa: BLE001 - Ray raises plain exceptions of many kinds
        where = {"": "of this node", "local": "on this machine"}.get(address, address)
        text = str(error).strip().partition("\n")[0]
        kind = InfrastructureError if address == "local" else UsageError
        raise kind(f"--engine ray: the cluster {where} cannot be used ({text})") from None
    for number, handler in handlers.items():
        signal.signal(number, handler)  # Ray has set its own, which ends the driver at once
    try:
        with redirect_stdout(sys.stderr):  # Ray prints reports of deaths; stdout is for results
            yield ray.cluster_resources(), _about(cluster)
    finally:
        ray.shutdown()


def _about(cluster: Cluster) -> dict[str, JsonValue]:
    """Return the facts that may decide last bits or explain times; no address and no token."""
    nodes: list[JsonValue] = [
        {
            "machine": str(node["NodeManagerHostname"]),
            "cpus": float(node["Resources"].get("CPU", 0)),
            "gpus": float(node["Resources"].get("GPU", 0)),
        }
        for node in ray.nodes()
        if node["Alive"]
    ]
    return {
        "kind": "ray",
        "version": str(ray.__version__),
        "host_threads": cluster.host_threads,
        "nodes": nodes,
    }


def _has_token() -> bool:
    if any(os.environ.get(name) for name in (_TOKEN, _TOKEN_FILE)):
        return True
    return os.environ.get("RAY_AUTH_MODE") == "token" and token_file().is_file()


def token_file() -> Path:
    """Return the path of the file from which Ray reads the token."""
    return Path(os.environ.get(_TOKEN_FILE) or Path.home() / ".ray" / "auth_token")
