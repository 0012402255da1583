"""The ledger: pairs of results, missing and retried episodes, and the worst case."""

from __future__ import annotations

import pytest

from vla_eval.analysis import Analysis
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Mark, Outcome
from vla_eval.judging.methods import AtLook, Repeats, TangoExact, Weighted, judge_between, judging
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.store import Records
from vla_eval.stats import SequentialPlan, Verdict

KEYS = tuple(EpisodeKey("s", "t", state, 0, 0) for state in range(6))


def record(arm: str, key: EpisodeKey, outcome: str, **fields) -> EpisodeRecord:
    reason = {"success": None, "failure": "time_limit", "error": "policy_error"}[outcome]
    return EpisodeRecord(
        **{
            "arm": arm,
            "suite": key.suite,
            "task": key.task,
            "init_state": key.init_state,
            "env_seed": key.env_seed,
            "policy_seed": key.policy_seed,
            "env_id": "x",
            "outcome": outcome,
            "reason": reason,
            "scene_hash": f"scene {key.init_state}",
            "protocol_sha256": "p",
            "policy_sha256": arm,
            "timing": Timing(started_at="2026-01-01T00:00:00+00:00"),
            **fields,
        }
    )


def arm_of(name: str, *attempts: EpisodeRecord) -> ArmEpisodes:
    records = Records()
    for each in attempts:
        records.add(each, "here")
    return ArmEpisodes.of(records, name, KEYS)


@pytest.mark.parametrize("doubt", ["missing", "pending", "retried"])
@pytest.mark.parametrize("arm", ["a", "b"])
def test_each_doubt_alone_makes_a_worst_case(arm, doubt):
    """A missing, a pending or a retried episode of either arm; without one there is none."""
    finals = {key: record("a", key, "success") for key in KEYS[:2]}
    plain = {name: ArmEpisodes(name, finals) for name in "ab"}
    assert not ledger.pair(KEYS[:2], plain["a"], plain["b"]).doubtful
    assert plain["a"].attempts == 0
    arms = plain | {arm: ArmEpisodes(arm, finals, **{doubt: frozenset(KEYS[:1])})}
    assert ledger.pair(KEYS[:2], arms["a"], arms["b"]).doubtful


def test_what_each_episode_came_to():
    """A result, a result after a lost attempt, errors only, never tried: each has its mark."""
    arm = arm_of(
        "a",
        record("a", KEYS[0], "success"),
        record("a", KEYS[1], "failure"),
        record("a", KEYS[2], "error"),
        record("a", KEYS[2], "success", attempt=2),
        record("a", KEYS[3], "error", reason="worker_died"),
        record("a", KEYS[3], "failure", attempt=2),
        record("a", KEYS[4], "error"),
    )
    assert "".join(arm.marks()[key] for key in KEYS) == "10SFx-"
    assert (arm.n, arm.successes, arm.attempts) == (4, 2, 7)
    assert (arm.missing, arm.pending) == ((KEYS[4],), (KEYS[5],))
    assert dict(arm.error_reasons) == {"policy_error": 1}


def test_an_attempt_lost_before_the_policy_looked_is_innocent():
    """A scene that could not be built is not the policy's fault; one that broke later may be."""
    innocent = record("a", KEYS[0], "error", reason="env_error", inferences=0)
    acted = record("a", KEYS[1], "error", reason="env_error", inferences=3)
    arm = arm_of(
        "a",
        innocent,
        record("a", KEYS[0], "success", attempt=2),
        acted,
        record("a", KEYS[1], "success", attempt=2),
    )
    assert arm.retried == {KEYS[1]}


