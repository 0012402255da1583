"""Engines by name, and what is refused before anything starts; no cluster is needed."""

from __future__ import annotations

import sys

import pytest

import vla_eval
from vla_eval.engine.cluster import Cluster, engine_of, is_local, opened
from vla_eval.engine.devices import Fleet
from vla_eval.errors import MissingExtraError, UsageError

ARMS = {"a": "fakes.policies:InWorker"}


def test_engines_have_names():
    """The text after the colon is the cluster's address."""
    assert engine_of("local") == Fleet()
    assert engine_of("ray") == Cluster()
    assert engine_of("ray:head:6379") == Cluster("head:6379")
    assert [is_local(each) for each in ("local", Fleet(), "ray:local", Cluster())] == [
        True, True, False, False,
    ]  # fmt: skip


def test_an_unknown_engine_is_refused():
    """The sentence lists the engines."""
    with pytest.raises(UsageError, match="expected local, ray, ray:ADDRESS or ray:local"):
        engine_of("slurm")


@pytest.mark.parametrize("what", [{"workers_per_host": 0}, {"host_threads": 0}, {"host_gpus": -1}])
def test_a_cluster_without_hosts_is_refused(what):
    """Counts that cannot be are refused before anything starts."""
    with pytest.raises(UsageError, match="a cluster needs at least"):
        Cluster(**what)


def test_without_ray_one_sentence_names_the_extra(monkeypatch):
    """The package is large and optional."""
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("connection", "crew", "actors"):
        monkeypatch.delitem(sys.modules, f"vla_eval.engine.ray_{name}", raising=False)
    with (
        pytest.raises(MissingExtraError, match="--engine ray needs the extra 'cluster'"),
        opened("ray"),
    ):
        pass  # fmt: skip


def test_shards_and_a_common_engine_exclude_each_other(tmp_path, protocol_file):
    """One driver hands out all episodes; a shard would leave the rest."""
    with pytest.raises(UsageError, match="on a cluster leave it out"):
        vla_eval.run(str(protocol_file()), ARMS, tmp_path / "run", shard="1/2", engine="ray:local")
