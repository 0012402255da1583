"""Registrations and the lock of released protocols: true and false claims to be older than the data."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import vla_eval
from vla_eval import released
from vla_eval.certificate import Roles
from vla_eval.claims import registration as reg
from vla_eval.cli import main
from vla_eval.errors import InfrastructureError, ProtocolError, RunFolderError, UsageError
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol, standing
from vla_eval.runs.folder import RunFolder

WORKER = "fakes.policies:InWorker"
ARMS = {"student": f"{WORKER}?skill=0.9", "teacher": WORKER}
ROLES = Roles("student", "teacher")


LOOKS = "obrien-fleming-5"


def edited(protocol: Protocol, **analysis) -> Protocol:
    """A protocol as a forger leaves it in run.json: edited, and hashed again."""
    content = json.loads(protocol.model_dump_json())
    content["analysis"] |= analysis
    if analysis.get("stopping") == LOOKS:
        content["run"]["order"] = "round-robin"
    return Protocol.model_validate_json(json.dumps(content))


# --- the released lock ---------------------------------------------------------------------------


def test_the_lock_knows_what_is_released(protocol_file):
    """A shipped protocol is released, with --set modified, and a file of somebody's own neither."""
    assert standing(load_protocol("so101-pick-place")) == "released"
    changes = ("analysis.margin=0.2", "run.batch_wait_ms=1.5")
    assert standing(load_protocol("so101-pick-place", overrides=changes)) == "modified"
    assert standing(load_protocol(str(protocol_file()))) == "unreleased"
    own = load_protocol(str(protocol_file()), overrides=["analysis.margin=0.2"])
    assert standing(own) == "unreleased"


def test_every_shipped_protocol_is_released():
    """A run of a shipped protocol gets no warning that it is unknown or edited."""
    assert {standing(each) for each in released.shipped_protocols()} == {"released"}


def test_a_released_name_with_another_version_is_nobodys(tmp_path):
    """A copy that is called version 99 is not released by its name."""
    protocol = load_protocol("so101-pick-place").model_copy(update={"version": 99})
    assert protocol.label == "so101-pick-place@99"
    assert standing(protocol) == "unreleased"


def test_an_edited_release_is_refused():
    """A margin that was changed after the fact is found, even if every hash in the run was recomputed."""
    forged = edited(load_protocol("so101-pick-place@1"), margin=0.45)
    with pytest.raises(
        ProtocolError, match=r"so101-pick-place@1, which is released with hash c14b"
    ):
        standing(forged)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (None, "is released with hash"),
        ({}, "is released with hash"),
        ({"analysis.margin": "0.3"}, "is another one"),
        ({"analysis.margin": "0.2", "run.n_action_steps": "5"}, "is another one"),
        ({"run.batch_wait_ms": "1.5"}, "is another one"),
        ({"no.such.key": "1"}, "that cannot be"),
        ({"analysis.margin": "2020-01-01"}, "that cannot be"),
    ],
)
def test_invented_and_removed_overrides_are_refused(overrides, message):
    """The released file with the overrides that a protocol names has to give that protocol."""
    honest = load_protocol("so101-pick-place", overrides=["analysis.margin=0.2"])
    forged = honest.model_copy(update={"overrides": overrides})
    with pytest.raises(ProtocolError, match=message):
        standing(forged)


def test_reading_imports_nothing_that_a_protocol_names():
    """No reader imports the environment's package."""
    protocol = load_protocol("so101-pick-place")
    block = protocol.blocks[0].model_copy(update={"env_id": "no_such_package:a/{task}-v0"})
    with pytest.raises(ProtocolError, match="is released with hash"):
        standing(protocol.model_copy(update={"blocks": (block,)}))


# --- the file ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def made(runs, protocol_file) -> reg.Registration:
    """A registration, made once."""
    path = runs / "registration.json"
    if not path.exists():
        protocol = load_protocol(str(protocol_file()))
        roles = {"candidate": "student", "reference": "teacher"}
        reg.write_registration(reg.register(protocol, ARMS, **roles), path)
    return reg.read_registration(path)


@pytest.fixture
def run(made, runs, protocol_file) -> RunFolder:
    """The registered run, with an arm more; made once, after the registration."""
    if not (runs / "run").exists():
        arms = {**ARMS, "further": f"{WORKER}?skill=0.1"}
        vla_eval.run(str(protocol_file()), arms, runs / "run", workers=1)
    return RunFolder.open(runs / "run")


def begun(run: RunFolder) -> str:
    return min(each.timing.started_at for each in run.records().attempts)


