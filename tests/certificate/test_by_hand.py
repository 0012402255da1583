"""One certificate of evidence that was laid out by hand: four different cells, two tasks, doubtful episodes.

Every count is written here; statistics of counts are tested in ``tests/stats/``.
"""

from __future__ import annotations

import math

import pytest
from statsmodels.stats.proportion import proportion_confint

from fakes.by_hand import ALPHA, CELLS, MARGIN, Run, laid_out, protocol_of
from vla_eval import stats
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.protocol import Protocol
from vla_eval.stats import Flag, PairedTable, Verdict

ROLES = Roles("student", "teacher", "bad")


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return issue_from(laid_out(protocol_of()).evidence(ROLES, "spare", "more"))


OBSERVED = PairedTable(n11=24, n10=7, n01=5, n00=10)
# Two planned episodes of each arm are missing; the retried one counts as the missing do.
WORST = PairedTable(n11=23, n10=7, n01=5 + 2 + 1, n00=10)
WORST_CASE = PairedTable(n11=23 + 2, n10=7, n01=8, n00=10)
BEST_CASE = PairedTable(n11=24 + 2, n10=7 + 2, n01=5, n00=10)


def test_what_was_observed(certificate):
    """Cells, difference and intervals are those of the pairs with two results."""
    found = certificate.comparison
    assert (found.n11, found.n10, found.n01, found.n00) == (24, 7, 5, 10)
    assert found.difference == pytest.approx((7 - 5) / 46)
    assert found.discordance == pytest.approx(12 / 46)
    phi = (24 * 10 - 7 * 5) / math.sqrt(31 * 15 * 29 * 17)
    assert found.phi == pytest.approx(phi)
    for level, interval in ((0.10, found.ci90), (0.05, found.ci95)):
        assert interval == pytest.approx(stats.tango_interval(7, 5, 46, alpha=level))
    assert found.p_score == pytest.approx(stats.tango_p_noninferior(7, 5, 46, margin=MARGIN))
    assert found.p_different == pytest.approx(stats.mcnemar_p(OBSERVED))
    ratio = stats.failure_ratio_paired(OBSERVED)
    assert found.failure_ratio_ci95 == pytest.approx(ratio)
    assert (found.method, found.clusters, found.vif, found.icc) == ("Tango", None, None, None)


def test_what_is_judged_holds_in_the_worst_case(certificate):
    """The lower limit from the worst case, the upper one from the best, at the protocol's level."""
    found = certificate.comparison
    worst = stats.tango_interval(WORST_CASE.n10, WORST_CASE.n01, WORST_CASE.n, alpha=2 * ALPHA)
    best = stats.tango_interval(BEST_CASE.n10, BEST_CASE.n01, BEST_CASE.n, alpha=2 * ALPHA)
    assert found.ci_judged == pytest.approx((worst[0], best[1]))
    p = stats.exact_p_noninferior(WORST_CASE.n10, WORST_CASE.n01, WORST_CASE.n, margin=MARGIN)
    assert found.p_worse == pytest.approx(p)
    assert (certificate.alpha, certificate.planned_alpha, certificate.margin) == (0.02, 0.02, 0.3)
    assert certificate.margin_reason == "because"


def test_each_task_alone(certificate):
    """In the plan's order, with its own cells and its own interval."""
    tasks = certificate.comparison.tasks
    assert [task.task for task in tasks] == ["s/A", "s/B"]
    for task, cells in zip(tasks, CELLS.values(), strict=True):
        assert [task.n11, task.n10, task.n01, task.n00] == list(cells.values())
        n = sum(cells.values())
        assert task.difference == pytest.approx((cells["10"] - cells["01"]) / n)
        assert task.ci90 == pytest.approx(
            stats.tango_interval(cells["10"], cells["01"], n, alpha=0.1)
        )
    tables = [
        PairedTable(**{f"n{cell}": count for cell, count in each.items()})
        for each in CELLS.values()
    ]
    assert certificate.comparison.stratified_ci90 == pytest.approx(
        stats.stratified_paired_interval(tables, alpha=0.1)
    )
    assert certificate.comparison.heterogeneity_df == 1


