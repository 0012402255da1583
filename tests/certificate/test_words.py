"""Words of a certificate: what ran, numbers and their units, latency, attempts, and what a look adds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fakes.by_hand import Run, laid_out, protocol_of, small_protocol, write_results
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.scope import what_ran
from vla_eval.certificate.text import (
    certificate_text,
    flag_lines,
    latency_words,
    p_words,
    run_words,
)
from vla_eval.certificate.verify import read_certificate
from vla_eval.certificate.wording import Words
from vla_eval.errors import UsageError
from vla_eval.judging.looks import looks_of, sequential_plan
from vla_eval.keys import EpisodeKey
from vla_eval.stats import Flag, Verdict, wilson_interval

ROLES = Roles("student", "teacher")


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return issue_from(laid_out(protocol_of()).evidence(Roles("student", "teacher", "bad")))


@pytest.mark.parametrize(
    ("tasks", "states", "words"),
    [
        ("A", [7], "s/A, initial state 7"),
        ("A", [0, 1, 5], "s/A, initial states 0, 1, 5"),
        ("ABCD", [0, 1, 2], "s/{A, B, C, D}, initial states 0 to 2"),
        ("ABCDE", [0, 2], "s/5 tasks (A … E), initial states 0, 2"),
        ("A", [0, 2, 4, 6], "s/A, initial states 0, 2, 4, 6"),
        ("A", [0, 2, 4, 6, 8], "s/A, 5 initial states from 0 to 8"),
        ("013", [0], "s/{0, 1, 3}, initial state 0"),
    ],
)
def test_what_ran(tasks, states, words):
    """Up to four tasks or ranges are listed, more are counted."""
    keys = [EpisodeKey("s", task, state, 0, 0) for task in tasks for state in states]
    assert what_ran(keys) == words


def test_seeds_are_named_where_there_are_several():
    """One seed goes without saying."""
    keys = [EpisodeKey("s", "A", 0, env, policy) for env in (3,) for policy in (1, 2, 4)]
    assert what_ran(keys) == "s/A, initial state 0; 3 policy seeds (1, 2, 4)"
    keys = [EpisodeKey("s", "A", 0, env, 4) for env in (3, 5)]
    assert what_ran(keys) == "s/A, initial state 0; 2 environment seeds (3, 5)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (-0.0001, "0.0"), (0.0004, "0.0"), (-0.011, "−1.1"), (0.5, "+50.0")],
)
def test_pages_show_a_difference_that_rounds_to_nothing_without_a_sign(value, text):
    """And every other one with it, typeset."""
    assert Words(None).typeset(value) == text


def test_success_has_no_means():
    """Means are said of other measures only."""
    assert list(Words(None).mean_lines()) == []


@pytest.mark.parametrize(("runs", "few"), [(4, True), (5, False), (6, False)])
def test_few_process_runs_are_not_trusted(runs, few):
    """A speed-up from fewer than five process runs says so."""
    median = SimpleNamespace(ratio=0.5, interval95=(0.4, 0.8), runs=runs)
    words = latency_words(SimpleNamespace(latency_ratio=2.0, latency_ratios=[median]))
    assert words.startswith(f"2.00 times as fast, 95 % [1.25, 2.50] from {runs} process runs")
    assert words.endswith("too few to trust") == few


def test_attempts_in_words(certificate):
    """Retried episodes are counted where there are any."""
    assert run_words(certificate) == (
        "student 53 attempts of 50 episodes (1 retried), teacher 53 attempts of 50 episodes, "
        "bad 50 attempts of 50 episodes; one call of vlaeval run"
    )
    again = certificate.model_copy(update={"sessions": 3, "attempt": 2})
    assert run_words(again).endswith("; 3 calls of vlaeval run; candidate 2 on these states")


def test_a_policy_is_compared_with_itself_if_all_but_its_names_are_the_same(certificate):
    """Another version of the same policy is another policy."""
    assert Flag.SELF_COMPARISON in certificate.flags
    evidence = laid_out(protocol_of()).evidence(ROLES)
    student, teacher = evidence.header.arms
    changed = student.model_copy(update={"identity": {**student.identity, "nfe": 1}})
    header = evidence.header.model_copy(update={"arms": (changed, teacher)})
    assert Flag.SELF_COMPARISON not in issue_from(replace(evidence, header=header)).flags


def test_repeats_of_the_same_states_have_an_sd_of_their_own():
    """Four states with three episodes each: what a run of the same states again would vary by."""
    protocol = small_protocol(
        1, 4, run={"env_seeds": [0, 1, 2]}, cluster="initial-state", margin=0.3
    )
    run = Run(protocol)
    won = {0: 3, 1: 2, 2: 1, 3: 3}
    for key in run.keys:
        for arm in ("student", "teacher"):
            outcome = "success" if key.env_seed < won[key.init_state] else "failure"
            run.attempt(arm, key, outcome, inferences=0, nfe=3)
    issued = issue_from(run.evidence(ROLES))
    spread = sum(rate * (1 - rate) for rate in (1, 2 / 3, 1 / 3, 1))
    assert issued.arms[0].rerun_sd == pytest.approx((spread / 4**2 / 2) ** 0.5)
    assert issued.arms[0].nfe_per_inference == 12 * 3


def test_a_certificate_of_a_look_says_which():
    """Its intervals hold at all looks together: one rate's, too, at half of 5 % for each side."""
    protocol = small_protocol(1, 50, margin=0.3, stopping="obrien-fleming-5")
    run = Run(protocol)
    write_results(run, "student", "1" * 18 + "00")
    write_results(run, "teacher", "1" * 15 + "00011")
    looks = looks_of(protocol, ["student", "teacher"], run.records)
    assert [look.number for look in looks] == [1, 2]
    evidence = replace(run.evidence(ROLES), keys=run.keys[:20], looks=looks)
    issued = issue_from(evidence)
    assert issued.sentence.endswith("margin 30 points; look 2.)")
    assert "% repeated interval [" in issued.sentence
    level = 2 * replace(sequential_plan(protocol), alpha=0.025).level(2)
    assert 0 < level < 0.05
    assert issued.arms[0].wilson95 == pytest.approx(wilson_interval(18, 20, alpha=level))
    assert p_words(issued).endswith(f", needs {looks[-1].level:.3g} at this look")
    assert looks[-1].level < issued.alpha
    assert issued.sequential.sentence in " ".join(certificate_text(issued).split())


