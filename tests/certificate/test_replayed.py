"""Replaying a sample: what is drawn, what it excludes, what it finds, and what it cannot run."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.env import PointEnv
from fakes.policies import Options, Walker
from vla_eval.certificate import replayed
from vla_eval.certificate.replayed import (
    Differing,
    Lost,
    ReplayReport,
    Sample,
    choose,
    excluded_share,
    replay_sample,
    sentence,
)
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord
from vla_eval.recording import recorder as recording
from vla_eval.recording import replay
from vla_eval.runs.folder import RunFolder

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
ARMS = {"student": f"{WORKER}?skill=0.7", "teacher": f"{WORKER}?skill=0.8&version=2"}
STATES = 30


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(runs, protocol_file) -> Path:
    """One complete run of two arms, made once."""
    path = runs / "run"
    if not path.exists():
        vla_eval.run(str(protocol_file(count=STATES)), ARMS, path, workers=1)
    return path


@pytest.fixture
def copy(run, tmp_path) -> Path:
    """A copy of the run to tamper with."""
    return shutil.copytree(run, tmp_path / "copy")


def final(run: Path) -> dict[tuple[str, EpisodeKey], EpisodeRecord]:
    return RunFolder.open(run).records().final


def everything(run: Path) -> Sample:
    keys = list(final(run))
    return choose(b"", keys, len(keys))


def rewrite(run: Path, change) -> None:
    """Change the records and mend the hash chain, as a careful forger would."""
    for file in (run / "episodes").glob("*.jsonl"):
        chain, lines = "", []
        for line in file.read_text().splitlines():
            text = json.dumps(change(json.loads(line)["record"]), separators=(",", ":"))
            chain = hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()[:32]
            lines.append(f'{{"chain":"{chain}","record":{text}}}\n')
        file.write_text("".join(lines))


# --- what it finds -------------------------------------------------------------------------------


def test_an_honest_run_is_reproduced(run, monkeypatch):
    """All records come again; each policy and each environment is built once, and closed."""
    built, closed, seen = Counter(), Counter(), []
    build, make = replayed.build_policy, recording.make_env
    monkeypatch.setattr(replayed, "build_policy", lambda text: built.update([text]) or build(text))
    monkeypatch.setattr(recording, "make_env", lambda *args: built.update([args[0]]) or make(*args))
    monkeypatch.setattr(PointEnv, "close", lambda _: closed.update(["env"]))
    report = replay_sample(run, everything(run), progress=seen.append, trust=True)
    assert report == ReplayReport(2 * STATES, 2 * STATES, 2 * STATES)
    assert (report.status, report.exit_code, report.excluded) == ("reproduced", 0, 1 / 60)
    assert set(seen) == set(final(run))
    assert built == {**dict.fromkeys(ARMS.values(), 1), "fakes:fakes/Point-v0": 2}
    assert closed["env"] == 2
    text = sentence(report)
    assert text == (
        "60 of 60 records were drawn. 60 of these were run again and reproduced bit for bit. "
        "This excludes at 95 % that 1.7% of the records or more are forged."
    )


FORGERIES = {
    ("student", 3): {"outcome": "success", "reason": None, "score": 1.0},
    ("student", 4): {"outcome": "failure", "reason": "time_limit", "score": 0.0},
    ("teacher", 5): {"steps": 7},
    ("teacher", 6): {"nfe": 0},
    ("teacher", 7): {"actions_sha256": "0" * 64},
    ("student", 8): {"scene_hash": "0" * 64},
}


def test_forged_records_are_found(copy):
    """Outcome, steps, function evaluations, actions, scene: what is not what happens is named."""
    honest = final(copy)

    def forge(record):
        return record | FORGERIES.get((record["arm"], record["init_state"]), {})

    rewrite(copy, forge)
    forged = final(copy)
    wrong = {slot for slot in honest if honest[slot].reproducible() != forged[slot].reproducible()}
    assert len(wrong) >= 5  # one of the two outcomes may be what it was
    report = replay_sample(copy, everything(copy), trust=True)
    assert {(each.arm, each.key) for each in report.differing} == wrong
    assert report.reproduced == 2 * STATES - len(wrong)
    assert (report.status, report.exit_code, report.excluded) == ("differs", 1, None)
    text = sentence(report)
    assert f"NOT REPRODUCED: {len(wrong)} differ" in text
    assert "excludes" not in text
    by_key = {(each.arm, each.key.init_state): each for each in report.differing}
    assert by_key["teacher", 5].differences["steps"][0] == 7
    assert str(by_key["teacher", 6]).startswith(
        "teacher fake/Point/i6/e0/p0: nfe 0 in the record, "
    )


def test_the_old_verb_finds_them_too(copy, capsys):
    """`vlaeval replay` compares the same."""
    rewrite(copy, lambda r: r | FORGERIES.get((r["arm"], r["init_state"]), {}))
    command = ["replay", str(copy), "fake/Point/i7/e0/p0", "--with-policy", "--trust", "--arm"]
    assert main([*command, "teacher"]) == 1
    assert "actions_sha256: 0000" in capsys.readouterr().out
    assert main([*command, "student"]) == 0


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_forging_is_detected_as_often_as_it_should_be(run, share, monkeypatch):
    """20 replays find a forged share f with a chance of about 1 - (1 - f)^20: over 200 certificates."""
    keys, n, times = list(final(run)), 20, 200
    random = np.random.default_rng(round(100 * share))
    count = round(share * len(keys))
    folder = RunFolder.open(run)
    monkeypatch.setattr(replayed.RunFolder, "open", lambda _: folder)
    monkeypatch.setattr(replayed, "versions", lambda: folder.header.versions)
    found = 0
    for i in range(times):
        places = random.choice(len(keys), count, replace=False)
        forged = {str(keys[place]) for place in places}

        def stub(_recorder, _episode, record, forged=forged):
            lie = str((record.arm, record.key)) in forged
            return replay.Repeated({"outcome": ("success", "failure")} if lie else {}, {})

        monkeypatch.setattr(replayed, "repeat", stub)
        report = replay_sample(run, choose(f"certificate {i}".encode(), keys, n), trust=True)
        found += report.status == "differs"
        assert (report.status == "differs") == (report.exit_code == 1)
    exact = 1 - math.comb(len(keys) - count, n) / math.comb(len(keys), n)
    assert exact >= 1 - (1 - share) ** n
    assert abs(found - times * exact) <= 3 * math.sqrt(times * exact * (1 - exact)) + 1


# --- what cannot be run --------------------------------------------------------------------------


def test_an_arm_that_cannot_be_built_is_said(run, monkeypatch):
    """A spec that fails, or ends the process, costs its arm's records and nothing else."""
    build = replayed.build_policy
    for trouble, words in (
        (RuntimeError("the checkpoint\nis gone"), "RuntimeError: the checkpoint is gone"),
        (UsageError("no kind of that name"), "no kind of that name"),
        (SystemExit(0), "SystemExit: 0"),
    ):

        def spoiled(text, trouble=trouble):
            if "version=2" in text:
                raise trouble
            return build(text)

        monkeypatch.setattr(replayed, "build_policy", spoiled)
        seen = []
        report = replay_sample(run, everything(run), progress=seen.append, trust=True)
        assert report.lost == (Lost("teacher", STATES, words),)
        assert report.reproduced == STATES
        assert len(seen) == 2 * STATES
        assert (report.status, report.exit_code) == ("incomplete", 3)
        assert report.excluded == excluded_share(2 * STATES, 2 * STATES, STATES)
    text = sentence(report)
    assert "30 records of arm 'teacher' could not be replayed: SystemExit: 0." in text
    assert "even if all are that could not be replayed" in text


