"""Replaying a sample: what is drawn, what it excludes, what it finds, and what it cannot run."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.env import PointEnv
from fakes.policies import Options, Walker
from vla_eval import recording, replay
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
from vla_eval.plan import expand
from vla_eval.record import EpisodeRecord, ErrorDetail
from vla_eval.recording import Recorder
from vla_eval.runfolder import RunFolder

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
        vla_eval.run(str(protocol_file(count=STATES)), ARMS, path, workers=2)
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


# --- what is drawn -------------------------------------------------------------------------------

KEYS = [(arm, EpisodeKey("s", "t", i, 0, 0)) for arm in ("a", "b", "c") for i in range(20)]


def test_the_certificate_draws():
    """The same file draws the same, in whatever order the keys come; another file draws others."""
    drawn = choose(b"certificate", KEYS, 10)
    assert drawn == choose(b"certificate", KEYS[::-1] + KEYS, 10)
    assert len(set(drawn.chosen)) == 10
    assert drawn.population == 60
    assert set(drawn.chosen) < set(KEYS)
    assert drawn.chosen != choose(b"certificate ", KEYS, 10).chosen
    assert drawn.chosen != choose(b"certificate", KEYS, 10, salt="mine").chosen
    assert choose(b"certificate", KEYS, 25).chosen[:10] == drawn.chosen
    assert choose(b"certificate", KEYS, 10) == choose(b"certificate", KEYS, 10, salt="")


def test_a_larger_sample_than_there_is():
    """All are drawn then, and less than one is refused."""
    assert set(choose(b"", KEYS, 1000).chosen) == set(KEYS)
    for n in (0, -3):
        with pytest.raises(UsageError, match="at least one"):
            choose(b"", KEYS, n)


def test_every_pair_of_records_is_drawn_as_often():
    """A simple random sample: singles and pairs, of one arm and of two, come as often as they should."""
    keys, singles, pairs = KEYS[15:25], Counter(), Counter()
    times = 4000
    for i in range(times):
        chosen = choose(str(i).encode(), keys, 3).chosen
        singles.update(chosen)
        pairs.update(frozenset(pair) for pair in combinations(chosen, 2))
    for counts, chance, kinds in ((singles, 3 / 10, 10), (pairs, 3 / 45, 45)):
        assert len(counts) == kinds
        spread = math.sqrt(times * chance * (1 - chance))
        worst = max(abs(count - times * chance) for count in counts.values())
        assert worst < 4 * spread


# --- what it excludes ----------------------------------------------------------------------------


def enumerated(population: int, drawn: int, unknown: int) -> float:
    """The smallest excluded share, by looking at every sample."""
    samples = list(combinations(range(population), drawn))
    for forged in range(population + 1):
        unseen = sum(sum(i < forged for i in sample) <= unknown for sample in samples)
        if unseen / len(samples) <= 0.05:
            return forged / population
    raise AssertionError


def test_the_bound_is_exact():
    """It is what counting all samples gives, records that could not be run taken as forged."""
    for population in (1, 2, 5, 9, 12):
        for drawn in range(1, population + 1):
            for unknown in range(drawn):
                share = excluded_share(population, drawn, unknown)
                assert share == enumerated(population, drawn, unknown)


def test_the_bound_at_its_ends():
    """All of them leave none, none of them leaves all; of endless records 59 exclude 5 %."""
    assert excluded_share(300, 300) == 1 / 300
    assert excluded_share(20, 1) == 19 / 20  # its chance is 5 %, no less
    assert excluded_share(300, 0) is None
    assert excluded_share(300, 20, 20) is None
    assert excluded_share(10**7, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-4)
    assert excluded_share(300, 59) < 1 - 0.05 ** (1 / 59)


# --- what it finds -------------------------------------------------------------------------------


def test_an_honest_run_is_reproduced(run, monkeypatch):
    """All records come again; each policy and each environment is built once, and closed."""
    built, closed, seen = Counter(), Counter(), []
    build, make = replayed.build_policy, recording.make_env
    monkeypatch.setattr(replayed, "build_policy", lambda text: built.update([text]) or build(text))
    monkeypatch.setattr(recording, "make_env", lambda *args: built.update([args[0]]) or make(*args))
    monkeypatch.setattr(PointEnv, "close", lambda _: closed.update(["env"]))
    report = replay_sample(run, everything(run), progress=seen.append)
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
    report = replay_sample(copy, everything(copy))
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
    command = ["replay", str(copy), "fake/Point/i7/e0/p0", "--arm"]
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
    monkeypatch.setattr(replayed, "versions", lambda: folder.run.versions)
    found = 0
    for i in range(times):
        places = random.choice(len(keys), count, replace=False)
        forged = {str(keys[place]) for place in places}

        def stub(_recorder, _episode, record, forged=forged):
            lie = str((record.arm, record.key)) in forged
            return {"outcome": ("success", "failure")} if lie else {}

        monkeypatch.setattr(replayed, "repeat", stub)
        report = replay_sample(run, choose(f"certificate {i}".encode(), keys, n))
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
        report = replay_sample(run, everything(run), progress=seen.append)
        assert report.lost == (Lost("teacher", STATES, words),)
        assert report.reproduced == STATES
        assert len(seen) == 2 * STATES
        assert (report.status, report.exit_code) == ("incomplete", 3)
        assert report.excluded == excluded_share(2 * STATES, 2 * STATES, STATES)
    text = sentence(report)
    assert "30 records of arm 'teacher' could not be run again: SystemExit: 0." in text
    assert "even if all are that could not be run again" in text


def test_where_nothing_can_be_run_nothing_is_said(run, monkeypatch):
    """No arm, no statement: exit code 3, and no share is excluded."""

    def spoiled(text):
        raise ValueError(text)

    monkeypatch.setattr(replayed, "build_policy", spoiled)
    report = replay_sample(run, choose(b"", list(final(run)), 5))
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
    report = replay_sample(run, everything(run))
    assert report.lost == (Lost("teacher", 2, "RuntimeError: out of memory"),)
    assert report.reproduced == 2 * STATES - 2
    assert report.status == "incomplete"


def test_another_policy_behind_the_spec_is_no_replay(run, monkeypatch):
    """Weights or options that are not the run's prove nothing, so they are not run; code is a note."""
    build = replayed.build_policy
    walk = {"student": "skill=0.7&version=3", "teacher": "skill=0.8&version=2"}

    def other(text):
        return build(f"{WORKER}?{walk['teacher' if 'version=2' in text else 'student']}")

    monkeypatch.setattr(replayed, "build_policy", other)
    report = replay_sample(run, everything(run))
    (lost,) = report.lost
    assert (lost.arm, lost.episodes) == ("student", STATES)
    assert "another policy now (options.version: '1' before, '3' now)" in lost.why
    monkeypatch.setattr(replayed, "build_policy", build)
    identity = replayed.identity_of
    monkeypatch.setattr(
        replayed, "identity_of", lambda *args: identity(*args) | {"code_sha256": "0", "later": 1}
    )
    report = replay_sample(run, everything(run))
    assert report.status == "reproduced"
    assert report.notes == tuple(f"the code of arm '{arm}' is not that of the run" for arm in ARMS)


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
    report = replay_sample(run, everything(run))
    assert report.lost == (Lost("student", 1, "RuntimeError: the simulator diverged"),)
    assert report.reproduced == 2 * STATES - 1


