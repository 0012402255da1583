"""Attacks on certificates: each is refused with a sentence, or flagged, or judged at its worst.

What only a replay can tell is in test_replayed.py; what hostile files do, in
tests/files/test_hostile_files.py.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vla_eval
from fakes.forging import relabel, rewrite
from vla_eval.certificate import Roles, issue, verify
from vla_eval.certificate.text import certificate_text
from vla_eval.cli import main
from vla_eval.errors import ProtocolError, RunFolderError, UsageError
from vla_eval.released import load_protocol
from vla_eval.stats import Flag, Verdict

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
ARMS = {
    "student": f"{WORKER}?skill=0.97",
    "teacher": f"{WORKER}?skill=0.97&version=2",
    "bad": f"{WORKER}?skill=0.6",
}
ROLES = Roles("student", "teacher", "bad")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("attacks")


@pytest.fixture
def parity(runs, protocol_file) -> Path:
    path = runs / "parity"
    if not path.exists():
        vla_eval.run(str(protocol_file(count=60)), ARMS, path, workers=1)
    return path


@pytest.fixture
def copy(parity, tmp_path) -> Path:
    target = tmp_path / "copy"
    shutil.copytree(parity, target)
    return target


def lose(record, *, arm: str, states) -> dict:
    """Turn an arm's episodes into errors, as a crash would."""
    if record["arm"] != arm or record["init_state"] not in states:
        return record
    error = {"type": "RuntimeError", "message": "out of memory", "traceback": ""}
    return record | {"outcome": "error", "reason": "worker_died", "error": error}


def test_errors_under_a_cap_are_counted_at_their_worst(copy):
    """7b: a candidate whose failures became errors is no better for it; verdict and exit code say so."""
    relabel(copy, lambda p: p["run"]["limits"].update(error_cap=0.5))
    observed = issue(copy, ROLES)
    assert observed.verdict is Verdict.EQUIVALENT
    rewrite(copy, lambda record: lose(record, arm="student", states=range(15)))
    certificate = issue(copy, ROLES)
    assert certificate.comparison.observed_verdict is Verdict.EQUIVALENT
    assert certificate.verdict is Verdict.INCONCLUSIVE
    assert certificate.details["attrition"] == "student 15, teacher 0, bad 0"
    assert "counted at their worst" in certificate_text(certificate)
    arguments = ["--candidate", "student", "--reference", "teacher", "--control", "bad"]
    assert main(["certify", str(copy), *arguments]) == 6


def test_a_released_label_with_another_hash_is_refused(copy):
    """10b: nobody certifies under the name of a released protocol what is not it."""

    def usurp(protocol):
        protocol.update(protocol="so101-pick-place", version=1)

    relabel(copy, usurp)
    with pytest.raises(ProtocolError, match="so101-pick-place@1, which is released with hash"):
        issue(copy, ROLES)


def test_removed_overrides_are_refused(tmp_path, monkeypatch):
    """12: a modified release that hides its changes has a hash that the lock does not know."""
    from vla_eval.released import standing

    modified = load_protocol("so101-pick-place", overrides=["analysis.margin=0.25"])
    assert standing(modified) == "modified"
    with pytest.raises(ProtocolError, match="edited"):
        standing(modified.model_copy(update={"overrides": None}))
    with pytest.raises(ProtocolError, match="edited"):
        standing(modified.model_copy(update={"overrides": {"analysis.margin": "0.1"}}))


def test_an_unreleased_and_unregistered_protocol_says_so(parity):
    """14, 15: a protocol of one's own may have been written after a look, and the flags say that."""
    certificate = issue(parity, ROLES)
    assert {Flag.UNRELEASED_PROTOCOL, Flag.UNREGISTERED} <= set(certificate.flags)
    assert certificate.standing == "unreleased"
    assert "beforehand" not in certificate_text(certificate)


def test_a_registration_made_afterwards_registers_nothing(parity, tmp_path, protocol_file, capsys):
    """15: what was written down after the first episode is refused, with the times."""
    protocol = str(protocol_file(count=60))
    arms = [word for name, spec in ARMS.items() for word in ("--arm", f"{name}={spec}")]
    roles = ["--candidate", "student", "--reference", "teacher", "--control", "bad"]
    file = tmp_path / "registration.json"
    assert main(["register", protocol, *arms, *roles, "--out", str(file)]) == 0
    copy = tmp_path / "late"
    shutil.copytree(parity, copy)
    assert main(["certify", str(copy), *roles, "--registration", str(file)]) == 4
    assert "registers nothing" in capsys.readouterr().err


