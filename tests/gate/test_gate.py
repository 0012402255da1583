"""The CI gate: what holds, what has regressed, what cannot be told, and in which files it says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import vla_eval
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.gate import Baseline, Status, TaskOutcomes, baseline_of, compare, read_baseline

WORKER = "fakes.policies:InWorker"


def baseline(
    outcomes: str, *, scenes: str = "s", protocol: str = "p", margin: float = 0.1
) -> Baseline:
    return Baseline(
        protocol="fake@1",
        protocol_sha256=protocol,
        margin=margin,
        alpha=0.05,
        arm="a",
        spec="x",
        policy_sha256="q",
        tasks={"fake/Point": TaskOutcomes(outcomes=outcomes, scenes=scenes)},
    )


GOOD = "1" * 95 + "0" * 5


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (GOOD, Status.HOLDS),
        ("1" * 100, Status.HOLDS),
        ("1" * 75 + "0" * 25, Status.REGRESSED),
        # Two lost and none won can be chance; three have an exact p of 0.049.
        ("1" * 93 + "0" * 7, Status.HOLDS),
        ("1" * 92 + "0" * 8, Status.REGRESSED),
    ],
)
def test_paired_judgement(now, status):
    """Equal episodes are paired; a proven loss is a regression even inside the margin."""
    result = compare(baseline(now), baseline(GOOD))
    assert result.paired
    assert result.status is status


def test_few_episodes_are_inconclusive():
    """Ten episodes cannot show ten points."""
    result = compare(baseline("1" * 9 + "0"), baseline("1" * 10))
    assert result.status is Status.INCONCLUSIVE
    assert "Too few episodes" in result.sentence


def test_a_proven_loss_within_the_margin_is_a_regression():
    """Non-inferior and worse at once: the gate does not wave it through."""
    before, now = "1" * 1000, "1" * 960 + "0" * 40
    assert compare(baseline(now), baseline(before)).status is Status.REGRESSED


@pytest.mark.parametrize("change", [{"scenes": "t"}, {"protocol": "other"}])
def test_other_scenes_or_protocols_are_not_paired(change):
    """Where episodes are not the same, the arms are compared as independent, with wider limits."""
    paired = compare(baseline(GOOD), baseline(GOOD))
    unpaired = compare(baseline(GOOD, **change), baseline(GOOD))
    assert not unpaired.paired
    width = [high - low for low, high in (paired.interval, unpaired.interval)]
    assert width[1] > width[0]


def test_missing_episodes_pass_nothing():
    """A crash is no pass: missing failures are said, not left out, and judged at their worst if asked."""
    regressed = "1" * 87 + "0" * 13
    assert compare(baseline(regressed), baseline("1" * 100)).status is Status.REGRESSED
    lost = baseline("1" * 87 + "x" * 13)
    result = compare(lost, baseline("1" * 100))
    assert (result.status, result.missing, result.table.n) == (Status.MISSING, 13, 87)
    allowed = compare(lost, baseline("1" * 100), allow_missing=True)
    assert allowed.status is Status.INCONCLUSIVE, "the machine's trouble does not refute either"
    assert allowed.interval[0] < -0.13
    one = compare(baseline("x" + GOOD[1:]), baseline(GOOD), allow_missing=True)
    assert one.status is Status.HOLDS, "one lost episode of a hundred changes nothing"


def test_peeking_at_part_of_a_plan_is_refused():
    """A run of which a part was never tried is not judged, with no flag and on neither side."""
    for allow in (False, True):
        with pytest.raises(RunFolderError, match="has not run 70 of 100 planned episodes"):
            compare(baseline("1" * 30 + "-" * 70), baseline("1" * 100), allow_missing=allow)


def test_retried_results_count_at_their_worst():
    """A success that came after the policy raised is worth no more than a failure."""
    lucky = compare(baseline("1" * 80 + "S" * 20), baseline("1" * 100))
    assert lucky.status is Status.INCONCLUSIVE
    assert lucky.retried == 20
    assert compare(baseline("1" * 80 + "0" * 20), baseline("1" * 100)).status is Status.REGRESSED


def test_nothing_in_common_is_refused():
    """Two runs without a common task cannot be compared."""
    other = baseline(GOOD).model_copy(
        update={"tasks": {"fake/Other": TaskOutcomes(outcomes="1", scenes="s")}}
    )
    with pytest.raises(UsageError, match="share 0 tasks"):
        compare(other, baseline(GOOD))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gate") / "runs"


@pytest.fixture
def runs(made, tmp_path, protocol_file) -> Path:
    """Copies of two runs of one protocol, made once: a good checkpoint and a regressed one."""
    if not made.exists():
        protocol = str(protocol_file(count=60))
        for name, skill in (("good", 0.95), ("bad", 0.6)):
            arms = {"student": f"{WORKER}?skill={skill}"}
            vla_eval.run(protocol, arms, made / name, workers=1)
    return shutil.copytree(made, tmp_path / "runs")


@pytest.mark.long
def test_a_baseline_file_is_small_and_says_what_the_run_says(runs):
    """A baseline has nine characters an episode and reads back as itself."""
    file = runs / "b.json"
    assert main(["check", str(runs / "good"), "--write-baseline", str(file)]) == 0
    assert read_baseline(file) == baseline_of(runs / "good")
    assert file.stat().st_size < 1500


@pytest.mark.long
def test_the_workflow_of_a_regression(runs, capsys, monkeypatch):
    """Baseline, passing run, regressed run: exit codes, JUnit, step summary, annotation."""
    file, junit, summary = runs / "b.json", runs / "out/junit.xml", runs / "summary.md"
    main(["check", str(runs / "good"), "--write-baseline", str(file)])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    base = ["--baseline", str(file), "--junit", str(junit)]
    assert main(["check", str(runs / "good"), *base]) == 0
    assert ET.parse(junit).getroot().get("failures") == "0"
    capsys.readouterr()
    assert main(["check", str(runs / "bad"), *base, "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "regressed"
    assert "::error title=vlaeval check fake@1::Worse than the baseline" in captured.err
    suite = ET.parse(junit).getroot()
    assert suite.get("failures") == "1"
    assert suite.find("testcase/failure") is not None
    assert summary.read_text().count("### ") == 2
    assert "| fake/Point |" in summary.read_text()


@pytest.mark.long
def test_a_run_is_a_baseline_too(runs):
    """Instead of a file, another run folder."""
    assert main(["check", str(runs / "bad"), "--baseline", str(runs / "good")]) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "check against what?"),
        (["--baseline", "none.json"], "there is no such baseline"),
        (["--baseline", "run.json"], "is no baseline"),
        (["--baseline", "none.json", "--arm", "studnt"], "did you mean 'student'"),
    ],
)
def test_mistakes_are_one_sentence(runs, capsys, monkeypatch, arguments, message):
    """What was wrong and what to do; exit code 4."""
    monkeypatch.chdir(runs / "good")
    assert main(["check", str(runs / "good"), *arguments]) == 4
    assert message in capsys.readouterr().err