def test_only_known_and_equal_scenes_pair():
    """Episodes with an unknown scene or with different scenes do not pair; both kinds are named."""
    ours = arm_of("a", *(record("a", key, "success") for key in KEYS[:4]))
    changed = [record("b", KEYS[0], "success", scene_hash="other")]
    unknown = [record("b", KEYS[1], "success", scene_hash="")]
    plain = [record("b", key, "failure") for key in KEYS[2:5]]
    pairing = ledger.pair(KEYS, ours, arm_of("b", *changed, *unknown, *plain))
    assert [one.key for one, _ in pairing.pairs] == [KEYS[2], KEYS[3]]
    assert (pairing.unequal, pairing.unknown) == ((KEYS[0],), (KEYS[1],))
    assert "have no scene_hash" in pairing.objection
    without = ledger.pair(KEYS, ours, arm_of("b", *changed, *plain))
    assert "the scenes of 1 of 3 common episodes differ" in without.objection
    assert f"(the first is {KEYS[0]}: scene_hash scene 0 and other)" in without.objection
    long = record("b", KEYS[0], "success", scene_hash="0123456789abcdef")
    assert "scene 0 and 0123456789ab)" in ledger.pair(KEYS, ours, arm_of("b", long)).objection
    assert not ledger.pair(KEYS, ours, arm_of("b", *plain)).objection
    assert "no episode" in ledger.pair(KEYS, ours, arm_of("b", plain[2])).objection


def test_without_results_there_is_no_rate_of_states():
    """And not one of nothing; with them each state counts its own."""
    assert arm_of("a").by_state() is None
    states = arm_of(
        "a", record("a", KEYS[0], "success"), record("a", KEYS[1], "failure")
    ).by_state()
    assert (states.episodes.tolist(), states.successes.tolist()) == ([1, 1], [1, 0])


def test_the_worst_and_the_best_case():
    """Missing, pending and retried episodes count against the candidate, or for it; the others stay."""
    marks = dict(zip(KEYS, map(Mark, "10SFx-"), strict=True))
    won = dict.fromkeys(KEYS, Mark.WON)

    def rows(case):
        return [each.ours for each in ledger.outcomes(KEYS, marks, won, case)]

    assert rows("observed") == [True, False, True, False]
    assert rows("worst") == [True, False, False, False, False, False]
    assert rows("best") == [True, False, True, True, True, True]
    theirs = [each.theirs for each in ledger.outcomes(KEYS, won, marks, "worst")]
    assert theirs == [True, False, True, True, True, True], "the reference's at their best"


def outcomes_of(states: int, repeats: int = 1, *, lost: int = 0, task: str = "t") -> list[Outcome]:
    return [
        Outcome(EpisodeKey("s", task, state, 0, seed), state >= lost, True)
        for state in range(states)
        for seed in range(repeats)
    ]


ANALYSIS = Analysis(estimand="x", margin=0.1, margin_reason="x")


def test_one_method_for_each_kind_of_protocol():
    """Independent pairs, repeats, unequal tasks, looks: each has its method, and only it."""
    once, twice = outcomes_of(40), outcomes_of(40, 2)
    clustered = ANALYSIS.model_copy(update={"cluster": "initial-state"})
    strata = ANALYSIS.model_copy(update={"strata": "task"})
    unequal = [*outcomes_of(90), *outcomes_of(10, task="u")]
    equal = [*outcomes_of(40), *outcomes_of(40, task="u")]
    assert isinstance(judging(once, ANALYSIS), TangoExact)
    assert isinstance(judging(twice, clustered), Repeats)
    assert isinstance(judging(once, clustered), TangoExact), "nothing is repeated"
    assert isinstance(judging(unequal, strata), Weighted)
    assert isinstance(judging(equal, strata), TangoExact), "tasks weigh the same as it is"
    assert isinstance(judging(unequal, ANALYSIS), TangoExact)
    look = judging(once, ANALYSIS, SequentialPlan((20, 40, 60), 0.1))
    assert isinstance(look, AtLook)
    assert look.number == 2


def test_the_test_of_repeats_is_the_protocols():
    """`cluster_test` decides: copies pass the worst-repeat test earlier than both together."""
    data = outcomes_of(30, 4)
    for test, passes in (("worst-repeat", True), ("both", False), ("bets", False)):
        update = {"cluster": "initial-state", "cluster_test": test}
        method = judging(data, ANALYSIS.model_copy(update=update))
        assert method.judge(0.1, 0.05).noninferior is passes, test


