"""The report: one file, offline, escaped, the same bytes again; and episodes that run again."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vla_eval
from vla_eval.certificate import Certificate, Evidence, Roles, gather, issue
from vla_eval.cli import main
from vla_eval.plan import expand
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.report import write_reports
from vla_eval.report.markdown import markdown_report
from vla_eval.report.page import html_report
from vla_eval.runfolder import Arm, RunFile
from vla_eval.stats import Flag

WORKER = "fakes.policies:InWorker"
EVIL = "<script>alert(1)</script>&\"'$x_1$漢字|`"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Checks nesting, and collects what could reach out of the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.references: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        found = dict(attrs)
        self.ids.update([found["id"]] if "id" in found else [])
        names = ("src", "href", "xlink:href", "action", "data", "srcset")
        self.references += [found[name] for name in names if name in found]
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text: str) -> Page:
    page = Page(text)
    assert page.tags["script"] == 1
    assert all(reference.startswith("#") for reference in page.references)
    assert {name for name, count in page.ids.items() if count > 1} == set()
    assert {each[1:] for each in page.references} <= set(page.ids)
    assert "url(http" not in text
    assert "@import" not in text
    return page


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
        vla_eval.run(str(protocol), arms, path, workers=2)
    return path


def certify(run: Path, folder: Path) -> tuple[str, str]:
    certificate = issue(run, Roles("student", "teacher", "bad"))
    page, summary = write_reports(certificate, run, folder / "certificate.json")
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
        for ours, theirs in evidence.pairs("student", "teacher")
        if ours.outcome != theirs.outcome
    ]
    assert differ
    for key in differ:
        assert f"vlaeval replay {run} {key} --arm student" in text
    for digest in (certificate.protocol_sha256, certificate.records_sha256):
        assert digest in text
    assert all(flag.sentence in text for flag in certificate.flags)
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


def protocol_of(tasks: int, count: int, *overrides: str) -> Protocol:
    names = [f"task {i} {EVIL}" for i in range(tasks)]
    data = {
        "schema_version": 1,
        "protocol": "synthetic",
        "version": 1,
        "title": EVIL,
        "source": EVIL,
        "leaves_open": [EVIL],
        "blocks": [
            {
                "suite": "suite",
                "env_id": "fakes:fakes/{task}-v0",
                "tasks": names,
                "init_states": {"count": count},
                "max_steps": 10,
            }
        ],
        "run": {"limits": {"error_cap": 0.5}},
        "analysis": {"estimand": EVIL, "margin": 0.05, "margin_reason": EVIL},
    }
    return parse_protocol(data, "here", overrides=overrides)


def synthetic(protocol: Protocol, *, timed: bool, standins: bool, lost: int = 0) -> Evidence:
    """Evidence without a run: names that want to break out, any number of episodes."""
    roles = Roles(f"new{EVIL}", f"old{EVIL}", f"bad{EVIL}")
    keys = tuple(episode.key for episode in expand(protocol))

    def record(arm: int, index: int) -> EpisodeRecord:
        won = index % (13, 17, 2)[arm] != 0
        ms = tuple(float(1 + (index + i) % 7) for i in range(20)) if timed else ()
        timing = Timing(
            started_at=f"2026-01-01T{index // 3600:02}:{index // 60 % 60:02}:{index % 60:02}+00:00",
            infer_ms=ms,
            host=EVIL,
        )
        key = keys[index]
        return EpisodeRecord(
            arm=roles.names[arm],
            suite=key.suite,
            task=key.task,
            init_state=key.init_state,
            env_seed=0,
            policy_seed=0,
            env_id="x",
            outcome="success" if won else "failure",
            reason=None if won else "time_limit",
            inferences=len(ms),
            provenance={"standins": standins, EVIL: EVIL},
            protocol_sha256=protocol.sha256,
            policy_sha256="0" * 64,
            timing=timing,
        )

    arms = tuple(Arm(name=each, spec=EVIL, identity={"name": EVIL}) for each in roles.names)
    return Evidence(
        run=RunFile(
            status="complete",
            protocol_sha256=protocol.sha256,
            protocol=protocol,
            arms=arms,
            created_at="2026-01-01T00:00:00+00:00",
            versions={"commit": EVIL},
            machine={"system": EVIL},
        ),
        roles=roles,
        keys=keys,
        finals={
            name: {keys[i]: record(arm, i) for i in range(lost * (arm == 0), len(keys))}
            for arm, name in enumerate(roles.names)
        },
        missing={name: keys[: lost * (arm == 0)] for arm, name in enumerate(roles.names)},
        records_sha256="1" * 64,
    )


@pytest.fixture
def judged(monkeypatch):
    """Issue a certificate on evidence that was never on disk."""

    def issue_on(evidence: Evidence) -> Certificate:
        # The package exports the function `issue`, which hides the module of that name.
        module = sys.modules["vla_eval.certificate.issue"]
        monkeypatch.setattr(module, "gather", lambda *_: evidence)
        return issue(Path("anywhere"), evidence.roles)

    return issue_on


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("tasks", [1, 3])
def test_nothing_breaks_out(judged, tasks, timed):
    """Markup, formulas and foreign scripts in any name or text are shown as they are."""
    evidence = synthetic(protocol_of(tasks, 30), timed=timed, standins=False)
    certificate = judged(evidence)
    file = Path(f"run{EVIL}/certificate.json")
    text = html_report(certificate, evidence, run=file.parent, file=file)
    check(text)
    assert "<script>alert" not in text
    assert "漢字" in text
    assert ("no latency to report" in text) is not timed
    assert ("Task by task" in text) is (tasks > 1)
    summary = markdown_report(certificate)
    assert "<script" not in summary
    assert not re.search(r"(?<!`)`[^`]*new", summary)
    assert len({row.count("|") for row in summary.splitlines() if row.startswith("|")}) == 1


def test_stand_ins_and_changes_are_said_first(judged):
    """Stand-in assets and a modified protocol are flags, and warnings above the verdict."""
    changed = protocol_of(1, 30, "run.n_action_steps=5")
    evidence = synthetic(changed, timed=True, standins=True, lost=3)
    certificate = judged(evidence)
    assert {Flag.STAND_INS, Flag.MODIFIED, Flag.ATTRITION} <= set(certificate.flags)
    file = Path("run/certificate.json")
    text = html_report(certificate, evidence, run=file.parent, file=file)
    check(text)
    assert text.index("Stand-in assets.") < text.index("<h1>")
    assert text.index("run.n_action_steps=5") < text.index("<h1>")
    assert "3 of 90 episodes ended in infrastructure errors only" in text
    assert "Stand-in assets" in markdown_report(certificate)


def test_many_episodes_stay_small(judged):
    """4,500 episodes an arm on 90 tasks: less than 2 MB, and what is left out is said."""
    evidence = synthetic(protocol_of(90, 50), timed=True, standins=False)
    certificate = judged(evidence)
    file = Path("run/certificate.json")
    text = html_report(certificate, evidence, run=file.parent, file=file)
    check(text)
    assert len(text.encode()) < 2_000_000
    assert re.search(r"The first 300 of \d+ are listed", text)


def test_a_replay_is_the_recorded_episode(run, tmp_path, capsys):
    """The command of the report runs the same actions in the same scene, and films them."""
    video = tmp_path / "films" / "one.gif"
    key = "fake/Point/i3/e0/p0"
    assert main(["replay", str(run), key, "--arm", "student", "--video", str(video)]) == 0
    assert "reproduced" in capsys.readouterr().out
    assert video.read_bytes().startswith(b"GIF8")
    assert main(["replay", str(run), key, "--arm", "studnet"]) == 4
    assert main(["replay", str(run), "fake/Point/i99/e0/p0", "--arm", "student"]) == 4


def test_a_replay_of_something_else_is_refuted(run, capsys, monkeypatch):
    """Where another policy hides behind the spec, actions differ and are named."""
    from vla_eval import replay
    from vla_eval.spec import build_policy

    monkeypatch.setattr(replay, "build_policy", lambda _: build_policy(f"{WORKER}?skill=0.1"))
    assert main(["replay", str(run), "fake/Point/i3/e0/p0", "--arm", "teacher"]) == 1
    assert "actions_sha256" in capsys.readouterr().out
