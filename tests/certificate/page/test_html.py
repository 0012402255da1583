"""The report: one file, offline, escaped, the same bytes again; and episodes that run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from markupsafe import escape

import vla_eval
from fakes.pages import check
from vla_eval.certificate import Roles, gather, issue
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.page import write_reports
from vla_eval.cli import main

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(runs, protocol_file) -> Path:
    """One complete run with a bad arm, made once."""
    path = runs / "run"
    if not path.exists():
        arms = {
            "student": f"{WORKER}?skill=0.8",
            "teacher": f"{WORKER}?skill=0.97",
            "bad": f"{WORKER}?skill=0.5",
        }
        protocol = protocol_file(count=40, max_steps=16)
        vla_eval.run(str(protocol), arms, path, workers=1)
    return path


def certify(run: Path, folder: Path) -> tuple[str, str]:
    evidence = gather(run, Roles("student", "teacher", "bad"))
    certificate = issue_from(evidence)
    page, summary = write_reports(certificate, evidence, run, folder / "certificate.json")
    return page.read_text(), summary.read_text()


def test_the_page_is_one_file_with_everything_in_it(run, tmp_path):
    """Verdict, table, every discordant key with its command, every hash; nothing from elsewhere."""
    text, summary = certify(run, tmp_path)
    check(text)
    evidence = gather(run, Roles("student", "teacher", "bad"))
    certificate = issue(run, Roles("student", "teacher", "bad"))
    assert certificate.verdict.sentence in text
    differ = [
        theirs.key
        for ours, theirs in evidence.pairing("student", "teacher").pairs
        if ours.outcome != theirs.outcome
    ]
    assert differ
    for key in differ:
        assert f"vlaeval replay {run} {key} --arm student" in text
    for digest in (certificate.protocol_sha256, certificate.records_sha256):
        assert digest in text
    assert all(str(escape(flag.sentence)) in text for flag in certificate.flags)
    assert certificate.verdict in summary
    assert certificate.records_sha256[:12] in summary


def test_the_same_records_give_the_same_bytes(run, tmp_path):
    """Neither the time nor chance is in the files."""
    assert certify(run, tmp_path) == certify(run, tmp_path)


def test_the_verb_writes_both(run, tmp_path, capsys):
    """`certify` leaves report.html and report.md beside the certificate, under its name."""
    for name, page in (("certificate.json", "report.html"), ("a.json", "a.report.html")):
        arguments = ["--candidate", "student", "--reference", "teacher"]
        main(["certify", str(run), *arguments, "--out", str(tmp_path / name)])
        assert (tmp_path / page).is_file()
        assert (tmp_path / page).with_suffix(".md").is_file()
        assert page in capsys.readouterr().err


def test_the_command_line_starts_without_the_drawing(run):
    """Matplotlib and Jinja2 are loaded when a report is written, not before."""
    program = (
        "import sys, vla_eval.cli; print(*sorted({'matplotlib', 'jinja2'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == ""


def test_a_replay_is_the_recorded_episode(run, tmp_path, capsys):
    """The command of the report runs the same actions in the same scene, and films them."""
    video = tmp_path / "films" / "one.gif"
    key = "fake/Point/i3/e0/p0"
    assert (
        main(["replay", str(run), key, "--arm", "student", "--trust", "--video", str(video)]) == 0
    )
    assert "reproduced" in capsys.readouterr().out
    assert video.read_bytes().startswith(b"GIF8")
    assert main(["replay", str(run), key, "--arm", "studnet"]) == 4
    assert main(["replay", str(run), "fake/Point/i99/e0/p0", "--arm", "student"]) == 4


def test_a_replay_of_something_else_is_refuted(run, capsys, monkeypatch):
    """Where another policy hides behind the spec, actions differ and are named."""
    from vla_eval.recording import replay
    from vla_eval.spec import build_policy

    monkeypatch.setattr(replay, "build_policy", lambda _: build_policy(f"{WORKER}?skill=0.1"))
    command = ["replay", str(run), "fake/Point/i3/e0/p0", "--arm", "teacher", "--trust"]
    assert main([*command, "--with-policy"]) == 1
    assert "actions_sha256" in capsys.readouterr().out