def test_a_registered_run_is_not_flagged_and_verifies(tmp_path, protocol_file, capsys):
    """Declared before the first episode: no flag, and a stranger finds the registration in the run."""
    protocol = str(protocol_file(count=30))
    arms = [word for name, spec in ARMS.items() for word in ("--arm", f"{name}={spec}")]
    roles = ["--candidate", "student", "--reference", "teacher", "--control", "bad"]
    file, run = tmp_path / "registration.json", tmp_path / "run"
    assert main(["register", protocol, *arms, *roles, "--out", str(file)]) == 0
    assert main(["run", protocol, *arms, "--out", str(run)]) == 0
    main(["certify", str(run), *roles, "--registration", str(file)])
    assert "UNREGISTERED" not in capsys.readouterr().out
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 0
    (run / "registration.json").unlink()
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 1
    other = ["--candidate", "bad", "--reference", "teacher", "--control", "student"]
    assert main(["certify", str(run), *other, "--registration", str(file)]) == 4


def test_successes_after_lost_attempts_are_counted_at_their_worst(copy):
    """16: whoever raises where it would fail, and is tried again, is no better for it, and flagged."""
    for file in (copy / "episodes").glob("*.jsonl"):
        lines = [json.loads(line)["record"] for line in file.read_text().splitlines()]
        luck = [each for each in lines if each["arm"] == "student" and each["init_state"] < 15]
        lost = [lose(each, arm="student", states=range(15)) for each in luck]
        for number, each in enumerate(lost):
            each |= {"reason": "policy_error", "inferences": 3, "steps": number}
        again = [each | {"attempt": 2} if each in luck else each for each in lines]
        text = "".join(f'{{"chain":"","record":{json.dumps(each)}}}\n' for each in [*lost, *again])
        file.write_text(text)
    rewrite(copy, lambda record: record)  # mends the chain
    certificate = issue(copy, ROLES)
    assert certificate.comparison.observed_verdict is Verdict.EQUIVALENT
    assert certificate.verdict is Verdict.INCONCLUSIVE
    assert certificate.details["retried"] == "student 15, teacher 0, bad 0"
    assert "student 75 attempts of 60 episodes (15 retried)" in certificate_text(certificate)


def test_the_same_policy_twice_is_said(tmp_path, protocol_file):
    """17: candidate and reference may differ in name only; that is no finding."""
    spec = f"{WORKER}?skill=0.97"
    arms = {"a": spec, "b": spec}
    vla_eval.run(str(protocol_file(count=10)), arms, tmp_path / "run", workers=1)
    assert Flag.SELF_COMPARISON in issue(tmp_path / "run", Roles("a", "b")).flags


def test_deleted_looks_are_refused(tmp_path, protocol_file):
    """25, 26: looks that were taken are on disk; without them nobody knows of which arms."""
    path = protocol_file(count=50, run='order = "round-robin"')
    path.write_text(path.read_text() + 'stopping = "obrien-fleming-5"\n')
    arms = {name: ARMS[name] for name in ("student", "teacher")}
    run = tmp_path / "run"
    vla_eval.run(str(path), arms, run, workers=1)
    roles = Roles("student", "teacher")
    assert issue(run, roles).sequential is not None
    shutil.rmtree(run / "looks")
    with pytest.raises(RunFolderError, match=r"looks/1\.json is missing"):
        issue(run, roles)
    content = json.loads((run / "run.json").read_text())
    content["arms"].reverse()
    (run / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="is missing"):
        issue(run, Roles("teacher", "student"))


def test_changed_timings_are_found(parity, copy):
    """27: inference times and calls have a digest of their own in the certificate."""
    certificate = issue(parity, ROLES)

    def faster(record):
        record["timing"]["infer_ms"] = [ms / 4 for ms in record["timing"]["infer_ms"]]
        return record

    rewrite(copy, faster)
    assert any("timings_sha256" in place for place in verify(certificate, copy))


def test_development_states_are_flagged():
    """32: states that are meant for choosing checkpoints are named, by suite and number."""
    from vla_eval.catalog import development_keys

    assert len(development_keys(load_protocol("so101-quickstart"))) == 30
    assert not development_keys(load_protocol("so101-pick-place"))


def test_training_states_are_refused(copy):
    """33: whoever was trained in the scenes that it is judged in is not certified in them."""
    scenes = set()
    rewrite(copy, lambda record: scenes.add(record["scene_hash"]) or record)
    _teach(copy, "student", sorted(scenes)[:3])
    with pytest.raises(RunFolderError, match="'student' was trained in 3 of the 60 scenes"):
        issue(copy, ROLES)
    _teach(copy, "student", ["0" * 64])
    certificate = issue(copy, ROLES)
    assert "student" not in certificate.details.get("trained-on-unknown", "")


def _teach(run: Path, arm: str, scenes: list[str]) -> None:
    """Say in an arm's identity what it was trained on."""
    _identify(run, arm, {"trained_on": [scene[:16] for scene in scenes]})