def test_each_arm_alone(certificate):
    """Results, missing and retried episodes, all attempts, and means over the results."""
    student, teacher, bad = certificate.arms
    assert [arm.role for arm in certificate.arms] == ["candidate", "reference", "negative control"]
    assert [arm.name for arm in certificate.arms] == ["student", "teacher", "bad"]
    assert (student.n, student.successes, student.missing, student.retried) == (48, 33, 2, 1)
    assert (teacher.n, teacher.successes, teacher.missing, teacher.retried) == (48, 31, 2, 0)
    assert (bad.n, bad.successes, bad.missing, bad.retried) == (50, 5, 0, 0)
    assert [arm.attempts for arm in certificate.arms] == [48 + 4 + 1, 48 + 4 + 1, 50]
    assert student.spec == "spec:student"
    assert student.identity["name"] == "student"
    assert student.wilson95 == pytest.approx(proportion_confint(33, 48, method="wilson"))
    assert student.sampling_sd == pytest.approx(math.sqrt(33 / 48 * 15 / 48 / 48))
    assert student.rerun_sd is None
    assert student.nfe_per_inference == 7
    assert bad.nfe_per_inference == 3
    assert bad.clipped_actions == 150
    states = [*range(30), *range(100, 120)]
    assert bad.steps_mean == pytest.approx(sum(10 + s % 7 for s in states) / 50)
    scores = [1.0 if i % 10 == 0 else (s % 4) / 8 for i, s in enumerate(states)]
    assert bad.mean_score == pytest.approx(sum(scores) / 50)
    assert bad.mean_score_by_task == pytest.approx(
        {"s/A": sum(scores[:30]) / 30, "s/B": sum(scores[30:]) / 20}
    )
    assert certificate.seeds.env_seeds == (6,)
    assert certificate.seeds.policy_seeds == (8,)


def test_what_was_planned(certificate):
    """Power of the planned pairs at parity, with the rate and correlation that were observed."""
    power = certificate.power
    assert (power.pairs_planned, power.pairs_expected) == (50, 50)
    assert power.reference_rate == pytest.approx((24 + 5 + 0.5) / 47)
    assert power.correlation == pytest.approx(certificate.comparison.phi)
    case = stats.PairedCase(power.reference_rate, 0.0, power.correlation)
    expected = stats.power_paired(50, case, margin=MARGIN, alpha=ALPHA)
    assert power.at_parity == pytest.approx(expected)
    assert power.pairs_for_80 == stats.pairs_by_formula(case, margin=MARGIN, alpha=ALPHA, power=0.8)
    smallest = power.smallest_margin_80
    assert stats.pairs_by_formula(case, margin=smallest + 1e-3, alpha=ALPHA, power=0.8) <= 50
    assert stats.pairs_by_formula(case, margin=smallest - 1e-3, alpha=ALPHA, power=0.8) > 50


def test_the_flags(certificate):
    """These and no others, with the counts that they are about."""
    assert set(certificate.flags) == {
        Flag.SINGLE_CHECKPOINT,
        Flag.SELF_COMPARISON,
        Flag.UNHASHED_WEIGHTS,
        Flag.UNHASHED_SPEC,
        Flag.TRAINED_ON_UNKNOWN,
        Flag.ATTRITION,
        Flag.RETRIED,
        Flag.UNRELEASED_PROTOCOL,
        Flag.UNREGISTERED,
        Flag.PICKED_CANDIDATE,
        *((Flag.HETEROGENEOUS,) if certificate.comparison.heterogeneity_p < 0.05 else ()),
    }
    assert certificate.flags == tuple(flag for flag in Flag if flag in certificate.flags)
    details = certificate.details
    assert details["attrition"] == "student 2, teacher 2, bad 0"
    assert details["retried"] == "student 1, teacher 0, bad 0"
    assert details["picked-candidate"] == "2 others: spare, more"
    assert details["unhashed-spec"] == "student, teacher, bad"


def test_the_control_and_the_words(certificate):
    """The control is judged in the candidate's place, and is worse; the sentence says what is judged."""
    control = certificate.control
    assert control.candidate == "bad"
    assert control.verdict is Verdict.INFERIOR
    assert certificate.assay.grade == "shown"
    assert certificate.verdict is Verdict.INCONCLUSIVE or certificate.comparison.p_worse <= ALPHA
    assert "96 % interval" in certificate.sentence
    assert "whatever the missing and retried episodes were" in certificate.sentence
    assert "margin 30 points" in certificate.sentence
    assert certificate.claim.startswith(
        "'student' is not worse than 'teacher' by 30 points or more"
    )
    assert "over 46 paired episodes" in certificate.claim
    assert certificate.first_episode_at == "2026-01-01T10:00:01+00:00"
    assert certificate.last_episode_at > certificate.first_episode_at
    assert certificate.sessions == 1


@pytest.mark.parametrize(("margin", "raised"), [(0.2999, True), (0.3001, True), (0.3, False)])
def test_any_other_margin_is_post_hoc(margin, raised):
    """A smaller one too: whoever knows the results could have chosen it."""
    issued = issue_from(laid_out(protocol_of()).evidence(ROLES), margin=margin)
    assert (Flag.POST_HOC in issued.flags) == raised
    assert (issued.margin_reason == "because") != raised
    assert Flag.PICKED_CANDIDATE not in issued.flags


