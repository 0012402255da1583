"""What a policy says of itself, and what it is told at an inference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context, PolicyMetadata


def metadata(**changes) -> PolicyMetadata:
    given = {"name": "mine", "method": "fm", "chunk_size": 8, "n_action_steps": 4}
    return PolicyMetadata(**(given | changes))


@pytest.mark.parametrize("value", [None, "a", 1, 0.5, True])
def test_an_option_is_a_plain_value(value):
    """Whatever JSON holds alone; two policies that differ in it are two."""
    assert metadata(options={"level": value}).options["level"] is value
    assert metadata(options={"level": value}) != metadata(options={"level": "another"})


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32(1), [1], {"a": 1}, (1,)])
def test_an_option_that_cannot_be_compared_is_refused(value):
    """NaN differs from itself; a NumPy scalar and what is nested are not stored as they were."""
    with pytest.raises(PolicySpecError, match="'mine': option 'level' is"):
        metadata(options={"level": value})


@pytest.mark.parametrize("name", ["chunk_size", "n_action_steps", "n_obs_steps"])
def test_counts_are_at_least_one(name):
    """A chunk of nothing, or no observation, is no policy."""
    assert getattr(metadata(**{name: 1}), name) == 1
    with pytest.raises(PolicySpecError, match="at least 1"):
        metadata(**{name: 0})


def test_passes_and_samples_are_options_or_follow_from_the_steps():
    """Of another type they are unknown, and one."""
    assert (metadata(nfe=10).passes, metadata(nfe=10).samples) == (10, 1)
    assert metadata(nfe=10, options={"passes": 2, "samples": 8}).passes == 2
    assert metadata(options={"samples": 8}).samples == 8
    assert (metadata(options={"passes": "2"}).passes, metadata().passes) == (None, None)


def test_stalled_steps_are_not_the_policys():
    """Of ten control steps the robot had no action in three."""
    bound = np.ones(2, np.float32)
    context = Context(EpisodeKey("s", "t", 0, 0, 0), 10, 2, "go", -bound, bound, stalled=3)
    assert context.executed == 7
    assert context.normalised
    assert context.suite == "s"
