"""Sequential runs: looks after balanced blocks, stopping, kills, shards, and their certificates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vla_eval
from fakes.forging import rewrite
from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.cli import main
from vla_eval.errors import ProtocolError, RunFolderError, UsageError
from vla_eval.files.tomlfile import read_toml
from vla_eval.judging.looks import looks_of, sequential_plan, sequential_roles
from vla_eval.plan import expand, in_stages, look_sizes
from vla_eval.protocol import parse_protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records, read_records
from vla_eval.stats import (
    Decision,
    Flag,
    PairedCase,
    SequentialPlan,
    Verdict,
    operating_characteristics,
)

WORKER = "fakes.policies:InWorker"
PARITY = {"new": f"{WORKER}?skill=0.97", "old": f"{WORKER}?skill=0.97&version=2"}
BAD = {"new": f"{WORKER}?skill=0.5", "old": f"{WORKER}?skill=0.97"}


@pytest.fixture
def sequential(protocol_file):
    """Write a sequential protocol over the fake environment."""

    def write(count: int = 100, run: str = "", **options) -> str:
        path = protocol_file(count=count, run=f'order = "round-robin"\n{run}', **options)
        path.write_text(path.read_text() + 'stopping = "obrien-fleming-5"\n')
        return str(path)

    return write


# --- protocols -------------------------------------------------------------------------------


def test_looks_are_balanced_over_the_tasks():
    """Each look of the released protocols holds the same number of episodes of every task."""
    for name, sizes in (
        ("libero-certify-sequential", (400, 800, 1200, 1600, 2000)),
        ("so101-certify-sequential", (80, 160, 240, 320, 400)),
    ):
        protocol = load_protocol(name)
        assert look_sizes(protocol) == sizes
        for block in in_stages(protocol):
            counts = {}
            for episode in block:
                task = (episode.key.suite, episode.key.task)
                counts[task] = counts.get(task, 0) + 1
            assert len(set(counts.values())) == 1
        assert sum(in_stages(protocol), ()) == expand(protocol)


def test_a_fixed_protocol_is_one_block(protocol_file):
    """Without looks the plan is one block, and its hash is independent of looks."""
    protocol = load_protocol(str(protocol_file(count=7)))
    assert look_sizes(protocol) == (7,)
    assert in_stages(protocol) == (expand(protocol),)
    assert sequential_plan(protocol) is None
    assert '"stopping":"fixed"' in protocol.canonical_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["run"].update(order="by-task"), "round-robin"),
        (lambda data: data["blocks"][0].update(init_states={"count": 4}), "five initial states"),
        (lambda data: data["run"].update(limits={"error_cap": 0.1}), "error_cap must be 0"),
        (
            lambda data: (
                data["run"].update(policy_seeds=[0, 1]),
                data["analysis"].update(cluster="initial-state"),
            ),
            "must run once",
        ),
        (
            lambda data: data["blocks"].append(
                data["blocks"][0] | {"tasks": ["Plain"], "init_states": {"count": 50}}
            ),
            "same number of initial states",
        ),
    ],
)
def test_what_looks_cannot_be_taken_of_is_refused(sequential, change, message):
    """Unbalanced, repeated or incomplete looks are no protocol."""
    data = read_toml(Path(sequential()))
    change(data)
    with pytest.raises(ProtocolError, match=message):
        parse_protocol(data, "my.toml")


def test_roles_come_from_the_protocol_or_from_the_order(sequential):
    """The first arm is the candidate and the second the reference, unless the protocol says so."""
    protocol = load_protocol(sequential())
    assert sequential_roles(protocol, ["a", "b", "c"]) == ("a", "b")
    named = load_protocol(sequential(), overrides=["analysis.reference=a"])
    assert sequential_roles(named, ["a", "b"]) == ("b", "a")
    with pytest.raises(UsageError, match="did you mean 'teacher'"):
        sequential_roles(
            load_protocol(sequential(), overrides=["analysis.reference=teachr"]),
            ["student", "teacher"],
        )
    with pytest.raises(UsageError, match="the candidate first"):
        sequential_roles(protocol, ["a"])


# --- running ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    return tmp_path_factory.mktemp("sequential")


@pytest.fixture
def parity(stopped, sequential) -> Path:
    """One sequential run of a parity pair, made once."""
    path = stopped / "parity"
    if not path.exists():
        vla_eval.run(sequential(), PARITY, path, workers=2)
    return path


@pytest.fixture
def copy(parity, tmp_path) -> Path:
    import shutil

    target = tmp_path / "copy"
    shutil.copytree(parity, target)
    return target


@pytest.mark.long
def test_a_run_stops_at_the_look_that_certifies(parity, sequential):
    """Two arms that hardly fail are certified before the end, and nothing more is run."""
    summary = vla_eval.run(sequential(), PARITY, parity, workers=2)
    last = summary.looks[-1]
    assert summary.complete
    assert last.decision is Decision.CERTIFY
    assert last.number < 5
    assert {arm.n for arm in summary.arms.values()} == {last.pairs}
    assert len(read_records([parity / "episodes"]).attempts) == 2 * last.pairs
    logged = json.loads((parity / f"looks/{last.number}.json").read_text())
    assert logged["look"] == last.model_dump(mode="json")
    assert (logged["candidate"], logged["reference"]) == ("new", "old")


@pytest.mark.long
def test_every_look_is_complete_before_the_next_begins(parity):
    """In every arm, a block begins only after all episodes of the block before it have ended."""
    protocol = RunFolder.open(parity).header.protocol
    records = read_records([parity / "episodes"]).attempts
    sizes = (0, *look_sizes(protocol))
    keys = [episode.key for episode in expand(protocol)]
    for start, stop, later in zip(sizes, sizes[1:], sizes[2:], strict=False):
        now = [each for each in records if each.key in keys[start:stop]]
        then = [each for each in records if each.key in keys[stop:later]]
        if then:
            assert max(each.timing.started_at for each in now) <= min(
                each.timing.started_at for each in then
            )


@pytest.mark.long
def test_a_bad_candidate_is_stopped_for_futility(tmp_path, sequential):
    """A candidate that fails half of the time ends the run at the second look, refuted."""
    said = []
    summary = vla_eval.run(sequential(), BAD, tmp_path / "run", workers=1, notify=said.append)
    assert [look.decision for look in summary.looks] == [Decision.CONTINUE, Decision.FUTILE]
    assert "the run stops, the claim is not certified" in said[-1]
    certificate = issue(tmp_path / "run", Roles("new", "old"))
    assert certificate.verdict is Verdict.INFERIOR
    assert len(certificate.sequential.looks) == 2


@pytest.mark.long
def test_errors_hold_a_look_up(tmp_path, sequential):
    """A look that lacks an episode is not taken: no verdict is given, and no further block starts."""
    path = sequential(
        fault="raise", fault_states="3", fault_folder=str(tmp_path), limits="retries = 0"
    )
    said = []
    summary = vla_eval.run(path, PARITY, tmp_path / "run", workers=1, notify=said.append)
    assert not summary.complete
    assert summary.looks == ()
    assert any("look 1 waits for episodes" in sentence for sentence in said)
    assert sum(arm.n + arm.errors for arm in summary.arms.values()) == 40
    with pytest.raises(RunFolderError, match="before a look is peeking"):
        gather(tmp_path / "run", Roles("new", "old"))
    assert vla_eval.run(path, PARITY, tmp_path / "run", workers=1).complete


@pytest.mark.long
def test_shards_of_one_folder_take_looks_together(tmp_path, sequential, parity):
    """Each shard runs its part of a look; the command that completes the look takes it."""
    path, out = sequential(), tmp_path / "run"
    for shard in ("1/2", "2/2") * 3:
        summary = vla_eval.run(path, PARITY, out, workers=1, shard=shard)
        if summary.complete:
            break
    assert summary.complete
    ours, theirs = (gather(each, Roles("new", "old")) for each in (out, parity))
    assert ours.records_sha256 == theirs.records_sha256
    assert ours.looks == theirs.looks


def test_one_arm_is_too_few(tmp_path, sequential):
    """A rule that compares two arms needs two, and says so before anything runs."""
    arms = {"only": PARITY["new"]}
    with pytest.raises(UsageError, match="comparing two arms"):
        vla_eval.run(sequential(), arms, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- kills -----------------------------------------------------------------------------------


def command(protocol: str, out: Path) -> list[str]:
    arms = [part for name, spec in PARITY.items() for part in ("--arm", f"{name}={spec}")]
    return [
        sys.executable, "-m", "vlaeval_launcher", "run", protocol, *arms,
        "--out", str(out), "--workers", "2",
    ]  # fmt: skip


def kill_when(run: subprocess.Popen[bytes], due) -> None:
    """SIGKILL the run at the first moment at which ``due()`` holds, if it lives that long."""
    while run.poll() is None and not due():
        time.sleep(0.001)
    if run.poll() is None:
        os.kill(run.pid, signal.SIGKILL)
    run.wait()


@pytest.mark.slow
def test_killed_between_and_within_looks_it_stops_at_the_same_look(tmp_path, sequential, parity):
    """SIGKILL as soon as a look is on disk, and in the middle of a block: same records, same looks."""
    path, out = sequential(), tmp_path / "run"

    def lines() -> int:
        return sum(file.read_bytes().count(b"\n") for file in out.glob("episodes/*.jsonl"))

    first, second = out / "looks" / "1.json", out / "looks" / "2.json"
    for due in (lambda: lines() >= 12, first.exists, lambda: lines() >= 55, second.exists):
        run = subprocess.Popen(
            command(path, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kill_when(run, due)
        assert run.returncode == -signal.SIGKILL
        kept = {file.name: file.read_bytes() for file in out.glob("looks/*.json")}
    done = subprocess.run(command(path, out), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    for name, content in kept.items():
        assert (out / "looks" / name).read_bytes() == content, "a look is written once"
    ours, theirs = (gather(each, Roles("new", "old")) for each in (out, parity))
    assert ours.records_sha256 == theirs.records_sha256
    assert ours.looks == theirs.looks


@pytest.mark.long
def test_a_kill_between_the_last_record_and_its_look_is_mended(copy, sequential, parity):
    """Without the file of its last look the run takes that look again, and runs no episode."""
    last = max((copy / "looks").glob("*.json"))
    before = json.loads(last.read_text())
    last.unlink()
    episodes = sorted((copy / "episodes").glob("*.jsonl"))
    assert vla_eval.run(sequential(), PARITY, copy, workers=1).complete
    assert sorted((copy / "episodes").glob("*.jsonl")) == episodes
    again = json.loads(last.read_text())
    assert again | {"taken_at": ""} == before | {"taken_at": ""}


# --- certifying ------------------------------------------------------------------------------


@pytest.mark.long
def test_the_certificate_is_the_repeated_interval(parity, tmp_path):
    """Verdict, interval, bounds and looks are those of the plan, and can be recomputed."""
    certificate = issue(parity, Roles("new", "old"))
    looks = certificate.sequential.looks
    comparison = certificate.comparison
    plan = SequentialPlan.even(100, 0.1)
    assert certificate.sequential.sizes == plan.sizes
    assert certificate.sequential.bounds == pytest.approx(plan.bounds)
    assert comparison.ci_judged == plan.interval(len(looks), comparison.n10, comparison.n01)
    assert comparison.ci95[0] < comparison.ci90[0] == comparison.ci_judged[0]
    assert certificate.verdict in (Verdict.EQUIVALENT, Verdict.NON_INFERIOR)
    assert comparison.p_worse <= looks[-1].level
    assert f"look {len(looks)}" in certificate.sentence
    assert Flag.STOPPED_BY_HAND not in certificate.flags
    assert verify(certificate, parity) == []


@pytest.mark.long
def test_other_roles_than_those_of_the_looks_are_refused(parity):
    """The looks were taken for one comparison; another cannot be judged by them."""
    with pytest.raises(UsageError, match=r"stopped by looking at candidate 'new'"):
        issue(parity, Roles("old", "new"))


@pytest.mark.long
def test_a_run_that_was_ended_by_hand_is_judged_at_its_last_look(copy, parity):
    """Between looks the repeated interval still holds; before the first there is nothing to judge."""
    looks = gather(parity, Roles("new", "old")).looks
    protocol = RunFolder.open(copy).header.protocol
    allowed = {episode.key for episode in expand(protocol)[: looks[-1].pairs - 3]}
    _keep_records(copy, allowed)
    with pytest.raises(RunFolderError, match="some are missing"):
        issue(copy, Roles("new", "old"))
    (copy / "looks" / f"{looks[-1].number}.json").unlink()
    certificate = issue(copy, Roles("new", "old"))
    assert certificate.verdict is Verdict.INCONCLUSIVE
    assert Flag.STOPPED_BY_HAND in certificate.flags
    assert certificate.sequential.looks == looks[:-1]


@pytest.mark.long
def test_a_record_changed_after_its_look_is_found(copy):
    """A look keeps the digest of its records, so a change with equal counts is found too."""
    rewrite(copy, lambda record: record | {"steps": record["steps"] + 1})
    with pytest.raises(RunFolderError, match="changed afterwards"):
        issue(copy, Roles("new", "old"))


@pytest.mark.long
def test_a_damaged_look_is_refused(copy):
    """A file that is no look is named."""
    (copy / "looks" / "1.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"1\.json: is damaged"):
        issue(copy, Roles("new", "old"))


def test_the_exact_test_has_a_say_at_every_look(sequential):
    """59 pairs without any loss cross the last bound at 5 points, but not the exact test's level."""
    protocol = load_protocol(sequential(count=59), overrides=["analysis.margin=0.05"])
    keys = [episode.key for episode in expand(protocol)]

    class Won:
        outcome, scene_hash, reason = "success", "s", None

        def __init__(self, key):
            self.key = key

    won = Records(final={(arm, key): Won(key) for arm in "ab" for key in keys})
    looks = looks_of(protocol, ["a", "b"], won)
    assert looks[-1].pairs == 59
    assert looks[-1].z > looks[-1].bound
    assert looks[-1].p_exact == pytest.approx(0.95**59)
    assert looks[-1].p_exact > looks[-1].level
    assert looks[-1].decision is Decision.EXHAUSTED


