"""The gate's numbers by hand: paired and unpaired, with missing, retried and repeated episodes."""

from __future__ import annotations

import dataclasses
import hashlib
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from fakes import by_hand
from vla_eval import stats
from vla_eval.errors import UsageError
from vla_eval.gate import Baseline, Status, TaskOutcomes, compare
from vla_eval.gate.baseline import baseline_of, read_baseline, write_baseline
from vla_eval.gate.reports import annotation, junit_xml, markdown, notes, write_reports
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.stats import Verdict


def scenes_of(outcomes: str, word: str) -> str:
    """Eight digits of the scene of each episode with a result."""
    return "".join(
        "." * 8 if letter in "x-" else hashlib.sha256(f"{word}{place}".encode()).hexdigest()[:8]
        for place, letter in enumerate(outcomes)
    )


def side(*tasks: str, scenes: str = "s", protocol: str = "p", **changes) -> Baseline:
    values = {
        "protocol": "fake@1",
        "protocol_sha256": protocol,
        "margin": 0.2,
        "alpha": 0.04,
        "arm": "a",
        "spec": "x",
        "policy_sha256": "q",
        "tasks": {
            f"fake/T{index}": TaskOutcomes(
                outcomes=text, scenes=scenes, each_scene=scenes_of(text, scenes)
            )
            for index, text in enumerate(tasks)
        },
    }
    return Baseline.model_validate(values | changes)


BEFORE = side("1" * 20 + "0" * 10, "1" * 9 + "0" * 11)
NOW = side("1" * 17 + "0" * 3 + "1" * 2 + "0" * 8, "1" * 12 + "0" * 8)


def test_paired_by_hand():
    """17 + 9 won by both, 2 + 3 by the new one alone, 3 by the old one alone, 8 + 8 by none."""
    found = compare(NOW, BEFORE)
    assert found.paired
    assert found.table == stats.PairedTable(26, 5, 3, 16)
    assert found.difference == pytest.approx(2 / 50)
    assert found.interval == pytest.approx(stats.tango_interval(5, 3, 50, alpha=0.08))
    assert [(task.task, task.before, task.now) for task in found.tasks] == [
        ("fake/T0", (20, 30), (19, 30)),
        ("fake/T1", (9, 20), (12, 20)),
    ]
    assert (found.margin, found.alpha, found.missing, found.retried) == (0.2, 0.04, 0, 0)
    assert found.status is Status.HOLDS
    given = compare(NOW, BEFORE, margin=0.01, alpha=0.1)
    assert (given.margin, given.alpha, given.status) == (0.01, 0.1, Status.INCONCLUSIVE)
    assert given.interval == pytest.approx(stats.tango_interval(5, 3, 50, alpha=0.2))


def test_doubtful_episodes_by_hand():
    """A missing and two retried ones of the new run, one retried of the old: at their worst, and at their best."""
    now = side("1" * 15 + "SF" + "0" * 3 + "1" * 2 + "0" * 8, "x" + "1" * 11 + "0" * 8)
    before = side("1" * 20 + "0" * 10, "1" * 8 + "S" + "0" * 11)
    found = compare(now, before, allow_missing=True)
    # T0: 15 both, 2 doubtful, 3 lost, 2 won, 8 none. T1: 1 missing, 7 both, 1 doubtful in the old,
    # 3 won, 8 none.
    worst = stats.tango_interval(2 + 3, 3 + 2 + 1, 50, alpha=0.08)
    best = stats.tango_interval(2 + 3 + 1, 3, 50, alpha=0.08)
    assert found.interval == pytest.approx((worst[0], best[1]))
    assert found.table == stats.PairedTable(15 + 1 + 7 + 1, 5, 1 + 3, 16)
    assert (found.missing, found.retried) == (1, 2)
    assert "1 missing episodes counted at their worst" in found.sentence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": "other"}, "another protocol"),
        ({"scenes": "t"}, "other scenes"),
    ],
)
def test_unpaired_by_hand(change, reason):
    """Miettinen and Nurminen's interval of the two rates, each over its own episodes."""
    before = side("1" * 20 + "0" * 10, "1" * 9 + "0" * 11, **change)
    found = compare(NOW, before)
    assert (found.paired, found.unpaired_because, found.table) == (False, reason, None)
    assert found.difference == pytest.approx(31 / 50 - 29 / 50)
    expected = stats.miettinen_nurminen_interval(31, 50, 29, 50, alpha=0.08)
    assert found.interval == pytest.approx(expected)


