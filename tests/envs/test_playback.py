"""Open-loop replay in our simulators: the pictures of the evaluation, without its policy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval.plan import expand
from vla_eval.playback import Player
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.recording.recorder import Recorder
from vla_eval.released import load_protocol
from vla_eval.spec import build_policy

pytestmark = pytest.mark.long


class Filmed:
    """One episode of a protocol, run with its policy in this process, and its pictures."""

    def __init__(self, protocol: str, policy: str, **changes) -> None:
        overrides = [f"blocks.0.{name}={value}" for name, value in changes.items()]
        loaded = load_protocol(protocol, overrides=overrides)
        (episode,) = expand(loaded)
        recorder, self.pictures = Recorder(build_policy(policy)), []
        try:
            result = recorder.run(
                episode, lambda frame: self.pictures.append(frame.observation["pixels"])
            )
        finally:
            recorder.close()
        key = episode.key
        self.folder = SimpleNamespace(header=SimpleNamespace(protocol=loaded), path=Path("run"))
        self.trace = result.tracer.trace()
        self.record = EpisodeRecord(
            arm="a", suite=key.suite, task=key.task, init_state=key.init_state,
            env_seed=key.env_seed, policy_seed=key.policy_seed, env_id=episode.env_id,
            outcome=result.outcome, reason=result.reason, score=result.score, steps=result.steps,
            subgoals=result.subgoals, subgoal_steps=result.subgoal_steps, end_hash=result.end_hash,
            scene_hash=result.scene_hash, actions_sha256=result.actions_sha256,
            provenance=result.provenance, protocol_sha256="p", policy_sha256="q",
            timing=Timing(started_at="2026-01-01T00:00:00+00:00"),
        )  # fmt: skip

    def played(self, **options) -> list:
        with Player(self.folder, **options) as player:
            return list(player.play(self.record, self.trace))


def check_pictures(filmed: Filmed, cameras: set[str]) -> None:
    assert filmed.record.end_hash is not None
    moments = filmed.played()
    assert set(moments[0].frames) == cameras
    assert len(moments) == len(filmed.pictures) + 1 == filmed.record.steps + 1
    for moment, pictures in zip(moments, filmed.pictures, strict=False):
        for name, picture in pictures.items():
            assert np.array_equal(moment.frames[name], picture)


def test_so101_shows_the_same_pictures():
    """Without the expert every picture of both cameras is the same, bit for bit; or larger."""
    pytest.importorskip("mujoco")
    filmed = Filmed(
        "so101-quickstart", "expert",
        **{"init_states.count": 1, "max_steps": 30, "env_kwargs.image_size": 48},
    )  # fmt: skip
    check_pictures(filmed, {"top", "wrist"})
    assert {each.frames["top"].shape for each in filmed.played(size=96)} == {(96, 96, 3)}


@pytest.mark.slow  # LIBERO builds its scene twice
def test_libero_shows_the_same_pictures(libero_assets):
    """Without the policy every picture of both cameras is the same, bit for bit."""
    filmed = Filmed(
        "libero-spatial", "random",
        **{"init_states": "[0]", "tasks": "['0']", "max_steps": 12, "env_kwargs.image_size": 48},
    )  # fmt: skip
    check_pictures(filmed, {"agentview", "wrist"})