def test_where_nothing_can_be_run_nothing_is_said(run, monkeypatch):
    """No arm, no statement: exit code 3, and no share is excluded."""

    def spoiled(text):
        raise ValueError(text)

    monkeypatch.setattr(replayed, "build_policy", spoiled)
    report = replay_sample(run, choose(b"", list(final(run)), 5), trust=True)
    assert (report.status, report.exit_code, report.excluded) == ("nothing", 3, None)
    assert "0 of these were run again" in sentence(report)
    assert "excludes" not in sentence(report)


def test_a_policy_that_raises_now_is_said(run, monkeypatch):
    """What raises where it did not then is not reproduced, and the arm goes on afterwards."""

    def build(text):
        states = "2,9" if "version=2" in text else ""
        walker = Walker(Options(skill=0.8 if states else 0.7, version="2" if states else "1"))
        walker.options = walker.options.model_copy(update={"fault": "raise"})
        walker.states = {int(each) for each in states.split(",") if each}
        return walker

    monkeypatch.setattr(replayed, "build_policy", build)
    report = replay_sample(run, everything(run), trust=True)
    assert report.lost == (Lost("teacher", 2, "RuntimeError: out of memory"),)
    assert report.reproduced == 2 * STATES - 2
    assert report.status == "incomplete"