def test_unpaired_with_other_episodes():
    """Another number of episodes is another plan; of the old run only results and missing ones count."""
    before = side("1" * 30 + "0" * 10 + "x" * 2 + "S-", "1" * 9 + "0" * 11, scenes="t")
    found = compare(side("1" * 17 + "0" * 13, "x" + "1" * 11 + "0" * 8), before, allow_missing=True)
    assert found.unpaired_because == "other episodes"
    worst = stats.miettinen_nurminen_interval(28, 50, 42, 63, alpha=0.08)
    best = stats.miettinen_nurminen_interval(29, 50, 39, 63, alpha=0.08)
    assert found.interval == pytest.approx((worst[0], best[1]))
    assert found.difference == pytest.approx(28 / 49 - 40 / 61)


def test_a_baseline_of_before_has_one_digest_a_task():
    """Its tasks are paired by that digest; with a missing episode they cannot be."""

    def old(*tasks: str, **changes) -> Baseline:
        made = side(*tasks, **changes)
        bare = {
            name: task.model_copy(update={"each_scene": ""}) for name, task in made.tasks.items()
        }
        return made.model_copy(update={"tasks": bare})

    assert compare(old("1101"), old("1111")).paired
    assert compare(side("1101"), old("1111")).paired
    assert compare(side("1101"), old("1111", scenes="t")).unpaired_because == "other scenes"


@pytest.mark.parametrize("place", range(8))
def test_every_digit_of_a_scene_counts(place):
    """In each of two episodes; an unknown scene has none."""
    digits = ["0" * 8, "1" * 8]
    other = [digits[0], digits[1][:place] + "7" + digits[1][place + 1 :]]

    def scened(words: list[str]) -> Baseline:
        task = TaskOutcomes(outcomes="11", scenes="s", each_scene="".join(words))
        return side("11").model_copy(update={"tasks": {"fake/T0": task}})

    assert compare(scened(digits), scened(digits)).paired
    assert compare(scened(digits), scened(other)).unpaired_because == "other scenes"
    assert compare(scened(digits), scened(other[::-1])).unpaired_because == "other scenes"
    unknown = scened([digits[0], "." * 8])
    assert compare(scened(digits), unknown).unpaired_because == "unknown scenes"


def protocol_of(tasks: int, states: int, repeats: int, **analysis) -> Protocol:
    data = {
        "schema_version": 1,
        "protocol": "fake",
        "version": 1,
        "title": "t",
        "source": "s",
        "blocks": [
            {
                "suite": "fake",
                "env_id": "m:{task}-v0",
                "tasks": [f"T{index}" for index in range(tasks)],
                "init_states": {"count": states},
                "max_steps": 5,
            }
        ],
        "run": {"policy_seeds": list(range(repeats))},
        "analysis": {"estimand": "e", "margin": 0.2, "margin_reason": "m", **analysis},
    }
    return parse_protocol(data, "here")