@pytest.mark.long
def test_the_registered_run_is_admitted(made, run):
    """Identities of a registration are those that the run stores, spec and code included."""
    reg.check(made, run.header, ROLES, begun(run))
    assert made.standing == "unreleased"
    assert made.registered_at.tzinfo is not None


@pytest.mark.long
def test_a_run_that_is_another_is_refused(made, run):
    """Protocol, policy, spec, role and time: each difference is named in one sentence."""
    first = begun(run)
    teacher = made.arms[1]

    def changed(**fields) -> reg.Registration:
        return made.model_copy(update=fields)

    other = {"identity_sha256": "0" * 64}
    refused = {
        "with hash 0000": changed(protocol_sha256="0" * 64),
        "it was edited": changed(margin=0.05),
        "other weights, options or code": changed(arms=(teacher.model_copy(update=other),)),
        "was registered as hold, and": changed(arms=(teacher.model_copy(update={"spec": "hold"}),)),
        "no policy of that name": changed(arms=(teacher.model_copy(update={"name": "x"}),)),
        "registers nothing": changed(registered_at=datetime.now(UTC)),
    }
    for message, registration in refused.items():
        with pytest.raises(RunFolderError, match=message):
            reg.check(registration, run.header, ROLES, first)
    for roles in (Roles("teacher", "student"), Roles("student", "teacher", "further")):
        with pytest.raises(UsageError, match="roles cannot change after the fact"):
            reg.check(made, run.header, roles, first)
    for time in ("yesterday", "2026-01-01T00:00:00"):
        with pytest.raises(RunFolderError, match="no time with a zone"):
            reg.check(made, run.header, ROLES, time)


@pytest.mark.long
def test_the_first_instant_counts_as_afterwards(made, run):
    """A registration has to be older than the first episode, not as old."""
    at = made.registered_at
    reg.check(made, run.header, ROLES, (at + timedelta(microseconds=1)).isoformat())
    with pytest.raises(RunFolderError, match="registers nothing"):
        reg.check(made, run.header, ROLES, at.isoformat())


@pytest.mark.long
def test_another_policy_under_the_same_spec_is_refused(made, run):
    """An arm whose identity changed between registration and run is not the registered one."""
    arms = tuple(
        arm.model_copy(update={"identity": {**arm.identity, "weights_sha256": "f" * 64}})
        for arm in run.header.arms
    )
    other = run.header.model_copy(update={"arms": arms})
    with pytest.raises(RunFolderError, match="arm 'student' ran with other weights"):
        reg.check(made, other, ROLES, begun(run))


ROLE_MISTAKES = [
    ({}, {"candidate": None}, "which arm is the candidate"),
    ({}, {"reference": None}, "which arm is the reference"),
    ({}, {"candidate": "studnet"}, "did you mean 'student'"),
    ({}, {"control": "nobody"}, "there is no arm 'nobody'"),
    ({}, {"candidate": "teacher"}, "two roles"),
    ({"candidate": "student"}, {"candidate": "teacher"}, "fixes its candidate as arm 'student'"),
    ({"negative_control": "bad"}, {}, "there is no arm 'bad'"),
    (
        {"stopping": LOOKS},
        {"candidate": "teacher", "reference": "student"},
        "stops by",
    ),
]


@pytest.mark.parametrize(("analysis", "asked", "message"), ROLE_MISTAKES)
def test_roles_that_nobody_could_certify_are_refused(protocol_file, analysis, asked, message):
    """Roles are complete, exist, differ, and are those of the protocol and of its looks."""
    protocol = edited(load_protocol(str(protocol_file())), **analysis)
    roles = {"candidate": "student", "reference": "teacher"} | asked
    with pytest.raises(UsageError, match=message):
        reg.register(protocol, ARMS, **roles)


def test_roles_are_the_protocols_where_it_names_them(protocol_file):
    """Roles that the protocol fixes need no option; a sequential protocol takes the first two arms."""
    protocol = load_protocol(str(protocol_file()))
    fixed = edited(protocol, candidate="teacher", reference="student")
    assert reg.register(fixed, ARMS).roles.candidate == "teacher"
    looked = reg.register(edited(protocol, stopping=LOOKS), ARMS).roles
    assert (looked.candidate, looked.reference, looked.control) == ("student", "teacher", None)


def test_a_policy_that_cannot_be_loaded_is_not_registered(protocol_file):
    """A policy that cannot be identified before the run cannot be registered."""
    protocol = load_protocol(str(protocol_file()))
    arms = {**ARMS, "student": "fakes.policies:Unloadable"}
    with pytest.raises(InfrastructureError, match=r"arm 'student'.*the checkpoint is truncated"):
        reg.register(protocol, arms, candidate="student", reference="teacher")


