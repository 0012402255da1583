"""What every crew must do, as tests to inherit; the subclass's fixture ``make`` builds a crew."""

from __future__ import annotations

import time

import pytest

from vla_eval.engine.crew import Ended, Joined, Left
from vla_eval.engine.dispatch import pending_items
from vla_eval.engine.messages import Start
from vla_eval.plan import Shard, expand
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records, read_records
from vla_eval.runs.traces import Traces

ARMS = {"a": "fakes.policies:InHost"}


def wait_for(crew, kind, member=None):
    """Return the first event of a kind, of a member if one is given."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for event in crew.events(0.1):
            if isinstance(event, kind) and member in (None, event.member):
                return event
    raise AssertionError(f"no {kind.__name__} came")


class CrewContract:
    """Tests of :class:`vla_eval.engine.crew.Crew`."""

    @pytest.fixture
    def folder(self, tmp_path, protocol_file):
        (tmp_path / "markers").mkdir()
        fault = {"fault": "die", "fault_states": "1", "fault_folder": str(tmp_path / "markers")}
        slow = {"step_s": 0.02}
        protocol = load_protocol(str(protocol_file(count=3, **fault, **slow)))
        made, lock = RunFolder.enter(tmp_path / "run", protocol, ARMS, Shard(1, 1))
        with lock:
            yield made

    @pytest.fixture
    def items(self, folder):
        return pending_items(expand(folder.header.protocol), list(ARMS), Records())

    def test_a_crew_s_life(self, make, folder, items):
        """Host, worker, an episode, a death, a successor, a removal in mid-episode, the end."""
        crew = make(folder)
        (place,) = crew.places
        assert place.arms == ("a",)
        host = crew.add_host(place)
        joined = wait_for(crew, Joined, host)
        assert list(joined.ready.identities) == ["a"]
        joined.member.ready = True

        worker = crew.add_worker(0)
        identities = wait_for(crew, Joined, worker).ready.identities
        worker.ready = True
        crew.greet(worker, Start(folder.identify(identities)))

        ended = self.end(crew, worker, items[0])
        assert (ended.record.outcome, ended.record.init_state) == ("success", 0)
        stored = [each.init_state for each in read_records([folder.episodes]).attempts]
        at_once = ended.to_store is None
        assert stored == ([0] if at_once else []), "exactly one of two stores the record"
        trace = Traces(folder.path).get(ended.record) if at_once else ended.to_store.trace
        assert trace.actions_sha256 == ended.record.actions_sha256

        worker.item = items[1]
        crew.give(worker, items[1])  # its environment kills the process
        left = wait_for(crew, Left, worker)
        assert (left.fault, left.how.startswith("died (")) == ("own", True)
        assert crew.remove(worker) is None

        second = crew.add_worker(0)
        wait_for(crew, Joined, second)
        crew.greet(second, Start(folder.identify(identities)))
        second.item = items[2]
        crew.give(second, items[2])
        crew.remove(second)
        assert [event for event in crew.events(1.0) if event.member is second] == []
        assert crew.clock(host).seconds >= 0
        crew.close([])

    def end(self, crew, worker, item):
        """Run an item to its end, and watch its phases."""
        worker.item = item
        crew.give(worker, item)
        event = wait_for(crew, Ended, worker)
        assert event.item == item
        worker.item = None
        return event