def test_repeats_are_judged_by_state():
    """Ten states, three repeats each: paired by the tests for clusters, unpaired from effective counts."""
    protocol = protocol_of(1, 10, 3, cluster="initial-state")
    before = side("1111111100" * 3)
    now = side("1111111000" + "1111110100" + "1111101000")
    found = compare(now, before, protocol=protocol)
    rows = [(3, 0, 0)] * 5 + [(3, 0, 1), (3, 0, 1), (3, 0, 2), (3, 0, 0), (3, 0, 0)]
    data = stats.ClusteredPairs(*[np.array(column) for column in zip(*rows, strict=True)])
    assert found.interval == pytest.approx(data.interval(alpha=0.08))
    unpaired = compare(now, side("1111111100" * 3, scenes="t"), protocol=protocol)
    threes = np.array([3] * 10)
    ours = stats.ClusteredRate(threes, np.array([3] * 5 + [2, 2, 1, 0, 0]))
    theirs = stats.ClusteredRate(threes, np.array([3] * 8 + [0, 0]))
    expected = stats.miettinen_nurminen_interval(*ours.effective, *theirs.effective, alpha=0.08)
    assert unpaired.interval == pytest.approx(expected)
    doubtful = side("x1111S1100" + "1111111100" * 2, scenes="t")
    found = compare(side("1111111100" * 3), doubtful, protocol=protocol)
    best = stats.ClusteredRate(threes, np.array([2, 3, 3, 3, 3, 2, 3, 3, 0, 0]))
    limits = (
        stats.miettinen_nurminen_interval(*theirs.effective, *each.effective, alpha=0.08)
        for each in (theirs, best)
    )
    assert found.interval == pytest.approx((next(limits)[0], next(limits)[1]))
    plain = compare(now, side("1111111100" * 3, scenes="t"))
    assert plain.interval == pytest.approx(
        stats.miettinen_nurminen_interval(20, 30, 24, 30, alpha=0.08)
    )


def test_only_the_due_part_of_a_plan_is_judged():
    """A run that was stopped at a look needs no more episodes than that look."""
    protocol = protocol_of(1, 40, 1)
    now = side("1" * 18 + "0" * 2 + "-" * 20, due=20)
    before = side("1" * 18 + "0" * 2 + "1" * 20)
    found = compare(now, before, protocol=protocol)
    assert found.table == stats.PairedTable(18, 0, 0, 2)
    with pytest.raises(Exception, match="has not run 20 of 40"):
        compare(side("1" * 18 + "0" * 2 + "-" * 20), before, protocol=protocol)


