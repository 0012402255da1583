"""Measures other than success: the value of an episode, its worst case, and the judging method."""

from __future__ import annotations

import pytest

from vla_eval.errors import ProtocolError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Outcome
from vla_eval.judging.means import Means, mean_of
from vla_eval.judging.measures import steps_to_success, time_limits, worth_of
from vla_eval.judging.methods import judging
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.released import load_protocol
from vla_eval.stats import MeanDifferences

KEY = EpisodeKey("so101", "PickPlace", 100, 0, 0)


def record(outcome="success", *, steps=90, score=1.0, key=KEY):
    return EpisodeRecord(
        arm="a",
        suite=key.suite,
        task=key.task,
        init_state=key.init_state,
        env_seed=key.env_seed,
        policy_seed=key.policy_seed,
        env_id="e",
        outcome=outcome,
        steps=steps,
        score=score,
        scene_hash="s",
        protocol_sha256="p",
        policy_sha256="q",
        timing=Timing(started_at="2026-01-01T00:00:00+00:00"),
    )


@pytest.fixture
def timed():
    return load_protocol("so101-time")


def test_a_failure_counts_the_time_limit(timed):
    """A quick failure is no quick success, and a success after the limit would be none."""
    assert steps_to_success(record(steps=90), 450) == 90
    assert steps_to_success(record("failure", steps=90), 450) == 450
    assert steps_to_success(record(steps=500), 450) == 450
    assert worth_of(timed)(record(steps=90)) == pytest.approx(0.8)
    assert worth_of(timed)(record("failure", steps=90)) == 0
    assert time_limits(timed) == {("so101", "PickPlace"): 450}


def test_a_score_is_its_own_value():
    """Partial credit is taken as the environment gave it; success has no other value."""
    assert worth_of(load_protocol("meanflow-so101-score"))(record("failure", score=0.5)) == 0.5
    assert worth_of(load_protocol("so101-pick-place")) is None


def test_doubtful_episodes_count_at_their_worst(timed):
    """A missing episode of the candidate is a failure at 0, one of the reference a success at 1."""
    known, missing = ArmEpisodes("a", {KEY: record()}), ArmEpisodes("b", {}, missing=(KEY,))
    worth = worth_of(timed)
    ours = ledger.pair([KEY], missing, known).outcomes("worst", worth)
    theirs = ledger.pair([KEY], known, missing).outcomes("worst", worth)
    assert ours[0].values == (0.0, pytest.approx(0.8))
    assert theirs[0].values == (pytest.approx(0.8), 1.0)
    assert ledger.pair([KEY], missing, known).outcomes("observed", worth) == ()


def outcomes(gains, *, repeats=1, task="t"):
    return [
        Outcome(
            EpisodeKey("s", task, state, 0, seed), ours=True, theirs=True, values=(0.5 + gain, 0.5)
        )
        for state, gain in enumerate(gains)
        for seed in range(repeats)
    ]


def test_repeats_of_a_state_add_no_states(timed):
    """Ten copies of each state are judged as each state once."""
    once = judging(outcomes([0.1, -0.2, 0.3]), timed.analysis)
    copied = judging(outcomes([0.1, -0.2, 0.3], repeats=10), timed.analysis)
    assert isinstance(once, Means)
    assert copied.p_above(-0.1) == pytest.approx(once.p_above(-0.1))
    assert copied.interval(0.1) == pytest.approx(once.interval(0.1))


def test_tasks_weigh_the_same_if_the_protocol_says_so(timed):
    """Four states of one task and one of another: half of the weight each with strata."""
    pairs = [*outcomes([0.0] * 4), *outcomes([-0.4], task="u")]
    assert judging(pairs, timed.analysis).difference == pytest.approx(-0.08)
    strata = timed.analysis.model_copy(update={"strata": "task"})
    assert judging(pairs, strata).difference == pytest.approx(-0.2)


def test_the_mean_of_an_arm_has_an_interval(timed):
    """Its ends stay from 0 to 1, and hold the mean."""
    keys = [EpisodeKey("so101", "PickPlace", state, 0, 0) for state in range(30)]
    arm = ArmEpisodes("a", {key: record(key=key) for key in keys})
    mean, (low, high) = mean_of(arm, worth_of(timed), timed.analysis)
    assert mean == pytest.approx(0.8)
    assert 0 <= low < mean < high <= 1


def test_scores_are_judged_by_the_exact_test_too():
    """Times are not: their small differences would all be rounded to losses."""
    score, time = (load_protocol(name).analysis for name in ("meanflow-so101-score", "so101-time"))
    pairs = outcomes([-0.01] * 40)
    data = MeanDifferences.of([-0.01] * 40)
    assert judging(pairs, time).p_above(-0.1) == pytest.approx(data.p_above(-0.1))
    assert judging(pairs, score).p_above(-0.1) == pytest.approx(2 * data.p_above(-0.1))


@pytest.mark.parametrize(
    "change",
    [
        'stopping="obrien-fleming-5"',
        'cluster_test="bets"',
        'candidates=["a", "b"]',
        "task_margin=0.2",
    ],
)
def test_what_is_for_successes_only_is_refused(change):
    """One sentence names the field and the measure."""
    with pytest.raises(ProtocolError, match=r"for successes only.*time-to-success"):
        load_protocol("so101-time", overrides=[f"analysis.{change}"])
