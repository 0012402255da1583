"""Certificates: what is certified, what is refused, and that a stranger recomputes all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vla_eval
from fakes.forging import rewrite
from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.certificate.verify import read_certificate
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.runs.folder import RunHeader
from vla_eval.stats import Flag, Verdict, tango_interval

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
ARMS = {
    "student": f"{WORKER}?skill=0.97",
    "teacher": f"{WORKER}?skill=0.97&version=2",
    "bad": f"{WORKER}?skill=0.6",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def parity(runs, protocol_file) -> Path:
    """One complete run of a parity pair and a bad arm, made once."""
    path = runs / "parity"
    if not path.exists():
        vla_eval.run(str(protocol_file(count=100)), ARMS, path, workers=1)
    return path


@pytest.fixture
def copy(parity, tmp_path) -> Path:
    """A copy of the run to tamper with."""
    target = tmp_path / "copy"
    shutil.copytree(parity, target)
    return target


ROLES = Roles("student", "teacher", "bad")


def test_parity_is_certified_and_the_control_fails(parity):
    """A parity pair is equivalent at 10 points, the impaired arm is not, and the flags say so."""
    certificate = issue(parity, ROLES)
    assert certificate.verdict in (Verdict.EQUIVALENT, Verdict.SUPERIOR)
    assert certificate.control.verdict is Verdict.INFERIOR
    assert Flag.NO_ASSAY_SENSITIVITY not in certificate.flags
    assert Flag.POST_HOC not in certificate.flags
    assert certificate.comparison.p_worse <= 0.05


def test_a_bad_arm_is_refuted(parity):
    """The impaired arm in the candidate's place is inferior beyond the margin."""
    certificate = issue(parity, Roles("bad", "teacher"))
    assert certificate.verdict is Verdict.INFERIOR
    assert Flag.NOT_TESTED_SENSITIVITY in certificate.flags


def test_a_certificate_is_recomputed_by_a_stranger(parity, tmp_path):
    """Written, read and recomputed, nothing differs."""
    file = tmp_path / "certificate.json"
    file.write_text(issue(parity, ROLES).model_dump_json())
    assert verify(read_certificate(file), parity) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("verdict",), "superior"),
        (("margin",), 0.2),
        (("flags",), []),
        (("comparison", "n11"), 1),
        (("comparison", "ci95", 0), -0.001),
        (("arms", 0, "spec"), "expert"),
        (("protocol_sha256",), "0" * 64),
        (("sentence",), "It is fine."),
    ],
)
def test_a_changed_certificate_is_not_verified(parity, tmp_path, place, value):
    """Any changed word or number is found."""
    content = json.loads(issue(parity, ROLES).model_dump_json())
    node = content
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(content))
    assert verify(read_certificate(file), parity)


def test_a_changed_record_is_found(parity, copy):
    """A forger who mends the chain still gives other numbers than the certificate's."""
    certificate = issue(parity, ROLES)

    def lose(record):
        if record["arm"] == "student" and record["init_state"] == 0:
            record |= {"outcome": "failure", "reason": "time_limit"}
        return record

    rewrite(copy, lose)
    assert any("records_sha256" in place for place in verify(certificate, copy))


def test_a_dropped_pair_is_refused(copy):
    """A run that lacks a planned episode is not judged."""
    rewrite(copy, lambda record: None if record["init_state"] == 7 else record)
    with pytest.raises(RunFolderError, match=r"has not run 1 of 100 planned episodes.*peeking"):
        gather(copy, ROLES)


def test_an_extra_record_is_refused(copy):
    """A record of an episode that the plan does not hold is not judged."""
    rewrite(copy, lambda record: record | {"init_state": record["init_state"] + 1})
    with pytest.raises(RunFolderError, match="not in the protocol's plan"):
        gather(copy, ROLES)


