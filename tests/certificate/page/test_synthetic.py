"""The report on evidence made to break it: hostile names, no timings, thousands of episodes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fakes.pages import check
from vla_eval.certificate import Evidence, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.plan import expand
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.folder import Arm, RunHeader
from vla_eval.stats import Flag

pytestmark = pytest.mark.long

EVIL = "<script>alert(1)</script>&\"'$x_1$漢字|`"


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
            machine=EVIL,
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
            scene_hash="s",
            provenance={"standins": standins, EVIL: EVIL},
            protocol_sha256=protocol.sha256,
            policy_sha256="0" * 64,
            timing=timing,
        )

    arms = tuple(Arm(name=each, spec=EVIL, identity={"name": EVIL}) for each in roles.names)
    return Evidence(
        header=RunHeader(
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
        arms={
            name: ArmEpisodes(
                name,
                {keys[i]: record(arm, i) for i in range(lost * (arm == 0), len(keys))},
                missing=keys[: lost * (arm == 0)],
            )
            for arm, name in enumerate(roles.names)
        },
        records_sha256="1" * 64,
        timings_sha256="2" * 64,
    )


@pytest.fixture
def judged():
    """Issue a certificate on evidence that was never on disk."""
    return issue_from


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
