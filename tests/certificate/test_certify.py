"""Certifying a run folder: its registration, and the commit that must be older than the first episode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.by_hand import Run, small_protocol, write_results
from vla_eval.certificate import Roles, replayed, verify
from vla_eval.certificate.certify import certify, certify_recipe
from vla_eval.claims.registration import (
    FILE_NAME,
    RegisteredRoles,
    Registration,
    write_registration,
)
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.protocol import Protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import identity_sha256

ROLES = Roles("a", "b")
FIRST = datetime(2026, 1, 1, 10, 0, 1, tzinfo=UTC)
"""Start of the first episode."""
RECIPE = {"candidate": ["s0", "s1"], "reference": ["t0", "t1"], "design": "distilled"}


@pytest.fixture
def run(tmp_path) -> Path:
    """Two arms with 20 results each, in a folder that was created before its episodes."""
    made = Run(small_protocol(1, 20, margin=0.3))
    write_results(made, "a", "1" * 19 + "0")
    write_results(made, "b", "0" + "1" * 19)
    return on_disk(made, tmp_path / "repo" / "run", "a", "b")


def on_disk(made: Run, path: Path, *arms: str, **options) -> Path:
    file = made.write(path, *arms, **options).path / "run.json"
    before = {"created_at": "2026-01-01T09:00:00+00:00"}
    file.write_text(json.dumps(json.loads(file.read_text()) | before))
    return path


def unidentified(run: Path, path: Path, arm: str) -> Path:
    """Copy a run, and take an arm's identity out of it."""
    shutil.copytree(run, path)
    made = json.loads((path / "run.json").read_text())
    arms = [each | ({"identity": None} if each["name"] == arm else {}) for each in made["arms"]]
    (path / "run.json").write_text(json.dumps(made | {"arms": arms}))
    return path


def registered(protocol: Protocol, path: Path, *, before_s: float = 1.0, **roles) -> Path:
    """Write a registration of these roles, a time before the first episode."""
    made = Registration(
        protocol=protocol.label,
        protocol_sha256=protocol.sha256,
        standing="unreleased",
        arms=(),
        roles=RegisteredRoles(**({"candidate": "a", "reference": "b"} | roles)),
        margin=protocol.analysis.margin,
        alpha=protocol.analysis.alpha,
        registered_at=FIRST - timedelta(seconds=before_s),
    )
    write_registration(made, path)
    return path


def committed(file: Path, when: datetime) -> None:
    """Make a repository of the file's folder, with one commit of that time that holds it."""
    who = {
        f"GIT_{one}_{what}": "x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **who, "GIT_COMMITTER_DATE": when.isoformat()}
    for words in (["init", "-q"], ["add", file.name], ["commit", "-q", "-m", "registered"]):
        subprocess.run(["git", *words], cwd=file.parent, check=True, env=environment)


@pytest.mark.parametrize(("seconds", "late"), [(-1, False), (0, True), (1, True)])
def test_the_commit_is_older_than_the_first_episode(run, seconds, late):
    """One of the same second is no proof that the plan was there before the data."""
    file = registered(small_protocol(1, 20, margin=0.3), run.parent / "r.json")
    committed(file, FIRST + timedelta(seconds=seconds))
    if late:
        with pytest.raises(UsageError, match=r"--since HEAD: that commit is of .* came after it"):
            certify(run, ROLES, registration=file, since="HEAD")
        assert not (run / FILE_NAME).exists()
    else:
        issued = certify(run, ROLES, registration=file, since="HEAD").certificate
        assert issued.registration.protocol == "by-hand@1"
        assert (run / FILE_NAME).read_bytes() == file.read_bytes()


def test_the_commit_must_hold_the_copy_in_the_folder_if_no_file_is_given(run):
    """Without a copy there is nothing that a commit could hold."""
    with pytest.raises(UsageError, match=FILE_NAME):
        certify(run, ROLES, since="HEAD")
    copy = registered(small_protocol(1, 20, margin=0.3), run / FILE_NAME)
    committed(copy, FIRST - timedelta(hours=1))
    assert certify(run, ROLES, since="HEAD").certificate.registration is not None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"before_s": 0.0}, RunFolderError, "registers nothing"),
     ({"candidate": "b", "reference": "a"}, UsageError, "roles cannot change")],
)  # fmt: skip
def test_a_registration_of_something_else_is_not_kept(run, options, error, words):
    """It is refused before it is copied into the folder, which stays without one."""
    file = registered(small_protocol(1, 20, margin=0.3), run.parent / "r.json", **options)
    with pytest.raises(error, match=words):
        certify(run, ROLES, registration=file)
    assert not (run / FILE_NAME).exists()
    assert certify(run, ROLES).certificate.registration is None


