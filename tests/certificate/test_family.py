"""Several candidates of one run: Holm's levels, one attempt, and what the protocol fixes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.certificate.certify import certify, roles_asked
from vla_eval.certificate.evidence import _check_roles
from vla_eval.certificate.issue import issue_from
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.certificate.page.meaning import signs
from vla_eval.certificate.taskwise import guarded
from vla_eval.certificate.text import certificate_text
from vla_eval.cli import main
from vla_eval.cli.certify import _exit_code
from vla_eval.errors import EXIT_REFUTED, ProtocolError, UsageError
from vla_eval.judging.guardrail import GuardRail, TaskFinding
from vla_eval.protocol import parse_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import Verdict

PARITY = Path(__file__).parents[2] / "docs" / "certificates" / "parity"
CAREFUL = Roles("careful", "expert", others=("impaired",))
IMPAIRED = Roles("impaired", "expert", others=("careful",))


def test_each_candidate_has_holm_s_level():
    """The better candidate needs half of alpha, and having passed, leaves all of it to the other."""
    first, second = issue(PARITY, CAREFUL), issue(PARITY, IMPAIRED)
    assert (first.alpha, second.alpha) == (0.025, 0.05)
    assert (first.verdict, second.verdict) == (Verdict.EQUIVALENT, Verdict.INFERIOR)
    assert first.family.candidates == second.family.candidates == ("careful", "impaired")
    assert "one of 2 candidates judged together" in certificate_text(first).replace("\n  ", " ")


def test_a_stranger_recomputes_it():
    """The family is part of the certificate, and its records are hashed with it."""
    certificate = issue(PARITY, CAREFUL)
    assert verify(certificate, PARITY) == []
    family = certificate.family.model_copy(update={"level": 0.05})
    assert verify(certificate.model_copy(update={"family": family}), PARITY)


def test_a_family_is_one_attempt(tmp_path):
    """Judging the members one after the other, or again, makes no attempt of its own."""
    run = tmp_path / "run"
    shutil.copytree(PARITY, run)
    attempts = [certify(run, roles).certificate.attempt for roles in (CAREFUL, IMPAIRED, CAREFUL)]
    assert attempts == [1, 1, 1]


@pytest.mark.long
def test_the_command_writes_one_certificate_each(tmp_path, capsys):
    """Both certificates are written, and the worst one gives the exit code."""
    run = tmp_path / "run"
    shutil.copytree(PARITY, run)
    code = main(["certify", str(run), "--candidates", "careful,impaired", "--reference", "expert"])
    assert code == 1
    assert {path.name for path in run.glob("certificate-*.json")} == {
        "certificate-careful.json",
        "certificate-impaired.json",
    }
    assert "EQUIVALENT" in capsys.readouterr().out


@pytest.mark.long
def test_the_reports_show_guard_rail_and_family():
    """Page and Markdown name the guard rail's findings, the family and the secondary result."""
    run = PARITY.parent / "guard-rail"
    roles = Roles("unsteady", "expert", others=("careful",))
    evidence = gather(run, roles)
    certificate = issue_from(evidence)
    file = run / "certificate-unsteady.json"
    page = html_report(certificate, evidence.alone(), run=run, file=file)
    for text in (page, markdown_report(certificate)):
        assert "shown to be worse by more: so101/Stacking" in text
        assert "judged together" in text
        assert "further tasks like these" in text
    assert "Guard rail: 20 points on each task" in page
    assert "--candidates careful,unsteady" in page


def test_a_verdict_that_holds_is_withheld_by_one_task():
    """A task that is shown to be worse withholds what holds, refutes it, and changes nothing else."""
    finding = {"p_within": 0.001, "level_within": 0.01, "p_beyond": 1.0, "level_beyond": 0.01}
    task = TaskFinding(task="fake/a", finding="worse", **finding)
    rail = GuardRail(margin=0.2, alpha=0.05, tasks=(task,))
    assert guarded(Verdict.EQUIVALENT, rail) is Verdict.WITHHELD
    assert guarded(Verdict.INCONCLUSIVE, rail) is Verdict.INCONCLUSIVE
    assert guarded(Verdict.EQUIVALENT, None) is Verdict.EQUIVALENT
    assert _exit_code(Verdict.WITHHELD) == EXIT_REFUTED
    assert signs(Verdict.WITHHELD) == "refuted"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "which arm is the candidate"),
        (
            {"candidate": "careful", "candidates": ("careful", "impaired")},
            "which arm is the candidate",
        ),
        ({"candidates": ("careful", "careful")}, "names an arm twice"),
    ],
)
def test_unclear_candidates_are_refused(asked, message):
    """One candidate or several, each once."""
    with pytest.raises(UsageError, match=message):
        roles_asked(PARITY, "expert", None, **asked)


def test_a_protocol_s_candidates_are_fixed():
    """What the protocol names together is judged together, and no member of it alone."""
    header = RunFolder.open(PARITY).header
    update = {"candidates": ("careful", "impaired")}
    changed = header.protocol.analysis.model_copy(update=update)
    protocol = header.protocol.model_copy(update={"analysis": changed})
    header = header.model_copy(update={"protocol": protocol})
    _check_roles(header, CAREFUL)
    with pytest.raises(UsageError, match="fixes the candidates as careful, impaired"):
        _check_roles(header, Roles("careful", "expert"))


def analysis(**fields):
    """Return a protocol of two tasks with these fields of its analysis."""
    block = {
        "suite": "fake",
        "env_id": "fakes:fakes/{task}-v0",
        "tasks": ["Point", "Other"],
        "init_states": {"count": 3},
        "max_steps": 5,
    }
    return {
        "schema_version": 1,
        "protocol": "fake",
        "version": 1,
        "title": "x",
        "source": "x",
        "blocks": [block],
        "analysis": {"estimand": "x", "margin": 0.1, "margin_reason": "x", **fields},
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"candidates": ["a"]}, "two or more arms"),
        ({"candidates": ["a", "b"], "candidate": "c"}, "two or more arms"),
        ({"candidates": ["a", "b"], "reference": "a"}, "one arm in two roles"),
        ({"weights": {"fake/Point": 1, "fake/Other": 2}}, "needs analysis.strata"),
        ({"strata": "task", "weights": {"fake/Point": 1}}, "must name every task"),
        ({"strata": "task", "weights": {"fake/Point": 1, "fake/Other": 0}}, "weights"),
        ({"task_margin": 1.5}, "task_margin"),
    ],
)
def test_protocols_that_cannot_be_kept_are_refused(fields, message):
    """Families, weights and guard rails must fit the plan."""
    with pytest.raises(ProtocolError, match=message):
        parse_protocol(analysis(**fields), "here")


def test_the_new_fields_are_hashed():
    """A protocol with a guard rail is another protocol; without one its hash is as it was."""
    plain, guarded = (parse_protocol(analysis(**each), "x") for each in ({}, {"task_margin": 0.2}))
    assert plain.sha256 != guarded.sha256
    assert "task_margin" not in plain.canonical_json()
