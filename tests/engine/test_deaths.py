"""Deaths of policy hosts: they are charged to no other process, and their number is bounded."""

from __future__ import annotations

import pytest

import vla_eval
from vla_eval.engine import local
from vla_eval.engine.deaths import IN_A_ROW, Deaths
from vla_eval.engine.session import RunSession
from vla_eval.errors import InfrastructureError
from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records

pytestmark = pytest.mark.long

HOST = "fakes.dying:Host"


@pytest.fixture
def run(tmp_path, protocol_file):
    said: list[str] = []

    def go(spec, *, workers=4, **protocol):
        path = str(protocol_file(**protocol))
        return vla_eval.run(
            path, {"a": spec}, tmp_path / "run", workers=workers, notify=said.append
        )

    go.said = said
    return go


@pytest.mark.parametrize("after_s", [0.1, 0.5])
def test_a_host_that_dies_once_while_workers_start_costs_nothing(tmp_path, run, after_s):
    """Four workers that find no host are started again, and the run is complete."""
    summary = run(f"{HOST}?after_s={after_s}&once={tmp_path / 'died'}", count=6)
    assert summary.complete
    assert sum("died (exit code 3); starting another" in each for each in run.said) == 1
    assert not [each for each in run.said if "trying again" in each and "host_lost" not in each]


def test_a_host_that_always_dies_ends_the_run_and_is_named(tmp_path, run):
    """The message names the process, the way it died, and the number of deaths."""
    text = (
        rf"^the policy host of arm 'a' failed {IN_A_ROW} times in a row before an episode of "
        rf"'a' ended: died \(exit code 3\) × {IN_A_ROW}; see the messages above"
    )
    with pytest.raises(InfrastructureError, match=text):
        run(HOST)
    assert read_records([tmp_path / "run/episodes"]).attempts == []


def test_a_host_that_dies_between_inferences_repeats_no_episode_for_ever(tmp_path, run):
    """If no episode caused them, the host's own deaths end the run, long before 20 repeats."""
    with pytest.raises(InfrastructureError, match="policy host of arm 'a' failed"):
        run(f"{HOST}?after_s=0.9", workers=1, count=2, step_s=0.2)
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    assert {each.reason for each in attempts} <= {"host_lost"}
    assert max((each.attempt for each in attempts), default=0) <= IN_A_ROW


def test_each_process_has_a_count_of_its_own():
    """Deaths of other processes do not add up, and progress resets a process's count."""
    deaths = Deaths()
    for _ in range(IN_A_ROW - 1):
        for who in ("worker 0", "worker 1", "worker 2"):
            deaths.note(who, "died (signal 9)", "it could take an episode")
    deaths.forget("worker 0")
    deaths.note("worker 0", "died (signal 9)", "it could take an episode")
    with pytest.raises(
        InfrastructureError, match=r"^worker 1 failed .* died \(signal 9\) × 7, left × 1;"
    ):
        deaths.note("worker 1", "left", "it could take an episode")


def test_waiting_for_company_is_no_longer_than_an_inference_may_be(
    tmp_path, protocol_file, monkeypatch
):
    """A host waits for a batch no longer than the limit of an inference, even if the protocol says more."""
    started = []

    class Process:
        def __init__(self, args, **_):
            started.append(args)

        def start(self):
            pass

    monkeypatch.setattr(local.SPAWN, "Process", Process)
    protocol = load_protocol(
        str(protocol_file(run="max_batch = 2\nbatch_wait_ms = 5000.0", limits="infer_s = 1.0"))
    )
    folder, lock = RunFolder.enter(
        tmp_path / "run", protocol, {"a": "fakes.policies:InHost"}, Shard(1, 1)
    )
    with lock:
        crew = local.LocalCrew(folder, RunSession(folder.episodes), 2)
        crew.add_host(crew.places[0])
    assert (2, 1.0) in started[0]


def test_what_a_killed_process_began_to_write_is_removed(tmp_path, run):
    """The next command in the folder removes half-written files."""
    (tmp_path / "run").mkdir()
    for name in ("run", "protocol", "results"):
        (tmp_path / f"run/.{name}.json.123.tmp").write_text("{")
    assert run("fakes.policies:InWorker", count=1).complete
    assert list((tmp_path / "run").rglob("*.tmp")) == []


@pytest.mark.slow
def test_a_worker_that_cannot_reach_a_living_host_ends_the_run(run, monkeypatch):
    """Then the fault is the worker's own, and the number of its restarts is bounded too."""
    job = local.LocalJob
    monkeypatch.setattr(local, "LocalJob", lambda **parts: job(**{**parts, "authkey": b"?"}))
    text = (
        rf"^worker 0 failed {IN_A_ROW} times in a row .* left \(the policy host cannot be reached"
    )
    with pytest.raises(InfrastructureError, match=text):
        run("fakes.policies:InHost", workers=1, count=2)