def test_the_candidate_alone_is_counted_as_a_use(tmp_path):
    """The ledger has one line, with the candidate's policy; to certify the same again adds none."""
    made = Run(small_protocol(1, 20, margin=0.3))
    for arm in ("a", "b", "spare"):
        write_results(made, arm, "1" * 20)
    run = on_disk(made, tmp_path / "run", "a", "b", "spare", weights={"a": "1", "b": "2"})
    for _ in range(2):
        assert certify(run, ROLES).certificate.attempt == 1
    (line,) = (Path(os.environ["VLA_EVAL_CACHE"]) / "uses.jsonl").read_text().splitlines()
    header = RunFolder.open(run).header
    found = {arm.name: identity_sha256(arm.identity) for arm in header.arms}
    use = json.loads(line)
    assert (use["candidate_sha256"], use["reference_sha256"]) == (found["a"], found["b"])
    assert found["a"] != found["b"]


def test_recipes_are_certified_with_their_registration(tmp_path):
    """Their arms are the protocol's; a second recipe on the same states is a second attempt."""
    protocol = small_protocol(1, 20, margin=0.3, recipe=RECIPE)
    names = (*RECIPE["candidate"], *RECIPE["reference"])
    runs = []
    for place in ("one", "two"):
        made = Run(protocol)
        for arm in names:
            write_results(made, arm, "1" * 18 + "01")
        weights = {arm: (arm if arm.startswith("t") else arm + place) for arm in names}
        runs.append(on_disk(made, tmp_path / place, *names, weights=weights))
    roles = {role: tuple(RECIPE[role]) for role in ("candidate", "reference")}
    file = registered(protocol, tmp_path / "r.json", **roles)
    first = certify_recipe(runs[0], registration=file).certificate
    assert (first.registration.protocol, first.attempt) == ("by-hand@1", 1)
    assert (runs[0] / FILE_NAME).read_bytes() == file.read_bytes()
    with pytest.raises(UsageError, match="arm 's1' was never identified"):
        certify_recipe(unidentified(runs[1], tmp_path / "unknown", "s1"))
    second = certify_recipe(runs[1]).certificate
    assert (second.registration, second.attempt) == (None, 2)
    assert second.alpha < first.alpha == protocol.analysis.alpha


def test_certificates_of_versions_without_e_values_are_verified(run):
    """What they do not state is not compared; what they state is."""
    issued = certify(run, ROLES).certificate
    for e_value, differences in ((issued.comparison.e_value, 0), (None, 0), (0.125, 1)):
        comparison = issued.comparison.model_copy(update={"e_value": e_value})
        found = verify(issued.model_copy(update={"comparison": comparison}), run)
        assert len(found) == differences


def test_nothing_of_a_stranger_runs_without_trust(run, monkeypatch):
    """The protocol names code that is not installed: the user is asked before a policy is built."""
    built = []

    def build(spec):
        built.append(spec)
        raise ValueError("not here")

    monkeypatch.setattr(replayed, "build_policy", build)
    sample = replayed.choose(b"", list(RunFolder.open(run).records().final), 40)
    with pytest.raises(UsageError, match="--trust"):
        replayed.replay_sample(run, sample)
    assert built == []
    assert replayed.replay_sample(run, sample, trust=True).status == "nothing"
    assert len(built) == 2