def test_tasks_of_unequal_size_weigh_the_same():
    """90 states without a loss and 10 with four lost are 20 points worse, not four."""
    strata = ANALYSIS.model_copy(update={"strata": "task"})
    data = [*outcomes_of(90), *outcomes_of(10, task="u", lost=4)]
    method = judging(data, strata)
    assert method.difference == pytest.approx(-0.2)
    assert method.interval(0.1)[0] < -0.3
    assert method.judge(0.1, 0.05).verdict is Verdict.INCONCLUSIVE
    assert judging(data, ANALYSIS).judge(0.1, 0.05).noninferior, "pooled it would pass"


def test_unequal_tasks_without_a_loss_are_guarded():
    """The score alone would pass ten states without a loss, which happens in 10.7 % at the margin."""
    from vla_eval.stats import PairedTable
    from vla_eval.stats.strata import stratified_paired_z

    data = [*outcomes_of(90), *outcomes_of(10, task="u")]
    tables = [PairedTable(90, 0, 0, 0), PairedTable(10, 0, 0, 0)]
    assert stratified_paired_z(tables, -0.1) > 1.645
    strata = ANALYSIS.model_copy(update={"strata": "task"})
    assert judging(data, strata).judge(0.1, 0.05).verdict is Verdict.INCONCLUSIVE


def test_trouble_of_the_machine_neither_certifies_nor_refutes():
    """A verdict is given only if it holds in the worst and in the best case."""
    good, bad = judging(outcomes_of(100), ANALYSIS), judging(outcomes_of(100, lost=40), ANALYSIS)
    assert judge_between(good, good, 0.1, 0.05).verdict is Verdict.EQUIVALENT
    assert judge_between(bad, bad, 0.1, 0.05).verdict is Verdict.INFERIOR
    assert judge_between(bad, good, 0.1, 0.05).verdict is Verdict.INCONCLUSIVE


@pytest.mark.long
def test_at_a_look_everything_is_wider():
    """Interval, failure ratio and p-value of a look are those of the look's level."""
    data = outcomes_of(100, lost=4)
    fixed = judging(data, ANALYSIS)
    look = judging(data, ANALYSIS, SequentialPlan((100, 200, 300, 400, 500), 0.1))
    for one, other in (
        (fixed.interval(0.05), look.interval(0.05)),
        (fixed.failure_ratio(), look.failure_ratio()),
    ):
        assert other[0] < one[0]
        assert other[1] >= one[1]
    assert look.p_different() > fixed.p_different()
    assert look.by_task()["s/t"].interval(0.05) == look.interval(0.05)


WORKER = "fakes.policies:InWorker"


@pytest.mark.long
@pytest.mark.parametrize("repeats", [1, 3])
def test_everybody_shows_the_same_interval(tmp_path, protocol_file, repeats):
    """Report, comparison and certificate of one run: one interval, one rate, one latency."""
    import vla_eval
    from vla_eval.certificate import Roles, issue
    from vla_eval.compare import compare, gather

    path = protocol_file(count=20, run=f"policy_seeds = {list(range(repeats))}")
    if repeats > 1:
        path.write_text(path.read_text() + 'cluster = "initial-state"\n')
    arms = {"new": f"{WORKER}?skill=0.9", "old": f"{WORKER}?skill=0.95&version=2"}
    run = tmp_path / "run"
    summary = vla_eval.run(str(path), arms, run, workers=2)
    (reported,) = summary.pairs
    certificate = issue(run, Roles("new", "old"))
    compared = compare(gather([run])).pair("new", "old")
    sign = 1 if compared.first == "new" else -1
    low, high = sorted(sign * each for each in compared.ci95)
    assert certificate.comparison.ci95 == reported.method.interval(0.05) == (low, high)
    assert certificate.comparison.method == reported.method.name == compared.method
    for arm in certificate.arms:
        assert arm.wilson95 == summary.arms[arm.name].wilson95
        assert arm.latency.p50_ms == summary.arms[arm.name].infer_ms_p50
