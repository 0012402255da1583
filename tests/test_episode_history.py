"""A policy that looks back is shown the control steps just before each inference."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.env import PointEnv
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import ActionChunk, PolicyMetadata


class LooksBack:
    """Stands still, and notes at which steps what it is shown was drawn."""

    def __init__(self, n_obs_steps: int) -> None:
        self.metadata = PolicyMetadata("looks-back", "toy", 8, 8, n_obs_steps=n_obs_steps)
        self.shown: list[list[int]] = []

    def infer(self, observations, contexts):
        (context,) = contexts
        seen = [*context.history, *observations]
        self.shown.append([int(each["pixels"]["front"][0, 0, 0]) for each in seen])
        return [ActionChunk(np.zeros((8, 2), np.float32))]


@pytest.mark.parametrize(
    ("n_obs_steps", "n_action_steps", "shown"),
    [
        (1, 4, [[0], [4], [8]]),
        (2, 4, [[0], [3, 4], [7, 8]]),
        (3, 4, [[0], [2, 3, 4], [6, 7, 8]]),
        (3, 1, [[0], [0, 1], [0, 1, 2], [1, 2, 3]]),
        (3, 2, [[0], [0, 1, 2], [2, 3, 4]]),
        (6, 4, [[0], [0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 8]]),
    ],
)
def test_steps_before_an_inference(n_obs_steps, n_action_steps, shown):
    """As many as it asks for, without gaps, whatever the execution horizon."""
    policy = LooksBack(n_obs_steps)
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    episode = PlannedEpisode(key, "fakes:fakes/Point-v0", {}, max_steps=12)
    run_episode(PointEnv(), policy, episode, n_action_steps=n_action_steps, clock=PhaseClock())
    assert policy.shown[: len(shown)] == shown


def test_it_looks_at_the_present_at_least():
    """No policy looks at less than one step."""
    with pytest.raises(PolicySpecError, match="n_obs_steps"):
        PolicyMetadata("none", "toy", 8, 8, n_obs_steps=0)
