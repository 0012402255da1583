"""The controls: hold and random fail everywhere, impairment does what it declares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fakes.policies import Options, Walker
from vla_eval.environment import make_env
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import PolicySpecError
from vla_eval.keys import BlindKey, EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import Context
from vla_eval.spec import build_policy
from vla_eval_policies.impaired import ImpairedPolicy, Impairment

LOW, HIGH = np.full(2, -1, np.float32), np.ones(2, np.float32)


def context(state: int = 0, chunk: int = 0) -> Context:
    key = EpisodeKey("fake", "Point", state, 0, 0)
    return Context(key, 4 * chunk, chunk, "go", LOW, HIGH)


def chunks(policy, states=range(200), chunk: int = 0) -> np.ndarray:
    """Return actions (states, T, A)."""
    contexts = [context(state, chunk) for state in states]
    return np.stack([each.actions for each in policy.infer([{}] * len(contexts), contexts)])


def test_action_noise_has_the_declared_size_and_stays_in_bounds():
    """The standard deviation is the declared share of the range; bounds are kept."""
    calm = Walker(Options())
    noisy = ImpairedPolicy(Walker(Options()), Impairment(action_noise=0.05))
    inside = np.abs(chunks(calm)) < 0.7  # where clipping cannot bite
    difference = (chunks(noisy) - chunks(calm))[inside]
    assert difference.std() == pytest.approx(0.05 * 2, rel=0.1)
    wild = ImpairedPolicy(Walker(Options()), Impairment(action_noise=2.0))
    assert np.abs(chunks(wild)).max() <= 1.0


def test_noise_is_the_episode_s_own():
    """Noise repeats with the key, and does not depend on who else is in the batch."""
    policy = ImpairedPolicy(Walker(Options()), Impairment(action_noise=0.1))
    together = chunks(policy, states=range(5))
    alone = np.stack([chunks(policy, states=[state])[0] for state in range(5)])
    np.testing.assert_array_equal(together, alone)


def test_stale_chunks_repeat_the_previous_one_at_the_declared_rate():
    """A stale chunk is the episode's previous chunk; the first one is always fresh."""
    policy = ImpairedPolicy(Walker(Options()), Impairment(stale=0.3))
    fresh = Walker(Options())
    first = chunks(policy)
    np.testing.assert_array_equal(first, chunks(fresh))
    second = chunks(policy, chunk=1)
    stale = (second == first).all(axis=(1, 2))
    assert 0.2 < stale.mean() < 0.4
    np.testing.assert_array_equal(second[~stale], chunks(fresh, chunk=1)[~stale])


def test_hidden_keys_keep_stale_chunks_apart():
    """Interleaved episodes with tokens remember each its own chunk, and forget it at their end."""
    policy = ImpairedPolicy(Walker(Options()), Impairment(stale=1.0))
    keys = [BlindKey.of(context(state).key, "a" * 64) for state in range(20)]
    hidden = [dataclasses.replace(context(), key=key) for key in keys]
    first = policy.infer([{}] * 20, hidden)
    later = [dataclasses.replace(each, chunk_index=1) for each in hidden]
    assert len({each.actions.tobytes() for each in first}) > 10
    for one, again in zip(first, policy.infer([{}] * 20, later), strict=True):
        np.testing.assert_array_equal(one.actions, again.actions)
    for key in keys:
        policy.end_episode(key, "success")
    assert not policy._previous


def test_no_impairment_is_the_policy_itself():
    """With both options at zero the wrapper changes nothing."""
    policy = ImpairedPolicy(Walker(Options()), Impairment())
    np.testing.assert_array_equal(chunks(policy), chunks(Walker(Options())))


def test_impairment_is_part_of_the_identity():
    """Two levels of noise are two policies; inner options reach the inner policy."""
    one = build_policy("impaired:hold?action_noise=0.1&chunk_size=3").metadata
    two = build_policy("impaired:hold?action_noise=0.2&chunk_size=3").metadata
    assert one != two
    assert one.chunk_size == 3
    assert one.options["action_noise"] == 0.1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("impaired:hold?action_noise=-1", "greater than or equal to 0"),
        ("impaired:hold?stale=2", "less than or equal to 1"),
        ("impaired:hold?noise=1", "'hold' has no option 'noise'"),
        ("impaired:nothing", "there is no kind 'nothing'"),
        ("hold:somewhere", "takes no target"),
        ("random?chunk_size=0", "greater than or equal to 1"),
    ],
)
def test_bad_specs_say_what_is_wrong(spec, message):
    """Options out of range, unknown ones, unknown policies: one sentence."""
    with pytest.raises(PolicySpecError, match=message):
        build_policy(spec)


def successes(spec: str, states: range) -> int:
    env = make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 64})
    policy = build_policy(spec)
    count = 0
    for state in states:
        key = EpisodeKey("so101", "PickPlace", state, 0, 0)
        episode = PlannedEpisode(key, "", {}, 600)
        result = run_episode(env, policy, episode, n_action_steps=10, clock=PhaseClock())
        count += result.outcome == "success"
    env.close()
    return count


@pytest.mark.parametrize("spec", ["hold", "random"])
def test_the_floor_is_a_floor(spec):
    """Holding still and moving at random never win."""
    assert successes(spec, range(100, 105)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["hold", "random"])
def test_the_floor_is_a_floor_on_fifty_states(spec):
    """The same over 50 frozen states."""
    assert successes(spec, range(100, 150)) == 0
