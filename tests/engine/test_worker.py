"""A worker's environments and phases, in this process."""

from __future__ import annotations

from vla_eval.engine import worker as module
from vla_eval.engine.messages import ArmJob, Start, WorkerJob, WorkItem
from vla_eval.engine.worker import EpisodeRunner
from vla_eval.environment import make_env
from vla_eval.plan import expand
from vla_eval.released import load_protocol


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
    job = WorkerJob(
        slot=0,
        arms={"a": ArmJob("fakes.policies:InWorker", None)},
        n_action_steps=4,
        realtime=None,
        protocol_sha256=protocols[0].sha256,
        session="session",
        keeps_actions=True,
        host_wait_s=1.0,
    )
    pulse = Pulse()
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