def test_another_policy_behind_the_spec_is_no_replay(run, monkeypatch):
    """Weights or options that are not the run's prove nothing, so they are not run."""
    build = replayed.build_policy
    walk = {"student": "skill=0.7&version=3", "teacher": "skill=0.8&version=2"}

    def other(text):
        return build(f"{WORKER}?{walk['teacher' if 'version=2' in text else 'student']}")

    monkeypatch.setattr(replayed, "build_policy", other)
    report = replay_sample(run, everything(run), trust=True)
    (lost,) = report.lost
    assert (lost.arm, lost.episodes) == ("student", STATES)
    assert lost.why == "its spec gives another policy now (options.version: '1' before, '3' now)"


def other_code(monkeypatch):
    """Install other code than the run's, and a version that knows one thing more of policies."""
    identity = replayed.identity_of
    more = {"code_sha256": "0", "later": 1}
    monkeypatch.setattr(replayed, "identity_of", lambda *args: identity(*args) | more)


def test_other_code_is_no_trouble_while_records_come_again(run, monkeypatch):
    """A later version of the code that does the same reproduces the run."""
    other_code(monkeypatch)
    assert replay_sample(run, everything(run), trust=True) == ReplayReport(60, 60, 60)


def test_other_code_explains_all_or_nothing(copy, monkeypatch):
    """Where nothing of an arm comes again with other code, nothing was replayed; else it is forged."""
    other_code(monkeypatch)
    rewrite(copy, lambda r: r | ({"steps": 99} if r["arm"] == "student" else {}))
    report = replay_sample(copy, everything(copy), trust=True)
    why = "the code of arm 'student' is not that of the run"
    assert report.lost == (Lost("student", STATES, f"nothing of it comes again, and {why}"),)
    assert (report.status, report.reproduced) == ("incomplete", STATES)
    rewrite(copy, lambda r: r | ({"steps": 99} if r["init_state"] else {}))
    report = replay_sample(copy, everything(copy), trust=True)
    assert len(report.differing) == STATES - 1
    assert report.notes == ("the code of arm 'teacher' is not that of the run",)
    assert report.status == "differs"


def test_another_environment_explains_all_or_nothing(copy, monkeypatch, capsys):
    """Records of another model of the scene cannot be run here; if some come again, it is no excuse."""
    elsewhere = {"provenance": {"simulator": "point", "model": "old"}}
    scenes = {"scene_hash": "f" * 64}
    rewrite(copy, lambda r: r | elsewhere)
    assert replay_sample(copy, everything(copy), trust=True).status == "reproduced"
    rewrite(copy, lambda r: r | (scenes if r["init_state"] == 3 else {}))
    report = replay_sample(copy, everything(copy), trust=True)
    assert (report.status, len(report.differing)) == ("differs", 2)
    why = "its environment is another one (model old then, None now)"
    assert report.notes == (why,)
    rewrite(copy, lambda r: r | scenes)
    report = replay_sample(copy, everything(copy), trust=True)
    why = f"nothing of it comes again, and {why}"
    assert report.lost == tuple(Lost(arm, STATES, why) for arm in ARMS)
    assert report.status == "nothing"
    command = ["replay", str(copy), "fake/Point/i3/e0/p0", "--arm", "student", "--trust"]
    assert main([*command, "--with-policy"]) == 1
    assert "provenance.model: old in the record, None now" in capsys.readouterr().out