def _identify(run: Path, arm: str, change: dict) -> None:
    """Change an arm's identity, and mend its hash in the records."""
    from vla_eval.runs.header import identity_sha256

    file = run / "run.json"
    content = json.loads(file.read_text())
    entry = next(each for each in content["arms"] if each["name"] == arm)
    entry["identity"] |= change
    sha256 = identity_sha256(entry["identity"])
    file.write_text(json.dumps(content))
    rewrite(
        run,
        lambda record: record | ({"policy_sha256": sha256} if record["arm"] == arm else {}),
    )


def test_unhashed_weights_and_privilege_are_flagged(copy):
    """35, 38: what no hash covers, and who reads the simulator, is named by arm."""
    certificate = issue(copy, ROLES)
    assert certificate.details["unhashed-weights"] == "student, teacher, bad"
    assert Flag.PRIVILEGED not in certificate.flags
    _identify(copy, "student", {"privileged": True, "weights_sha256": "0" * 64})
    certificate = issue(copy, ROLES)
    assert certificate.details["unhashed-weights"] == "teacher, bad"
    assert certificate.details["privileged"] == "student"


def test_a_run_created_after_its_episodes_is_refused(copy):
    """37: run.json is what episodes are held against, so it came first."""
    file = copy / "run.json"
    content = json.loads(file.read_text())
    content["created_at"] = "2099-01-01T00:00:00+00:00"
    file.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="before the run was created"):
        issue(copy, ROLES)


def test_mixed_simulators_are_refused(copy):
    """41: an arm that ran in another simulator version is not compared."""

    def newer(record):
        other = {"simulator": "another"} if record["arm"] == "student" else {}
        return record | {"provenance": record["provenance"] | other}

    rewrite(copy, newer)
    with pytest.raises(RunFolderError, match="ran in different simulators"):
        issue(copy, ROLES)


def test_nobody_succeeds(copy):
    """42: none of sixty against none of sixty is equivalent, and FLOOR says what that is worth."""
    failed = {"outcome": "failure", "reason": "time_limit", "score": 0.0}
    rewrite(copy, lambda record: record | failed)
    certificate = issue(copy, ROLES)
    assert Flag.FLOOR in certificate.flags
    assert certificate.assay.grade == "refuted"
    assert "passed as well" in certificate_text(certificate).splitlines()[4]


def test_a_control_must_fail_by_acting(copy):
    """43: NaN from the control shows nothing about the tasks: sensitivity is not shown."""
    certificate = issue(copy, ROLES)
    assert certificate.assay.grade == "shown"

    def nan(record):
        if record["arm"] != "bad":
            return record
        return record | {"outcome": "failure", "reason": "invalid_action", "score": 0.0}

    rewrite(copy, nan)
    certificate = issue(copy, ROLES)
    assert certificate.control.verdict is Verdict.INFERIOR
    assert certificate.assay.grade == "not shown"
    assert Flag.SENSITIVITY_NOT_SHOWN in certificate.flags


def test_the_best_of_several_candidates_is_counted(copy, tmp_path, monkeypatch, capsys):
    """46: other arms that could have been the candidate are named; the second one has a smaller alpha."""
    monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path / "cache"))
    first = ["certify", str(copy), "--candidate", "student", "--reference", "teacher"]
    main(first)
    assert "PICKED-CANDIDATE" in capsys.readouterr().out
    main(["certify", str(copy), "--candidate", "bad", "--reference", "teacher", "--json"])
    second = json.loads(capsys.readouterr().out)
    assert (second["attempt"], second["planned_alpha"]) == (2, 0.05)
    assert second["alpha"] == pytest.approx(6 * 0.05 / (3.141592653589793 * 2) ** 2)
    assert "reused-holdout" in second["flags"]
    file = copy / "certificate.json"
    assert main(["verify", str(file), str(copy)]) == 0
    capsys.readouterr()
    main([*first, "--json"])
    assert json.loads(capsys.readouterr().out)["attempt"] == 1, "its own number stays"


def test_the_scope_is_computed_from_what_ran(tmp_path, protocol_file):
    """Three states make no claim about thirty, whatever sentence the protocol has."""
    arms = {name: ARMS[name] for name in ("student", "teacher")}
    changed = ["blocks.0.init_states=[0,1,2]"]
    vla_eval.run(str(protocol_file(count=30)), arms, tmp_path / "run", workers=1, overrides=changed)
    certificate = issue(tmp_path / "run", Roles("student", "teacher"))
    assert certificate.what_ran == "fake/Point, initial states 0 to 2"
    assert "over 3 paired episodes" in certificate.claim
    assert Flag.MODIFIED in certificate.flags


def test_certify_takes_no_role_of_an_arm_that_looks_like_another(copy):
    """30: roles are arms of the run, letter by letter."""
    with pytest.raises(UsageError, match="the run has no arm"):
        issue(copy, Roles("stu\u0501ent", "teacher"))