@pytest.mark.parametrize(
    ("status", "code", "sign", "level"),
    [
        (Status.HOLDS, 0, "✅", None),
        (Status.REGRESSED, 1, "❌", "error"),
        (Status.INCONCLUSIVE, 6, "❔", "warning"),
        (Status.MISSING, 3, "⚠️", "error"),
    ],
)
def test_each_finding_has_its_code_and_its_marks(status, code, sign, level):
    """Exit code, JUnit's counts, the sign of the summary, and GitHub's level."""
    found = dataclasses.replace(
        compare(NOW, BEFORE), status=status, missing=2 * (status is Status.MISSING), retried=3
    )
    assert found.exit_code == code
    suite = ET.fromstring(junit_xml(found, NOW))
    counts = {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {
        "tests": 3,
        "failures": int(code == 1),
        "errors": int(code == 3),
        "skipped": int(code == 6),
    }
    claim, *tasks = suite.findall("testcase")
    children = {1: ["failure"], 6: ["skipped"], 3: ["error"], 0: []}
    assert [child.tag for child in claim] == children[code]
    assert [task.find("system-out").text for task in tasks] == [
        "baseline 20/30, now 19/30",
        "baseline 9/20, now 12/20",
    ]
    text = markdown(found, NOW, BEFORE)
    assert text.startswith(f"### {sign} fake")
    assert text.splitlines()[0].endswith(f": {status}")
    assert "| fake/T1 | 9/20 | 12/20 | 38.7% to 78.1% |" in text
    assert ("2 episodes are missing" in text) == (code == 3)
    assert "3 results came after a lost attempt" in text
    said = annotation(found, NOW)
    assert (said is None) == (level is None)
    assert level is None or said.startswith(f"::{level} title=vlaeval check fake@1::")


def test_properties_of_the_suite():
    """Difference, interval and hashes in six digits, for whatever reads them."""
    found = compare(NOW, BEFORE)
    suite = ET.fromstring(junit_xml(found, NOW))
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["difference"] == "0.040000"
    assert properties["interval"] == f"{found.interval[0]:.6f} {found.interval[1]:.6f}"
    assert properties["paired"] == "true"
    assert (properties["protocol_sha256"], properties["policy_sha256"]) == ("p", "q")
    assert notes(NOW, BEFORE) == []
    assert notes(NOW, side("1", declared="it is mine")) == [
        "a: its server does not say which policy it serves; it is mine"
    ]


@pytest.mark.parametrize(
    ("outcomes", "due", "gaps"),
    [("1x0x", None, 2), ("10--", None, 2), ("1x--", 2, 1), ("10--", 2, 0), ("10SF", None, 0)],
)
def test_gaps_make_no_baseline(tmp_path, outcomes, due, gaps):
    """Missing episodes always, pending ones unless the run was stopped at a look."""
    file = tmp_path / "new/b.json"
    if gaps:
        with pytest.raises(UsageError, match=f"{gaps} planned episodes"):
            write_baseline(side(outcomes, due=due), tmp_path, file)
    else:
        write_baseline(side(outcomes, due=due), tmp_path, file)
        assert read_baseline(file) == side(outcomes, due=due)


def test_nothing_finished_is_nothing_to_compare():
    """On either side, and with the counts in the sentence; so is another plan."""
    with pytest.raises(UsageError, match="share 1 tasks, with 0 and 2 finished"):
        compare(side("x"), side("11"))
    with pytest.raises(UsageError, match="share 1 tasks, with 2 and 0 finished"):
        compare(side("11"), side("x"))
    with pytest.raises(UsageError, match="does not hold the episodes"):
        compare(side("111"), side("111"), protocol=protocol_of(1, 4, 1))


def test_a_proven_loss_is_worse_than_the_margin_or_not():
    """Both are regressions; the verdict tells which."""
    loss = compare(side("0" * 40 + "1" * 60), side("1" * 100))
    assert (loss.status, loss.verdict) == (Status.REGRESSED, Verdict.INFERIOR)
    small = compare(side("0" * 6 + "1" * 94), side("1" * 100))
    assert (small.status, small.verdict) == (Status.REGRESSED, Verdict.EQUIVALENT)


LOOKS = {"stopping": "obrien-fleming-5", "margin": 0.3}


def looked(tasks: int, states: int, **analysis) -> Protocol:
    protocol = protocol_of(tasks, states, 1)
    content = protocol.model_dump(mode="json", exclude_none=True)
    content["run"] |= {"order": "round-robin", "limits": {"error_cap": 0.0}}
    content["analysis"] |= LOOKS | analysis
    return parse_protocol(content, "here")


@pytest.mark.parametrize(("due", "look"), [(8, 1), (16, 2), (None, 5)])
def test_a_run_with_looks_has_the_level_of_its_last_one(due, look):
    """Paired or not: the interval is as wide as that look's bound asks for."""
    protocol = looked(1, 40)
    plan = stats.SequentialPlan((8, 16, 24, 32, 40), 0.3, alpha=0.05)
    size = plan.sizes[look - 1]
    before = side("1" * 40, alpha=0.05)
    now = side("1" * (size - 2) + "00" + "-" * (40 - size), alpha=0.05, due=due)
    found = compare(now, before, protocol=protocol)
    assert found.table == stats.PairedTable(size - 2, 0, 2, 0)
    expected = stats.repeated_interval(0, 2, size, bound=plan.bound(look))
    assert found.interval == pytest.approx(expected)
    other = compare(now, side("1" * 40, alpha=0.05, scenes="t"), protocol=protocol)
    level = 2 * plan.level(look)
    expected = stats.miettinen_nurminen_interval(size - 2, size, size, size, alpha=level)
    assert other.interval == pytest.approx(expected)


@pytest.mark.parametrize(("lost", "status"), [(4, Status.REGRESSED), (0, Status.HOLDS)])
def test_one_task_can_fail_the_gate(lost, status):
    """Not worse over both, but a task may not lose more than its own margin: the sentence names it."""
    protocol = protocol_of(2, 40, 1, task_margin=0.02, margin=0.3)
    before = side("1" * 36 + "0000", "1" * 40)
    now = side("1" * 40, "1" * (40 - 2 * lost) + "0" * 2 * lost)
    found = compare(now, before, protocol=protocol)
    assert found.status is status
    assert ("On single tasks" in found.sentence) is True
    assert ("to be worse by more: fake/T1" in found.sentence) == bool(lost)
    assert "On single tasks" not in compare(now, before, protocol=protocol_of(2, 40, 1)).sentence


def test_the_words_of_a_finding():
    """Difference, interval and margin in points, and the interval's level."""
    found = compare(NOW, BEFORE)
    low, high = (f"{100 * limit:+.1f}" for limit in found.interval)
    assert found.sentence == (
        "Not worse than the baseline by the margin: difference +4.0 points, 92% interval "
        f"[{low}, {high}], margin 20 points."
    )
    text = markdown(found, NOW, BEFORE)
    assert "paired by episode" in text
    other = compare(NOW, side("1" * 20 + "0" * 10, "1" * 9 + "0" * 11, scenes="t"))
    assert "not paired: other scenes" in markdown(other, NOW, BEFORE)


def test_a_sentence_is_one_line_of_a_workflow():
    """Line ends of both kinds, percent signs, and in the title colons and commas."""
    found = dataclasses.replace(
        compare(NOW, BEFORE), status=Status.REGRESSED, sentence="50% is\nless\rthan 60%"
    )
    said = annotation(found, NOW.model_copy(update={"protocol": "a:b,c%"}))
    assert said == "::error title=vlaeval check a%3Ab%2Cc%25::50%25 is%0Aless%0Athan 60%25"


def test_reports_are_written_where_they_are_asked_for(tmp_path, monkeypatch):
    """Into folders that are made, or that are there already; nothing else is written."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    found = compare(NOW, BEFORE)
    junit, summary = tmp_path / "a/b/junit.xml", tmp_path / "c/d/summary.md"
    write_reports(found, NOW, BEFORE)
    assert list(tmp_path.iterdir()) == []
    write_reports(found, NOW, BEFORE, junit=junit)
    assert (junit.read_text(), summary.exists()) == (junit_xml(found, NOW), False)
    for _ in range(2):
        write_reports(found, NOW, BEFORE, junit=junit, markdown_file=summary)
        assert summary.read_text() == markdown(found, NOW, BEFORE)


def test_a_run_as_a_baseline(tmp_path):
    """Each episode's mark in the plan's order, its scene, and who ran it; the first arm unless one is named."""
    protocol = by_hand.protocol_of()
    folder = by_hand.laid_out(protocol).write(tmp_path / "run", "student", "teacher", "bad")
    found = read_baseline(folder.path)
    assert found == read_baseline(folder.path, "student") == baseline_of(folder.path)
    assert (found.arm, found.spec, found.declared, found.due) == ("student", "random", None, None)
    assert (found.protocol, found.protocol_sha256) == (protocol.label, protocol.sha256)
    assert (found.margin, found.alpha) == (0.3, 0.02)
    record = folder.records().attempts[0]
    assert found.policy_sha256 == record.policy_sha256
    assert list(found.tasks) == ["s/A", "s/B"]
    task = found.tasks["s/A"]
    # The first pair was won after the policy had raised; the last episode but one has no result.
    assert task.outcomes == "S" + "1" * 14 + "11" + "0" * 4 + "0" * 7 + "x1"
    assert (task.successes, task.n) == (18, 29)
    digits = [task.each_scene[8 * place : 8 * place + 8] for place in range(30)]
    assert digits[3] == hashlib.sha256(b"A3").hexdigest()[:8]
    assert digits[28] == "........"
    assert len(set(digits)) == 30
    assert read_baseline(folder.path, "bad").successes == 5
    with pytest.raises(UsageError, match="the run has no arm 'teecher'; did you mean 'teacher'"):
        baseline_of(folder.path, "teecher")