def test_the_text_of_a_certificate(certificate):
    """Flags with their details, pairs, arms with what they lack, and the level that is needed."""
    text = " ".join(certificate_text(certificate).split())
    assert "46 pairs: both succeed 24, only student 7, only teacher 5, neither 10" in text
    assert "teacher: 31/48 [" in text
    assert text.count(", 2 missing") == 2
    assert p_words(certificate).endswith(", needs 0.02")
    assert "at this look" not in text
    lines = {line.partition(":")[0]: line for line in flag_lines(certificate)}
    assert lines["ATTRITION"].endswith(" (student 2, teacher 2, bad 0)")
    assert set(certificate.details) == {
        flag for flag in certificate.flags if lines[flag.upper()].endswith(")")
    }


def test_a_verdict_that_missing_episodes_have_changed_is_told(certificate):
    """What it would be without them is said only if it differs."""
    for observed in (certificate.comparison.verdict, Verdict.SUPERIOR):
        comparison = certificate.comparison.model_copy(update={"observed_verdict": observed})
        text = certificate_text(certificate.model_copy(update={"comparison": comparison}))
        told = f"a result alone it would be {observed}" in " ".join(text.split())
        assert told == (observed is not certificate.comparison.verdict)


def test_one_process_run_has_no_interval():
    """A ratio of medians, and that it has none."""
    words = latency_words(SimpleNamespace(latency_ratio=2.04, latency_ratios=()))
    assert words == "2.0 times as fast (medians; one process run: no interval)"


@pytest.mark.parametrize("name", ["../student", "stu\ndent"])
def test_a_certificate_with_names_that_no_run_can_have_is_none(certificate, tmp_path, name):
    """Names of arms are shown on terminals and pages; a file with others is refused as no certificate."""
    file = tmp_path / "certificate.json"
    file.write_text(certificate.model_dump_json())
    assert read_certificate(file) == certificate
    arms = (certificate.arms[0].model_copy(update={"name": name}), *certificate.arms[1:])
    file.write_text(certificate.model_copy(update={"arms": arms}).model_dump_json())
    with pytest.raises(UsageError, match=r"certificate\.json: is no certificate \("):
        read_certificate(file)