def test_a_simulator_that_breaks_is_said(run, monkeypatch):
    """An environment that raises costs its episode; a fresh one runs the next."""
    advance, broken = PointEnv.advance, []

    def fragile(self, action):
        if self._state == 4 and not broken:
            broken.append(self)
        if self in broken:
            raise RuntimeError("the simulator diverged")
        return advance(self, action)

    monkeypatch.setattr(PointEnv, "advance", fragile)
    report = replay_sample(run, everything(run), trust=True)
    assert report.lost == (Lost("student", 1, "RuntimeError: the simulator diverged"),)
    assert report.reproduced == 2 * STATES - 1


def test_a_sample_of_another_run_is_refused(run):
    """Only what the run has results of can be run again."""
    for arm, state in (("nobody", 0), ("student", STATES)):
        sample = Sample(((arm, EpisodeKey("fake", "Point", state, 0, 0)),), 1)
        with pytest.raises(RunFolderError, match=f"has no result of arm '{arm}'"):
            replay_sample(run, sample, trust=True)


def test_what_policies_print_is_no_result(run, monkeypatch, capsys):
    """Standard output stays for the one who asked."""
    infer = Walker.infer
    monkeypatch.setattr(Walker, "infer", lambda *args: sys.stdout.write("hello") and infer(*args))
    assert replay_sample(run, choose(b"", list(final(run)), 2), trust=True).reproduced == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


def test_a_policy_behind_a_server(protocol_file, tmp_path):
    """A served policy's episodes are reproduced while its server lives; then it is said to be gone."""
    pytest.importorskip("websockets")
    pytest.importorskip("msgpack")
    from fakes.servers import serving

    with serving("fakes.policies:InHost?skill=0.7") as said:
        arms = {"served": f"openpi:{said['url']}?connect_s=0.2", "local": WORKER}
        vla_eval.run(str(protocol_file(count=3)), arms, tmp_path / "run", workers=1)
        sample = everything(tmp_path / "run")
        assert replay_sample(tmp_path / "run", sample, trust=True) == ReplayReport(6, 6, 6)
    report = replay_sample(tmp_path / "run", sample, trust=True)
    (lost,) = report.lost
    assert (lost.arm, lost.episodes, report.reproduced) == ("served", 3, 3)
    assert said["url"] in lost.why


def test_a_server_that_dies_on_the_way(run, monkeypatch):
    """What is left of an arm is not tried when its server is gone in the middle."""
    calls = []
    infer = Walker.infer

    def dying(self, observations, contexts):
        if self.metadata.options["version"] == "2" and contexts[0].chunk_index == 0:
            calls.append(contexts[0].key)
            if len(calls) > 3:
                raise vla_eval.errors.PolicyLostError("ws://there: the server is gone")
        return infer(self, observations, contexts)

    monkeypatch.setattr(Walker, "infer", dying)
    report = replay_sample(run, everything(run), trust=True)
    assert report.lost == (Lost("teacher", STATES - 3, "ws://there: the server is gone"),)
    assert len(calls) == 4


# --- words ---------------------------------------------------------------------------------------


def test_words_for_many_differences():
    """The first three are shown, with the beginnings of hashes, and what may be the reason."""
    found = tuple(
        Differing("a", EpisodeKey("s", "t", i, 0, 0), {"actions_sha256": ("a" * 64, "b" * 64)})
        for i in range(5)
    )
    notes = ("the simulator is another one (mujoco 3.3.2 before, 3.4.0 now)",)
    text = sentence(ReplayReport(100, 10, 5, found, notes=notes))
    assert "NOT REPRODUCED: 5 differ, 0 in their outcome (a s/t/i0/e0/p0: actions_sha256" in text
    assert f"actions_sha256 {'a' * 12} in the record, {'b' * 12} now" in text
    assert "s/t/i2/e0/p0" in text
    assert "s/t/i3/e0/p0" not in text
    assert "; and 2 more)" in text
    assert "other hardware" in text
    assert "Perhaps because the simulator is another one" in text
    assert "a" * 13 not in text


def test_words_for_many_reasons():
    """Reasons are listed up to three."""
    lost = tuple(Lost("a", 1, f"reason {i}") for i in range(5))
    text = sentence(ReplayReport(100, 10, 5, lost=lost))
    assert "1 record of arm 'a' could not be replayed: reason 2." in text
    assert "reason 3" not in text
    assert "Nor could 2 more, for other reasons." in text
