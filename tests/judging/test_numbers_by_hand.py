"""Numbers of the judging methods against their formulas, and the words and files around them."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from fakes.by_hand import Run, paired_result, small_protocol
from vla_eval.analysis import Analysis, Resize
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.judging.ledger import ArmEpisodes, Outcome
from vla_eval.judging.means import Means, mean_of
from vla_eval.judging.measures import MEASURES
from vla_eval.judging.methods import Repeats, TangoExact
from vla_eval.judging.overruns import OverRuns
from vla_eval.judging.paired_file import (
    FILE_NAME,
    EvaluationFile,
    read_evaluation,
    write_evaluation,
)
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.recipes import judge_recipes
from vla_eval.judging.states_file import read_states
from vla_eval.judging.virtual import virtual_sentence
from vla_eval.keys import EpisodeKey
from vla_eval.stats import ClusteredRate, MeanDifferences, Verdict, wilson_interval
from vla_eval.stats.bounded import log_wealth

ANALYSIS = Analysis(estimand="x", margin=0.1, margin_reason="x")


def outcome(state: int, ours: float, theirs: float, *, task: str = "t", repeat: int = 0) -> Outcome:
    return Outcome(
        EpisodeKey("s", task, state, 0, repeat), ours >= 1, theirs >= 1, values=(ours, theirs)
    )


def test_pairs_weigh_the_same_where_nothing_else_is_said():
    """Four states of one task and one of another."""
    pairs = (*(outcome(state, 0.5, 0.4) for state in range(4)), outcome(0, 0.1, 0.6, task="u"))
    assert Means(pairs).difference == pytest.approx((4 * 0.1 - 0.5) / 5)
    assert Means(pairs, equal_tasks=True).difference == pytest.approx((0.1 - 0.5) / 2)


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_the_mean_of_an_arm_is_that_of_bets_on_its_doubled_values(alpha):
    """Values from 0 to 1 are bet on as differences from −1 to 1."""
    run = Run(small_protocol(1, 30))
    for at, key in enumerate(run.keys):
        run.attempt("a", key, "failure", score=(at % 5) / 4)
    arm = ArmEpisodes.of(run.records, "a", run.keys)
    mean, (low, high) = mean_of(arm, lambda record: record.score, ANALYSIS, alpha=alpha)
    doubled = MeanDifferences.of([2 * (at % 5) / 4 - 1 for at in range(30)])
    assert mean == pytest.approx(0.5)
    expected = doubled.interval(alpha=alpha)
    assert (low, high) == pytest.approx(((1 + expected[0]) / 2, (1 + expected[1]) / 2))
    if alpha == 0.05:
        assert mean_of(arm, lambda record: record.score, ANALYSIS) == (mean, (low, high))


def test_words_of_a_measure():
    """Where a measure has a sentence of its own it is that one, else the general one."""
    score, time = MEASURES["score"], MEASURES["time-to-success"]
    assert score.says(Verdict.SUPERIOR) == (
        "The candidate has a higher mean score than the reference."
    )
    assert score.axis == "mean score, candidate minus reference"
    assert time.says(Verdict.WORSE).startswith("The candidate needs more time to success")
    assert MEASURES["success"].says(Verdict.WORSE) == Verdict.WORSE.sentence
    assert score.says(Verdict.INFERIOR) == Verdict.INFERIOR.sentence


def test_the_wealth_of_repeated_states_is_bet_on_their_means():
    """Three states with one, two and three repeats, weighted by these numbers."""
    won = {(0, 0), (1, 0), (2, 0), (2, 1)}
    pairs = tuple(
        outcome(state, float((state, repeat) in won), float(repeat == 2), repeat=repeat)
        for state in range(3)
        for repeat in range(state + 1)
    )
    means, weights = np.array([1.0, 0.5, 1 / 3]), np.array([1, 2, 3]) / 6
    method = Repeats(pairs)
    assert method.log_e_above(-0.1) == pytest.approx(log_wealth(means, -0.1, weights))
    assert method.log_e_below(0.2) == pytest.approx(log_wealth(-means, -0.2, weights))
    assert method.e_value(-0.1) == pytest.approx(math.exp(method.log_e_above(-0.1)))


def test_p_values_over_runs_are_at_most_1():
    """Wealth below 1 speaks for nothing, in either direction."""
    lost = TangoExact(tuple(outcome(state, 0.0, 1.0) for state in range(20)))
    won = TangoExact(tuple(outcome(state, 1.0, 0.0) for state in range(20, 40)))
    for method, above, below in ((lost, 1.0, None), (won, None, 1.0)):
        both = OverRuns(method.outcomes, (method,))
        assert above is None or both.p_above(-0.1) == above
        assert below is None or both.p_below(0.1) == below
        assert min(both.p_above(-0.1), both.p_below(0.1)) < 1e-3


def test_a_comparison_is_read_as_it_was_written(tmp_path):
    """None where there is none; a damaged one may be deleted."""
    assert read_evaluation(tmp_path) is None
    for content in (
        EvaluationFile(step=7, paired=paired_result(lost=("s/t/i0/e0/p0",))),
        EvaluationFile(),
    ):
        write_evaluation(tmp_path, content)
        assert read_evaluation(tmp_path) == content
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(RunFolderError, match="delete it: it is derived from the records"):
        read_evaluation(tmp_path)


def test_the_rate_of_repeated_states_has_their_interval():
    """Where the protocol counts states; otherwise that of as many episodes."""
    run = Run(small_protocol(1, 8, run={"env_seeds": [0, 1, 2]}, cluster="initial-state"))
    successes = [0] * 8
    for key in run.keys:
        won = key.init_state < 5 or (key.init_state == 5 and key.env_seed == 0)
        successes[key.init_state] += won
        run.attempt("a", key, "success" if won else "failure")
    arm = ArmEpisodes.of(run.records, "a", run.keys)
    states = ClusteredRate(np.full(8, 3), np.array(successes))
    of_states = ANALYSIS.model_copy(update={"cluster": "initial-state"})
    assert rate_interval(arm, of_states) == pytest.approx(states.interval())
    assert rate_interval(arm, of_states, level=0.2) == pytest.approx(states.interval(alpha=0.2))
    of_episodes = ANALYSIS.model_copy(update={"cluster": "none"})
    assert rate_interval(arm, of_episodes) == pytest.approx(wilson_interval(16, 24))
    assert states.interval() != pytest.approx(wilson_interval(16, 24))


@pytest.mark.parametrize(
    ("worst", "best", "verdict"),
    [
        ((-0.2, 0.5), (-0.1, 0.6), Verdict.INCONCLUSIVE),
        ((-0.05, 0.05), (-0.01, 0.5), Verdict.NON_INFERIOR),
        ((-0.05, 0.01), (-0.01, 0.09), Verdict.EQUIVALENT),
        ((-0.5, -0.3), (-0.4, -0.2), Verdict.INFERIOR),
    ],
)
def test_recipes_are_judged_by_the_worst_lower_and_the_best_upper_limit(worst, best, verdict):
    """The tests agree to everything here, so that the limits alone decide; they are of level 2 alpha."""
    asked = []

    def of(limits):
        return SimpleNamespace(
            interval=lambda alpha: asked.append(alpha) or limits,
            p_above=lambda _: 0.0,
            p_below=lambda _: 0.0,
        )

    assert judge_recipes(of(worst), of(best), 0.1, 0.03).verdict is verdict
    assert asked == [0.06, 0.06]


def test_a_file_of_states_is_a_megabyte_at_most(tmp_path):
    """Spaces count."""
    file, text = tmp_path / "states.json", json.dumps({"n": [2, 1], "won": [1, 0], "lost": [0, 1]})
    file.write_text(text.ljust(1_000_000))
    assert read_states(file).wins.tolist() == [1, 0]
    file.write_text(text.ljust(1_000_001))
    with pytest.raises(UsageError):
        read_states(file)


OWN = {"a": {"total_us": 7}, "b": {"total_us": 9}}
MACHINE = {"name": "robot", "source": "s", "prefix_us": 700, "pass_us": 110}


@pytest.mark.parametrize(
    ("realtime", "words"),
    [
        ({"mode": "blocking", "arms": OWN}, "blocking · latencies given by arm"),
        ({"mode": "async", "arms": OWN}, "async, merge replace · latencies given by arm"),
        ({"mode": "async", "merge": "average", "machine": MACHINE}, "async, merge average · robot"),
        (
            {"mode": "blocking", "machine": MACHINE, "arms": OWN},
            "blocking · robot · own latencies: a, b",
        ),
    ],
)
def test_virtual_time_in_words(realtime, words):
    """Mode and merge, whose latencies, and the limit; nothing of a paused run."""
    said = virtual_sentence(small_protocol(1, 4, run={"latency": "virtual", "realtime": realtime}))
    assert said == f"virtual time: {words} · limit 40 ticks"
    assert virtual_sentence(small_protocol(1, 4)) == ""


@pytest.mark.parametrize(
    ("number", "fine"), [(0, False), (1, True), (1_000_000, True), (1_000_001, False)]
)
def test_sizes_of_a_resized_run_are_from_one_to_a_million(number, fine):
    """Each of the three numbers alone."""
    for name in ("after", "planned", "at_most"):
        sizes = {"after": 5, "planned": 6, "at_most": 7, name: number}
        if fine:
            assert getattr(Resize(**sizes), name) == number
        else:
            with pytest.raises(ValidationError, match=name):
                Resize(**sizes)