def test_swapped_arms_are_refused(copy):
    """Records under another arm's name carry the other policy's hash."""
    names = {"student": "bad", "bad": "student", "teacher": "teacher"}
    rewrite(copy, lambda record: record | {"arm": names[record["arm"]]})
    with pytest.raises(RunFolderError, match="made by another policy"):
        gather(copy, ROLES)


@pytest.mark.parametrize(
    ("field", "message"),
    [("protocol_sha256", "belongs to another run"), ("policy_sha256", "another policy")],
)
def test_records_of_another_protocol_or_policy_are_refused(copy, field, message):
    """Every record names its protocol and its policy by their hashes."""
    rewrite(copy, lambda record: record | {field: "0" * 64})
    with pytest.raises(RunFolderError, match=message):
        gather(copy, ROLES)


def test_other_scenes_are_refused(copy):
    """Arms that saw different scenes are not paired."""

    def move(record):
        return record | ({"scene_hash": "f" * 64} if record["arm"] == "student" else {})

    rewrite(copy, move)
    with pytest.raises(RunFolderError, match="scenes of 100 of 100 common episodes differ"):
        gather(copy, ROLES)


def test_an_edited_protocol_is_refused(copy):
    """The margin cannot be changed in run.json."""
    file = copy / "run.json"
    file.write_text(file.read_text().replace('"margin": 0.1', '"margin": 0.3'))
    with pytest.raises(RunFolderError, match="edited"):
        gather(copy, ROLES)


def test_an_edited_protocol_with_a_mended_hash_is_refused(copy):
    """Who also writes the new protocol's hash beside it contradicts every record."""
    file = copy / "run.json"
    content = json.loads(file.read_text())
    content["protocol"]["analysis"]["margin"] = 0.3
    changed = RunHeader.model_validate_json(json.dumps(content)).protocol
    content["protocol_sha256"] = changed.sha256
    file.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=r"is not the protocol of run\.json"):
        gather(copy, ROLES)


def test_another_identity_is_refused(copy):
    """Who gives an arm other weights in run.json contradicts its records."""
    file = copy / "run.json"
    file.write_text(file.read_text().replace('"skill": 0.6', '"skill": 0.9'))
    with pytest.raises(RunFolderError, match="made by another policy"):
        gather(copy, ROLES)


def test_a_record_changed_in_place_is_refused(copy):
    """A record that was changed without mending the chain is found on reading."""
    file = next(iter((copy / "episodes").glob("*.jsonl")))
    text = file.read_text()
    assert '"outcome":"success"' in text
    file.write_text(text.replace('"outcome":"success"', '"outcome":"failure"', 1))
    with pytest.raises(RunFolderError, match="a record was changed, dropped or"):
        gather(copy, ROLES)


def test_a_second_and_other_result_is_refused(copy):
    """A better result slipped in beside the first contradicts it: nothing is chosen."""
    file = next(iter((copy / "episodes").glob("*.jsonl")))
    shutil.copy(file, file.with_name(f"z{file.name}"))

    def better(record):
        return record | {"outcome": "success", "reason": None, "score": 1.0, "steps": 1}

    rewrite(copy, better, only="z")
    with pytest.raises(RunFolderError, match="not deterministic"):
        gather(copy, ROLES)


def test_another_margin_is_post_hoc(parity):
    """A margin that the protocol did not fix can be looked at, under its flag."""
    certificate = issue(parity, ROLES, margin=0.3)
    assert Flag.POST_HOC in certificate.flags
    assert certificate.margin_reason == "given after the fact"


def test_peeking_is_refused(tmp_path, protocol_file):
    """A run of which one shard is missing is not judged."""
    arms = {name: ARMS[name] for name in ("student", "teacher")}
    path = str(protocol_file(count=10))
    vla_eval.run(path, arms, tmp_path / "run", workers=1, shard="1/2")
    with pytest.raises(RunFolderError, match="has not run 5 of 10 planned episodes"):
        issue(tmp_path / "run", Roles("student", "teacher"))


