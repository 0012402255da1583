"""A crew on a cluster that is not there: where actors are placed, and what becomes of their answers.

Runs on real clusters are in test_ray_crew.py.
"""

from __future__ import annotations

import math
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

pytest.importorskip("ray", reason="needs the extra 'cluster'")

import ray

from vla_eval.engine import ray_cells, ray_crew
from vla_eval.engine.cluster import Cluster
from vla_eval.engine.crew import Clock, HostPlace, Joined, Left
from vla_eval.engine.messages import HostAway, Ready
from vla_eval.engine.ray_actors import Beat, Loaded, Place
from vla_eval.engine.ray_cells import Cells
from vla_eval.engine.session import RunSession
from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.provenance import versions


@pytest.fixture
def places(monkeypatch):
    """Return the group and the place in it that options name."""
    groups = []

    def placement_group(bundles, strategy):
        groups.append(bundles)
        return len(groups) - 1

    strategy = lambda group, index: (group, index)  # noqa: E731
    monkeypatch.setattr(ray.util, "placement_group", placement_group)
    monkeypatch.setattr(ray_cells, "PlacementGroupSchedulingStrategy", strategy)
    return groups


def test_a_cell_has_the_hosts_first_and_then_its_simulators(places):
    """Five simulators at two cells of two hosted arms: each has a place of its own, beside its hosts."""
    cells = Cells(Cluster("h:1", host_gpus=0.5), ["a", "b"], slots=5, replicas=2)
    found = {slot: cells.of_worker(slot)["scheduling_strategy"] for slot in range(5)}
    assert found == {0: (0, 2), 1: (1, 2), 2: (0, 3), 3: (1, 3), 4: (0, 4)}
    assert places == [
        [{"GPU": 0.5}, {"GPU": 0.5}, {"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 1.0}],
        [{"GPU": 0.5}, {"GPU": 0.5}, {"CPU": 1.0}, {"CPU": 1.0}],
    ]
    hosts = [cells.of_host(HostPlace((arm,), 1))["scheduling_strategy"] for arm in "ab"]
    assert hosts == [(1, 0), (1, 1)]


def test_a_host_without_a_gpu_is_bound_to_no_place_of_its_cell(places):
    """The loss of one simulator's place would end it."""
    cells = Cells(Cluster("h:1"), ["a"], slots=2, replicas=1)
    group, index = cells.of_host(HostPlace(("a",), 0))["scheduling_strategy"]
    assert group == 0
    assert index < 0, "any place, for Ray"
    assert cells.of_worker(0)["scheduling_strategy"] == (0, 0)
    assert places == [[{"CPU": 1.0}, {"CPU": 1.0}]]


class Call:
    """A method of an actor: each call has an answer that the test gives."""

    def __init__(self) -> None:
        self.answers: list[Future] = []

    def options(self, **_):
        return self

    def remote(self, *_):
        self.answers.append(Future())
        return SimpleNamespace(future=lambda: self.answers[-1])


@pytest.fixture
def crew(tmp_path, protocol_file, monkeypatch):
    """A crew of one hosted arm; every actor is a stub."""
    handles = []

    def actor_class(kind):
        def remote(*_):
            handles.append(SimpleNamespace(load=Call(), beat=Call(), run=Call()))
            return handles[-1]

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=remote))

    monkeypatch.setattr(ray_crew, "_actor_class", actor_class)
    cells = SimpleNamespace(of_host=lambda _: {}, of_worker=lambda _: {})
    monkeypatch.setattr(ray_crew, "Cells", lambda *_: cells)
    protocol = load_protocol(str(protocol_file()))
    specs = {"a": "fakes.policies:InHost"}
    folder, lock = RunFolder.enter(tmp_path / "run", protocol, specs, Shard(1, 1))
    lock.release()
    made = ray_crew.RayCrew(folder, RunSession(folder.episodes), 2, cluster=Cluster("h:1"))
    made.handles = handles
    return made


PLACE = Place("0123456789abcdef", "rack7")


def test_a_loaded_host_joins_and_its_node_is_known(crew):
    """From then on its time runs: before, it may have waited for a place."""
    host = crew.add_host(crew.places[0])
    assert host.started_s == math.inf
    assert crew.events(0.01) == []
    ready = Ready({}, {})
    crew.handles[0].load.answers[0].set_result(Loaded(ready, PLACE, versions()))
    assert crew.events(0.01) == [Joined(host, ready)]
    assert host.node == "rack7 (01234567)"
    assert host.started_s < math.inf
    assert crew.clock(host).phase == "idle"


def test_an_answer_about_a_phase_is_kept_and_is_no_event(crew):
    """It also tells where an actor is that has loaded nothing yet."""
    host = crew.add_host(crew.places[0])
    crew.events(0.01)
    clock = Clock("infer", 2.5, frozenset({1}))
    crew.handles[0].beat.answers[0].set_result(Beat(clock, PLACE))
    assert crew.events(0.01) == []
    assert crew.clock(host) == clock
    assert host.node == "rack7 (01234567)"


def test_a_worker_whose_host_is_away_leaves_without_blame(crew):
    """It is started again, when there is another host."""
    worker = crew.add_worker(1)
    crew.handles[0].load.answers[0].set_result(Loaded(HostAway("no host"), PLACE, versions()))
    assert crew.events(0.01) == [Left(worker, "left (no host)", "host")]
