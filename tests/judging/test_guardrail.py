"""The guard rail: tasks that are shown to be worse, tasks on which a loss is ruled out, and the others."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from vla_eval.analysis import Analysis
from vla_eval.gate.compare import Status, _status
from vla_eval.judging.guardrail import GuardRail, TaskFinding, guard_rail
from vla_eval.judging.ledger import Outcome
from vla_eval.judging.methods import JudgingMethod, judge_between, judging
from vla_eval.judging.overruns import OverRuns
from vla_eval.keys import EpisodeKey
from vla_eval.stats import Judgement, SequentialPlan, Verdict

ANALYSIS = Analysis(estimand="x", margin=0.1, margin_reason="x")


def pairs(task: str, n: int, *, lost: int = 0, won: int = 0) -> Iterable[Outcome]:
    """Yield the pairs of one task, of which some are won or lost."""
    for state in range(n):
        yield Outcome(
            EpisodeKey("fake", task, state, 0, 0), state >= lost, not 0 <= state - lost < won
        )


def method(*tasks: Iterable[Outcome], analysis: Analysis = ANALYSIS) -> JudgingMethod:
    return judging([outcome for task in tasks for outcome in task], analysis)


def test_each_task_has_one_finding():
    """A collapse is shown, a task without a loss is ruled out, and a few pairs leave a task open."""
    tasks = method(pairs("bad", 40, lost=20), pairs("good", 40), pairs("few", 5))
    rail = guard_rail(tasks, tasks, margin=0.2, alpha=0.05)
    assert {each.task: each.finding for each in rail.tasks} == {
        "fake/bad": "worse",
        "fake/good": "held",
        "fake/few": "open",
    }
    assert (
        "shown to be worse by more: fake/bad; ruled out for 1 of 3; open: fake/few" in rail.sentence
    )


def test_levels_are_shared_between_the_tasks():
    """One task alone is shown to be worse; among forty tasks the same pairs are not enough."""
    lost = {"n": 30, "lost": 12}
    alone = method(pairs("bad", **lost), pairs("other", 30))
    many = method(pairs("bad", **lost), *(pairs(f"t{i}", 30) for i in range(39)))
    assert guard_rail(alone, alone, margin=0.2, alpha=0.05).having("worse") == ("fake/bad",)
    assert guard_rail(many, many, margin=0.2, alpha=0.05).having("worse") == ()


def test_missing_episodes_show_no_loss():
    """A loss must hold in the candidate's best case, and its exclusion in the worst."""
    worst, best = (
        method(pairs("a", 40, lost=20), pairs("b", 40)),
        method(pairs("a", 40), pairs("b", 40)),
    )
    rail = guard_rail(worst, best, margin=0.2, alpha=0.05)
    assert [each.finding for each in rail.tasks] == ["open", "held"]


def test_levels_at_a_look_are_those_of_the_look():
    """In a sequential run the first look needs far smaller p-values."""
    outcomes = [*pairs("a", 40, lost=24), *pairs("b", 40)]
    plan = SequentialPlan((80, 160, 240, 320, 400), 0.1)
    first = judging(outcomes, ANALYSIS, plan)
    rail = guard_rail(first, first, margin=0.2, alpha=0.05)
    assert max(each.level_within for each in rail.tasks) < 1e-4


def test_declared_weights_weigh_the_tasks():
    """A task with nine times the weight of the other decides nine tenths of the difference."""
    weights = {"fake/a": 9.0, "fake/b": 1.0}
    analysis = ANALYSIS.model_copy(update={"strata": "task", "weights": weights})
    weighted = method(pairs("a", 20, lost=2), pairs("b", 20, lost=10), analysis=analysis)
    assert weighted.difference == pytest.approx(0.9 * -0.1 + 0.1 * -0.5)
    low, high = weighted.interval(0.10)
    assert low < weighted.difference < high