def test_an_edited_release_is_not_registered(protocol_file):
    """A registration never vouches for a protocol that borrows a released name."""
    forged = edited(load_protocol("so101-pick-place"), margin=0.45)
    with pytest.raises(ProtocolError, match="is released with hash"):
        reg.register(forged, ARMS, candidate="student", reference="teacher")


def test_a_file_comes_back_as_it_was(made, tmp_path):
    """Writing and reading lose nothing, and nothing is written over."""
    path = tmp_path / "registrations" / "parity.json"
    reg.write_registration(made, path)
    assert reg.read_registration(path) == made
    with pytest.raises(UsageError, match="is there already"):
        reg.write_registration(made, path)


DAMAGES = [
    (lambda text: text[:-20], "is no registration"),
    (lambda text: text.replace('"margin"', '"alpha": 0.5, "margin"'), "key 'alpha' is there twice"),
    (lambda text: text.replace("Z", ""), "registered_at: .*timezone"),
    (lambda text: text.replace('"format": 1', '"format": 2'), "format"),
    (lambda text: text.replace('"margin"', '"extra": 1, "margin"'), "extra"),
    (lambda text: "\udcff" + text, "it is not UTF-8"),
    (lambda text: "[" * 100_000, "is no registration"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_damaged_files_are_refused(made, tmp_path, damage, message):
    """A registration is read if each key is there once; else one sentence names the fault."""
    path = tmp_path / "registration.json"
    reg.write_registration(made, path)
    path.write_bytes(damage(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=message) as raised:
        reg.read_registration(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_is_refused(tmp_path):
    """A missing file, a folder and a named pipe, which would block, each give one sentence."""
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("none", "no such file"),
        (".", "a file is expected"),
        ("pipe", "a file is expected"),
    ):
        with pytest.raises(UsageError, match=message):
            reg.read_registration(tmp_path / name)


def test_the_copy_in_the_run_folder(made, tmp_path):
    """The copy is the file byte for byte; another one is never put in its place."""
    path, run = tmp_path / "r.json", tmp_path / "run"
    run.mkdir()
    assert reg.kept(run) is None
    reg.write_registration(made, path)
    for _ in range(2):
        reg.keep(path, run)
        assert reg.kept(run) == made
    assert (run / reg.FILE_NAME).read_bytes() == path.read_bytes()
    other = tmp_path / "other.json"
    reg.write_registration(made.model_copy(update={"margin": 0.2}), other)
    with pytest.raises(RunFolderError, match="another registration"):
        reg.keep(other, run)
    (run / reg.FILE_NAME).write_text("{")
    with pytest.raises(UsageError, match="is no registration"):
        reg.kept(run)


# --- the command ---------------------------------------------------------------------------------


def test_the_verb(protocol_file, tmp_path, capsys, monkeypatch):
    """`register` writes the file, shows it, and prints the next commands to copy."""
    repo = tmp_path / "repo"
    empty = ["-c", "user.name=x", "-c", "user.email=x", "commit", "-q", "--allow-empty", "-m", "x"]
    for words in (["init", "-q", str(repo)], ["-C", str(repo), *empty]):
        subprocess.run(["git", *words], check=True)
    monkeypatch.chdir(repo)
    arms = [word for name, spec in ARMS.items() for word in ("--arm", f"{name}={spec}")]
    roles = ["--candidate", "student", "--reference", "teacher"]
    command = ["register", str(protocol_file()), *arms, *roles, "--set", "analysis.margin=0.2"]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    made = reg.read_registration(Path("registration.json"))
    assert json.loads(out) == json.loads(made.model_dump_json())
    assert out == Path("registration.json").read_text(), "the registration itself"
    head = ["git", "rev-parse", "HEAD"]
    assert (
        made.commit == subprocess.run(head, capture_output=True, check=True).stdout.decode().strip()
    )
    assert made.protocol == "fake@1+modified"
    for step in ("git add registration.json", "--set analysis.margin=0.2 --out", "--since COMMIT"):
        assert step in err
    assert main(command) == 4
    assert "is there already" in capsys.readouterr().err
    assert main([*command, "--out", "more/second.json"]) == 0
    assert "candidate student: fakes.policies:InWorker?skill=0.9" in capsys.readouterr().out
    assert main(["register", str(protocol_file()), *arms, "--out", "third.json"]) == 4
    assert not Path("third.json").exists()


def test_the_verb_has_help(capsys):
    """Its help has an example."""
    assert main(["register", "--help"]) == 0
    assert "Example: vlaeval register" in capsys.readouterr().out