def test_a_sample_of_another_run_is_refused(run):
    """Only what the run has results of can be run again."""
    for arm, state in (("nobody", 0), ("student", STATES)):
        sample = Sample(((arm, EpisodeKey("fake", "Point", state, 0, 0)),), 1)
        with pytest.raises(RunFolderError, match=f"has no result of arm '{arm}'"):
            replay_sample(run, sample)


def test_what_policies_print_is_no_result(run, monkeypatch, capsys):
    """Standard output stays for the one who asked."""
    infer = Walker.infer
    monkeypatch.setattr(Walker, "infer", lambda *args: sys.stdout.write("hello") and infer(*args))
    assert replay_sample(run, choose(b"", list(final(run)), 2)).reproduced == 2
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
        assert replay_sample(tmp_path / "run", sample) == ReplayReport(6, 6, 6)
    report = replay_sample(tmp_path / "run", sample)
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
    report = replay_sample(run, everything(run))
    assert report.lost == (Lost("teacher", STATES - 3, "ws://there: the server is gone"),)
    assert len(calls) == 4


# --- a policy that raised then -------------------------------------------------------------------


def raised(run: Path, **changes) -> tuple[Recorder, EpisodeRecord]:
    """A policy that raises in state 2, and a record that says so."""
    slot = ("student", EpisodeKey("fake", "Point", 2, 0, 0))
    nothing = {"outcome": "failure", "steps": 0, "actions_sha256": hashlib.sha256().hexdigest()}
    said = {"error": ErrorDetail(type="RuntimeError", message="out of memory")}
    fields = {**nothing, **said, "reason": "policy_raised", "score": 0.0, "inferences": 0, "nfe": 0}
    walker = Walker(Options(fault="raise", fault_states="2"))
    return Recorder(walker), final(run)[slot].model_copy(update=fields | changes)