def test_other_words_need_the_stricter_level():
    """In a family the claim may have Holm's level, while "superior" and "equivalent" need alpha over k."""
    found = method(pairs("a", 100, won=6))
    assert judge_between(found, found, 0.1, 0.05).verdict is Verdict.SUPERIOR
    strict = judge_between(found, found, 0.1, 0.05, others=0.005)
    assert strict.verdict is Verdict.NON_INFERIOR


def test_the_product_over_runs_is_judged():
    """Evidence multiplies: two runs of 30 pairs without a loss have the square of one run's e-value."""
    one = method(pairs("a", 30))
    both = OverRuns((*one.outcomes, *one.outcomes), (one, one))
    assert both.p_above(-0.1) == pytest.approx(one.e_value(-0.1) ** -2)
    low, high = both.interval(0.10)
    assert -0.1 < low < 0 < high < 0.1


def test_the_gate_fails_a_task_that_is_shown_to_be_worse():
    """The mean holds, and the gate still reports a regression."""
    tasks = method(pairs("bad", 40, lost=20), *(pairs(f"t{i}", 40) for i in range(9)))
    rail = guard_rail(tasks, tasks, margin=0.2, alpha=0.05)
    held = judge_between(tasks, tasks, 0.1, 0.05)
    assert held.noninferior
    assert _status(Judgement(Verdict.NON_INFERIOR), None) is Status.HOLDS
    assert _status(Judgement(Verdict.NON_INFERIOR), rail) is Status.REGRESSED


def test_a_sentence_names_six_tasks_at_most():
    """Six by name; of eight the other two by their number."""
    findings = [
        TaskFinding(
            task=f"T{index}",
            finding="open",
            p_within=1.0,
            level_within=0.05,
            p_beyond=1.0,
            level_beyond=0.05,
        )
        for index in range(8)
    ]
    for count, words in ((6, "T5"), (7, "T5 and 1 more"), (8, "T5 and 2 more"), (0, "none")):
        rail = GuardRail(margin=0.2, alpha=0.05, tasks=tuple(findings[:count]))
        assert rail.sentence.endswith(words)
        assert rail.sentence.startswith(f"guard rail, 20 points on each of {count} tasks")


def test_a_task_of_several_runs_is_judged_by_those_that_have_it():
    """A run without pairs of a task says nothing about it; the mean counts each run by its pairs."""
    one = method(pairs("a", 30), pairs("b", 30, lost=3))
    other = method(pairs("b", 20, lost=1))
    both = OverRuns((*one.outcomes, *other.outcomes), (one, other))
    assert both.difference == pytest.approx(-4 / 80)
    alone = method(pairs("a", 30))
    tasks = both.by_task()
    assert tasks["fake/a"].p_above(-0.1) == pytest.approx(1 / alone.e_value(-0.1))
    assert tasks["fake/b"].difference == pytest.approx(-4 / 50)


class Known:
    """A method whose tasks have given p-values, and whose levels are those in use at a look."""

    def __init__(self, **p_values: float) -> None:
        self.p_values = p_values

    def by_task(self):
        return {
            task: SimpleNamespace(p_below=lambda _, p=p: p, p_above=lambda _, p=p: p)
            for task, p in self.p_values.items()
        }

    def level(self, alpha: float) -> float:
        return alpha / 2


def test_a_task_s_p_value_may_be_its_level():
    """Holm's levels of two tasks, each halved by the look: alpha over 4 and over 2; one step above is too much."""
    least, most, step = 0.0125, 0.025, 2.0**-40
    for first, second, found in (
        (least, most, ["worse", "worse"]),
        (least, most + step, ["worse", "open"]),
        (least + step, most, ["open", "open"]),
    ):
        rail = guard_rail(Known(a=1.0, b=1.0), Known(a=first, b=second), margin=0.2, alpha=0.05)
        assert [task.finding for task in rail.tasks] == found
        held = guard_rail(Known(a=first, b=second), Known(a=1.0, b=1.0), margin=0.2, alpha=0.05)
        assert [task.finding for task in held.tasks] == [
            "held" if each == "worse" else each for each in found
        ]
    assert [task.level_within for task in rail.tasks] == [least, least]