def test_missing_episodes_are_flagged_and_bounded(tmp_path, protocol_file):
    """After infrastructure errors the certificate says so, and judges the worst case too."""
    arms = {name: ARMS[name] for name in ("student", "teacher")}
    path = str(protocol_file(count=30, fault="raise", fault_states="3,4,5", limits="retries = 0"))
    vla_eval.run(path, arms, tmp_path / "run", workers=1)
    with pytest.raises(RunFolderError, match=r"10\.0% of the episodes .*error_cap"):
        issue(tmp_path / "run", Roles("student", "teacher"))
    path = str(
        protocol_file(
            count=30, fault="raise", fault_states="3", limits="retries = 0\nerror_cap = 0.1"
        )
    )
    vla_eval.run(path, arms, tmp_path / "run2", workers=1)
    certificate = issue(tmp_path / "run2", Roles("student", "teacher"))
    assert Flag.ATTRITION in certificate.flags
    assert certificate.details["attrition"] == "student 1, teacher 1"
    comparison = certificate.comparison
    assert comparison.n == 29
    assert comparison.ci_judged[0] < comparison.ci90[0], "the lost pair counts as lost"


def test_repeats_of_one_state_are_clusters(tmp_path, protocol_file):
    """With several policy seeds the states are the units, and the interval is no narrower."""
    path = protocol_file(count=40, run="policy_seeds = [0, 1, 2]")
    path.write_text(path.read_text() + 'cluster = "initial-state"\n')
    arms = {"student": f"{WORKER}?skill=0.9", "teacher": f"{WORKER}?skill=0.97"}
    vla_eval.run(str(path), arms, tmp_path / "run", workers=1)
    certificate = issue(tmp_path / "run", Roles("student", "teacher"))
    comparison = certificate.comparison
    assert Flag.CLUSTERED in certificate.flags
    assert comparison.clusters == 40
    assert comparison.n11 + comparison.n10 + comparison.n01 + comparison.n00 == 120
    assert comparison.vif >= 1
    low, high = tango_interval(comparison.n10, comparison.n01, comparison.n)
    assert comparison.ci95[0] <= low + 1e-9
    assert comparison.ci95[1] >= high - 1e-9


def test_roles_must_be_arms(parity):
    """Unknown arms and double roles are usage errors."""
    with pytest.raises(UsageError, match="did you mean 'student'"):
        issue(parity, Roles("studnt", "teacher"))
    with pytest.raises(UsageError, match="two roles"):
        issue(parity, Roles("student", "student"))


def test_a_run_folder_is_verified_with_the_certificate_in_it(parity, tmp_path, capsys):
    """One name is enough; a folder without a certificate is refused by the file that is missing."""
    run = shutil.copytree(parity, tmp_path / "run")
    (run / "certificate.json").unlink(missing_ok=True)
    assert main(["verify", str(run)]) == 4
    assert "certificate.json" in capsys.readouterr().err
    issued = issue(run, ROLES)
    (run / "certificate.json").write_text(issued.model_dump_json())
    assert main(["verify", str(run)]) == 0
    assert "verified" in capsys.readouterr().out


def test_the_command_line_has_the_documented_exit_codes(parity, tmp_path, capsys):
    """0 the claim holds, 1 refuted, 6 inconclusive, 4 for what is no certificate."""
    file = tmp_path / "certificate.json"
    base = ["certify", str(parity), "--reference", "teacher", "--out", str(file)]
    assert main([*base, "--candidate", "student", "--control", "bad"]) == 0
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) <= 80
    assert main(["verify", str(file), str(parity)]) == 0
    assert main([*base, "--candidate", "student", "--margin", "0.001"]) == 6
    assert main([*base, "--candidate", "bad"]) == 1
    file.write_text("{}")
    assert main(["verify", str(file), str(parity)]) == 4
    assert "is no certificate" in capsys.readouterr().err