def again(run: Path, recorder: Recorder, record: EpisodeRecord):
    plan = {each.key: each for each in expand(RunFolder.open(run).run.protocol)}
    try:
        return replay.repeat(recorder, plan[record.key], record)
    finally:
        recorder.close()


HOSTED = ErrorDetail(type="PolicyRaisedError", message="RuntimeError: out of memory")
OTHER = ErrorDetail(type="RuntimeError", message="no such camera")


@pytest.mark.parametrize(
    ("changes", "different"),
    [
        ({}, set()),
        ({"error": HOSTED}, set()),
        ({"scene_hash": "", "actions_sha256": "", "steps": 0}, set()),
        ({"error": OTHER}, {"error"}),
        ({"error": None}, {"error"}),
        ({"steps": 4}, {"steps"}),
        ({"scene_hash": "0"}, {"scene_hash"}),
    ],
)
def test_raising_again_in_the_same_way_is_a_replay(run, changes, different):
    """The same exception in the same place reproduces `policy_raised`; any other does not."""
    assert set(again(run, *raised(run, **changes))) == different


def test_not_raising_is_no_replay_of_raising(run):
    """A policy that acts now did not raise then."""
    _, record = raised(run)
    different = again(run, Recorder(Walker(Options())), record)
    assert different["reason"] == ("policy_raised", None)
    assert different["outcome"] == ("failure", "success")


def test_a_simulators_exception_is_not_the_policys(run, monkeypatch):
    """Where the environment raises, the record of a policy that raised is not reproduced."""

    def diverge(self, action):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(PointEnv, "advance", diverge)
    _, record = raised(run)
    with pytest.raises(RuntimeError, match="out of memory"):
        again(run, Recorder(Walker(Options())), record)


# --- the recorder --------------------------------------------------------------------------------


def episode_of(run: Path, state: int = 0):
    return expand(RunFolder.open(run).run.protocol)[state]


def test_without_a_listener_only_the_policy_looks(run):
    """A replay renders what the evaluation rendered: an observation for each inference."""
    recorder = Recorder(Walker(Options()))
    result = recorder.run(episode_of(run))
    assert recorder._env.observed == result.inferences < result.steps
    frames = []
    watched = recorder.run(episode_of(run), frames.append)
    assert len(frames) == watched.steps
    assert watched.actions_sha256 == result.actions_sha256 == recorder.executed.actions_sha256
    assert (recorder.executed.scene_hash, recorder.executed.steps) == (
        result.scene_hash,
        result.steps,
    )
    recorder.close()


def test_a_blind_policy_is_looked_for_only_if_somebody_listens(run):
    """A policy that never looks costs no observation, and its frames have them all the same."""

    class Blind(Walker):
        blind = True
        saw: dict | None = None

        def infer(self, observations, contexts):
            self.saw = observations[0]
            return super().infer(observations, contexts)

    started = []
    policy = Blind(Options())
    recorder = Recorder(policy)
    recorder.layout(episode_of(run))
    recorder._env.start = lambda **how: started.append(how) or PointEnv.start(recorder._env, **how)
    recorder.run(episode_of(run))
    assert (policy.saw, len(started)) == ({}, 1)
    frames = []
    recorder.run(episode_of(run), frames.append)
    assert frames[0].observation["agent_pos"].shape == (1,)
    assert len(started) == 1
    recorder.close()


def test_a_privileged_policy_sees_the_environment_itself(run):
    """What it is given is what the worker gives it: no wrapper."""
    seen = []

    class Privileged(Walker):
        def __init__(self):
            super().__init__(Options())
            self.metadata = vla_eval.PolicyMetadata(
                name="p", method="m", chunk_size=4, n_action_steps=4, privileged=True
            )

        def warm_up(self, observations, contexts):
            seen.extend(type(each.env) for each in contexts)

        def infer(self, observations, contexts):
            seen.extend(type(each.env) for each in contexts)
            return super().infer(observations, contexts)

    recorder = Recorder(Privileged())
    recorder.run(episode_of(run))
    recorder.close()
    assert set(seen) == {PointEnv}


def test_a_policy_is_warmed_up_once(run, tmp_path):
    """As in an evaluation: before the first inference, once for each kind of observation."""
    from fakes.policies import DiaryWalker

    recorder = Recorder(DiaryWalker(Options(diary=str(tmp_path))))
    for state in (0, 1):
        recorder.run(episode_of(run, state))
    recorder.close()
    notes = [line.split(maxsplit=2)[2] for line in (tmp_path / "diary").read_text().splitlines()]
    assert notes == ["warm_up 1", "begin 0", "end 0 success", "begin 1", "end 1 success"]


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
    assert "1 record of arm 'a' could not be run again: reason 2." in text
    assert "reason 3" not in text
    assert "Nor could 2 more, for other reasons." in text
