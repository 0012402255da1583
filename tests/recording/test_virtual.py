"""Recordings and replays of episodes in virtual time."""

from __future__ import annotations

import pytest

import vla_eval
from fakes.policies import Options, Walker
from vla_eval.plan import expand
from vla_eval.realtime.latency import virtual_time
from vla_eval.recording.recorder import Recorder
from vla_eval.recording.replay import replay
from vla_eval.released import load_protocol

TABLE = 'latency = "virtual"\n[run.realtime]\nmode = "async"\narms.policy.total_us = {us}\n'


@pytest.fixture
def protocol(protocol_file):
    """Delays of three ticks; horizon and chunk are 4, so the robot stalls again and again."""
    return protocol_file(count=1, run=TABLE.format(us=250_000))


def test_frames_tell_where_the_robot_stalled(protocol):
    """As many as the record counts; their actions are the stall actions, the others the policy's."""
    loaded = load_protocol(str(protocol))
    policy, frames = Walker(Options()), []
    virtual = virtual_time(loaded.run.realtime, "policy", policy.metadata)
    recorder = Recorder(policy, n_action_steps=4, virtual=virtual)
    (episode,) = expand(loaded)
    result = recorder.run(episode, frames.append)
    assert recorder.layout(episode).stalls
    recorder.close()
    stalled = [frame.is_stalled for frame in frames]
    assert stalled[:3] == [True] * 3
    assert sum(stalled) == result.realtime.stalled_ticks > 3
    assert len(frames) == result.steps
    assert {frame.action[0] for frame in frames if frame.is_stalled} == {0.0}
    assert all(frame.action[0] > 0 for frame in frames if not frame.is_stalled)


@pytest.mark.long
def test_an_episode_is_replayed_with_its_delays(protocol, tmp_path):
    """Every field of its record but the times is reproduced, with every step observed too."""
    arms = {"policy": "fakes.policies:InWorker"}
    vla_eval.run(str(protocol), arms, tmp_path / "run", workers=1)
    done = replay(
        tmp_path / "run", "fake/Point/i0/e0/p0", "policy", trust=True, video=tmp_path / "v.gif"
    )
    assert set(done.record.realtime.delays) == {3}
    assert done.differences == {}