def _keep_records(run: Path, keys: set) -> None:
    rewrite(
        run,
        lambda record: (
            record
            if any(
                (each.task, each.init_state) == (record["task"], record["init_state"])
                for each in keys
            )
            else None
        ),
    )


# --- the command line ------------------------------------------------------------------------


@pytest.mark.long
def test_the_terminal_says_what_the_looks_decided(parity, sequential, capsys):
    """Run and certify name the look; no line is wider than a terminal."""
    arms = [part for name, spec in PARITY.items() for part in ("--arm", f"{name}={spec}")]
    assert main(["run", sequential(), *arms, "--out", str(parity)]) == 0
    text = capsys.readouterr().out
    assert "at most 100 episodes an arm" in text
    assert "the bound is crossed" in text
    assert max(len(line) for line in text.splitlines()) <= 80
    assert main(["certify", str(parity), "--candidate", "new", "--reference", "old"]) == 0
    assert "repeated" in capsys.readouterr().out


def test_operating_characteristics_agree_with_the_published_simulation():
    """Error, power and pairs of five looks with futility (docs/statistics.md, "Looks"), by summation."""
    plan = SequentialPlan.from_fixed(447, 0.05)
    null = operating_characteristics(plan, PairedCase(0.9, -0.05, 0.3), guard=False)
    parity = operating_characteristics(plan, PairedCase(0.9, 0.0, 0.3), guard=False)
    assert null.certified == pytest.approx(0.047, abs=0.005)
    assert null.pairs == pytest.approx(298, abs=6)
    assert parity.certified == pytest.approx(0.894, abs=0.008)
    assert parity.pairs == pytest.approx(326, abs=5)
    assert sum(parity.stops) == pytest.approx(1.0, abs=1e-9)