def full(protocol: Protocol, rate: float = 0.8, **changes) -> Run:
    """Three arms without a missing episode."""
    run = Run(protocol)
    for index, key in enumerate(run.keys):
        for arm, won in (
            ("student", index < 44),
            ("teacher", index >= 50 * (1 - rate)),
            ("bad", index < 5),
        ):
            run.attempt(arm, key, "success" if won else "failure", **changes)
    return run


def flags_of(run: Run, **options) -> set[Flag]:
    return set(issue_from(run.evidence(ROLES), **options).flags)


@pytest.mark.parametrize(
    ("flag", "changes", "options"),
    [
        (Flag.BATCHED, {"max_batch": 2}, {}),
        (Flag.STAND_INS, {"provenance": {"standins": True}}, {}),
        (Flag.REUSED_HOLDOUT, {}, {"attempt": 2}),
    ],
)
def test_each_flag_is_raised_by_its_own_cause(flag, changes, options):
    """And by no other: with the cause it appears, and nothing else does."""
    plain = flags_of(full(protocol_of()))
    assert flags_of(full(protocol_of(), **changes), **options) == plain | {flag}
    assert flag not in plain


@pytest.mark.parametrize(
    ("rate", "margin", "raised"),
    [
        (0.8, 0.199, set()),
        (0.8, 0.201, {Flag.CEILING}),
        (0.8, 0.799, {Flag.CEILING}),
        (0.8, 0.801, {Flag.CEILING, Flag.FLOOR}),
        (0.5, 0.5, set()),
        (0.5, 0.501, {Flag.CEILING, Flag.FLOOR}),
        (0.2, 0.201, {Flag.FLOOR}),
    ],
)
def test_ceiling_and_floor_are_the_reference_s(rate, margin, raised):
    """A margin of all its failures is none yet, and neither is one of all its successes."""
    found = flags_of(full(protocol_of(), rate=rate), margin=margin)
    assert found & {Flag.CEILING, Flag.FLOOR} == raised


def test_a_second_attempt_has_a_smaller_level():
    """6α/(π²·2²), in the verdict's interval; the planned level stays in the certificate."""
    issued = issue_from(full(protocol_of()).evidence(ROLES), attempt=2)
    level = 6 * ALPHA / (2 * math.pi) ** 2
    assert issued.alpha == pytest.approx(level)
    assert (issued.planned_alpha, issued.attempt) == (ALPHA, 2)
    table = issued.comparison
    expected = stats.tango_interval(table.n10, table.n01, 50, alpha=2 * level)
    assert table.ci_judged == pytest.approx(expected)


def test_latency_counts_every_call_of_the_run_once():
    """Two calls with ten inferences or more; the first one of each episode is not counted."""
    run = Run(protocol_of())
    for index, key in enumerate(run.keys):
        session = "one" if index < 30 else "two"
        for arm, ms in (
            ("student", 2.0),
            ("teacher", 6.0 if session == "one" else 8.0),
            ("bad", 1.0),
        ):
            times = (100.0, ms, ms * 1.1)
            run.attempt(arm, key, "success", infer_ms=times, session=session, inferences=3)
    issued = issue_from(run.evidence(ROLES))
    assert issued.sessions == 2
    median = issued.latency_ratios[0]
    assert (median.quantile, median.runs) == (0.5, 2)
    assert median.ratio == pytest.approx(math.sqrt(1 / 3 * 1 / 4))
    assert issued.arms[0].latency.inferences == 100
    assert issued.arms[0].latency.p50_ms == pytest.approx(2.1)
    assert issued.latency_ratio == pytest.approx(6.6 / 2.1, rel=0.05)
    assert issued.faster == (median.interval95[1] < 1)


def test_latency_is_compared_if_both_arms_were_timed():
    """A tenth of a millisecond is a time; without a time of the other arm there is no ratio."""
    for theirs, ratio in ((0.3, 3.0), (None, None)):
        run = Run(protocol_of())
        for key in run.keys:
            for arm, ms in (("student", 0.1), ("teacher", theirs), ("bad", 1.0)):
                times = () if ms is None else (ms, ms, ms)
                run.attempt(arm, key, "success", infer_ms=times, inferences=3)
        found = issue_from(run.evidence(ROLES)).latency_ratio
        assert found == (None if ratio is None else pytest.approx(ratio))


@pytest.mark.parametrize("opposite", [False, True])
def test_tasks_that_differ_are_flagged(opposite):
    """In one task the candidate wins and in the other it loses; not where the wins lie in both."""
    run = Run(protocol_of())
    for key in run.keys:
        half = key.task == "A" if opposite else key.init_state % 2 == 0
        run.attempt("student", key, "success" if half else "failure")
        run.attempt("teacher", key, "failure" if half else "success")
        run.attempt("bad", key, "failure")
    issued = issue_from(run.evidence(ROLES))
    assert (Flag.HETEROGENEOUS in issued.flags) == opposite
    assert (issued.comparison.heterogeneity_p < 0.05) == opposite
