"""A worker's environments and phases, in this process."""

from __future__ import annotations

import contextlib

import pytest

from vla_eval.engine import worker as module
from vla_eval.engine.messages import (
    ArmJob,
    Done,
    HostAway,
    LocalJob,
    Ready,
    Start,
    Stop,
    WorkerJob,
    WorkItem,
)
from vla_eval.engine.proxy import HostLostError
from vla_eval.engine.worker import EpisodeRunner, _serve
from vla_eval.environment import make_env
from vla_eval.errors import InfrastructureError, PolicySpecError
from vla_eval.plan import expand
from vla_eval.released import load_protocol
from vla_eval.runs.store import read_records

COMMON = {
    "slot": 0,
    "arms": {"a": ArmJob("fakes.policies:InWorker", None)},
    "n_action_steps": 4,
    "realtime": None,
    "session": "session",
    "keeps_actions": True,
    "host_wait_s": 1.0,
}


class Pulse:
    host_was_stopped = False

    def __init__(self) -> None:
        self.phases = []

    def enter(self, phase, now_s):
        self.phases.append(phase)


def test_an_environment_is_kept_for_its_scenes_and_closed_before_another(
    protocol_file, monkeypatch
):
    """Two episodes of one scene share it; memory of a simulator is free before the next one is built."""
    open_, most, built = [], [], []

    def make(env_id, env_kwargs):
        env = make_env(env_id, env_kwargs)
        built.append(dict(env_kwargs))
        open_.append(env)
        most.append(len(open_))
        close = env.close
        env.close = lambda: (open_.remove(env), close())
        return env

    monkeypatch.setattr(module, "make_env", make)
    protocols = [
        load_protocol(str(protocol_file(count=2, **changes))) for changes in ({}, {"step_s": 0.0})
    ]
    pulse = Pulse()
    job = WorkerJob(**COMMON, protocol_sha256=protocols[0].sha256)
    runner = EpisodeRunner(job, pulse, reach=lambda *_: None)
    runner.start(Start({"a": "0" * 64}))
    for protocol in protocols:
        for episode in expand(protocol):
            attempt = runner.run(WorkItem("a", episode, 1))
            assert attempt.record.outcome == "success"
            assert len(attempt.trace.actions) == attempt.record.steps
    assert built == [{}, {"step_s": 0.0}]
    assert most == [1, 1]
    assert pulse.phases.count("build") == 2
    runner.close()
    runner.close()
    assert open_ == []


class Supervisor:
    """The worker's end of a connection: what it is told, and what it tells."""

    def __init__(self, *told) -> None:
        self.told, self.heard = [*told], []

    def recv(self):
        if not self.told:
            raise EOFError
        return self.told.pop(0)

    def send(self, message):
        self.heard.append(message)


@pytest.fixture
def job(protocol_file, tmp_path):
    protocol = load_protocol(str(protocol_file(count=2)))
    (tmp_path / "episodes").mkdir()
    own = {"parent_pid": 0, "record_file": tmp_path / "episodes/w.jsonl", "authkey": b""}
    job = LocalJob(**COMMON, protocol_sha256=protocol.sha256, **own)
    return job, [WorkItem("a", episode, 1) for episode in expand(protocol)]


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_worker_writes_a_record_before_it_tells_of_it(job, is_stopped):
    """Until it is told to stop, or its supervisor is gone."""
    job, (first, second) = job
    supervisor = Supervisor(Start({"a": "0" * 64}), first, *([Stop(), second] * is_stopped))
    _serve(supervisor, job, Pulse())
    ready, done = supervisor.heard
    assert isinstance(ready, Ready)
    assert done == Done(first, *read_records([job.record_file]).attempts)
    assert supervisor.told == [second] * is_stopped, "nothing after the stop"


@pytest.mark.parametrize(
    ("trouble", "raised"),
    [
        (PolicySpecError("no such policy"), PolicySpecError),
        (ValueError("a broken checkpoint"), InfrastructureError),
        (HostLostError("nobody listens"), None),
    ],
)
def test_a_worker_that_cannot_begin_says_why(job, monkeypatch, trouble, raised):
    """A mistake of the user stays one; without its host it leaves, and is started again."""

    def fail(*_):
        raise trouble

    monkeypatch.setattr(module, "EpisodeRunner", fail)
    supervisor = Supervisor()
    with contextlib.nullcontext() if raised is None else pytest.raises(raised, match=str(trouble)):
        _serve(supervisor, job[0], Pulse())
    away = [message.message for message in supervisor.heard if isinstance(message, HostAway)]
    assert away == (["nobody listens"] if raised is None else [])
