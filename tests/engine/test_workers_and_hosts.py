"""Workers and hosts: equal records for any number of them, and every fault classified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vla_eval
from vla_eval.errors import InfrastructureError, RunFolderError, UsageError
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
HOST = "fakes.policies:InHost"


def reproducible(*folders: Path) -> list[str]:
    """Return the final records without timings, in the keys' order."""
    final = read_records([folder / "episodes" for folder in folders]).final
    return [json.dumps(final[slot].reproducible(), sort_keys=True) for slot in sorted(final)]


@pytest.fixture
def run(tmp_path, protocol_file):
    said: list[str] = []

    def go(arms, *, out="run", workers=2, shard=None, **protocol):
        path = str(protocol_file(**protocol))
        return vla_eval.run(
            path, arms, tmp_path / out, workers=workers, shard=shard, notify=said.append
        )

    go.said = said
    return go


ARMS = {"student": f"{WORKER}?skill=0.8", "teacher": f"{HOST}?skill=0.9"}


def test_records_do_not_depend_on_workers_or_shards(tmp_path, run):
    """1, 2 and 3 workers, and three shards in one folder or in three, give identical records."""
    for workers in (1, 2, 3):
        assert run(ARMS, out=f"w{workers}", workers=workers).complete
    expected = reproducible(tmp_path / "w1")
    assert len(expected) == 16
    assert reproducible(tmp_path / "w2") == expected
    assert reproducible(tmp_path / "w3") == expected
    for i in (1, 2, 3):
        together = run(ARMS, out="shards", workers=1, shard=f"{i}/3")
        run(ARMS, out=f"shard{i}", workers=1, shard=f"{i}/3")
    assert together.complete
    assert reproducible(tmp_path / "shards") == expected
    apart = [tmp_path / f"shard{i}" for i in (1, 2, 3)]
    assert reproducible(*apart) == expected
    assert vla_eval.summarise(apart).to_json()["pairs"] == together.to_json()["pairs"]


def test_batching_changes_no_noise(tmp_path, run):
    """Three workers with shared inferences get the same noise as each would get alone."""
    arms = {"a": f"{HOST}?skill=0.5&infer_s=0.01"}
    run(arms, out="single", workers=1)
    run(arms, out="batched", workers=3, run="max_batch = 8\nbatch_wait_ms = 50.0")
    single = read_records([tmp_path / "single/episodes"]).final
    batched = read_records([tmp_path / "batched/episodes"]).final
    assert max(each.timing.max_batch for each in batched.values()) > 1
    for slot, record in single.items():
        assert batched[slot].actions_sha256 == record.actions_sha256


def test_the_paired_table_counts_pairs(run):
    """n11 + n10 + n01 + n00 is the number of keys, and the margins are the arms' successes."""
    summary = run(ARMS, count=20)
    table = summary.to_json()["pairs"][0]
    arms = summary.to_json()["arms"]
    assert (table["candidate"], table["reference"]) == ("student", "teacher")
    assert table["n11"] + table["n10"] == arms["student"]["successes"]
    assert table["n11"] + table["n01"] == arms["teacher"]["successes"]
    assert sum(table[cell] for cell in ("n11", "n10", "n01", "n00")) == 20


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """Where the successes of each arm are kept, in a run without faults that is made once."""
    return tmp_path_factory.mktemp("undisturbed") / "successes.json"


@pytest.mark.parametrize("fault", ["raise", "die", "exit"])
def test_a_broken_environment_is_retried_in_a_fresh_worker(tmp_path, run, undisturbed, fault):
    """An environment that raises or dies once is an error, repeated, and then an ordinary result."""
    if not undisturbed.exists():
        arms = run(ARMS, out="good").arms
        undisturbed.write_text(json.dumps({name: arms[name].successes for name in ARMS}))
    folder = tmp_path / "markers"
    folder.mkdir()
    summary = run(ARMS, out="bad", fault=fault, fault_states="1,5", fault_folder=str(folder))
    assert summary.complete
    assert summary.arms["student"].errors == 0
    expected = json.loads(undisturbed.read_text())
    assert {name: summary.arms[name].successes for name in ARMS} == expected
    records = read_records([tmp_path / "bad/episodes"])
    errors = [each for each in records.attempts if each.outcome == "error"]
    assert len(errors) == 2
    assert {each.reason for each in errors} == {"env_error" if fault == "raise" else "worker_died"}


def test_an_environment_that_hangs_is_stopped_and_retried(tmp_path, run):
    """Past the protocol's limit the worker is killed, and the episode repeated."""
    folder = tmp_path / "markers"
    folder.mkdir()
    summary = run(
        {"a": WORKER},
        fault="hang",
        fault_states="2",
        fault_folder=str(folder),
        limits="env_s = 1.0",
    )
    assert summary.complete
    reasons = [each.reason for each in read_records([tmp_path / "run/episodes"]).attempts]
    assert reasons.count("env_timeout") == 1


def test_a_permanent_fault_is_missing_and_never_a_failure(tmp_path, run):
    """After the retries the episode is missing: not in n, not complete, bounded both ways."""
    summary = run({"a": WORKER}, fault="raise", fault_states="3")
    arm = summary.arms["a"]
    assert not summary.complete
    assert (arm.n, arm.errors) == (7, 1)
    assert arm.worst_and_best_rate() == (7 / 8, 1.0)
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    assert sorted(each.attempt for each in attempts if each.init_state == 3) == [1, 2, 3]
    assert RunFolder.open(tmp_path / "run").header.status == "incomplete"
    mended = tmp_path / "run" / "results.json"
    assert json.loads(mended.read_text())["arms"]["a"]["errors"] == 1


def test_a_policy_that_raises_once_is_an_error_not_a_failure(tmp_path, run):
    """An exception of the policy, in the worker or in the host, decides nothing before it is repeated."""
    for name, spec in (("worker", WORKER), ("host", HOST)):
        summary = run({"a": f"{spec}?fault=raise&fault_states=3"}, out=name, limits="retries = 0")
        assert (summary.arms["a"].n, summary.arms["a"].errors) == (7, 1)
        attempts = read_records([tmp_path / name / "episodes"]).attempts
        errors = [each for each in attempts if each.outcome == "error"]
        assert [each.reason for each in errors] == ["policy_error"]
        assert "out of memory" in errors[0].error.message


@pytest.mark.parametrize("fault", ["hang", "die"])
def test_a_policy_host_that_hangs_or_dies_is_restarted(tmp_path, run, fault):
    """The host is replaced; the guilty episode is charged, its neighbours are only repeated."""
    folder = tmp_path / "markers"
    folder.mkdir()
    spec = f"{HOST}?fault={fault}&fault_states=3&fault_folder={folder}"
    summary = run({"a": spec}, limits="infer_s = 1.0\nretries = 1")
    assert summary.complete
    assert any("starting another" in sentence for sentence in run.said)
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    reason = "policy_timeout" if fault == "hang" else "host_lost"
    assert reason in {each.reason for each in attempts if each.init_state == 3}


def test_a_policy_in_the_worker_that_hangs_is_stopped(tmp_path, run):
    """Past the protocol's limit for an inference, the worker is killed."""
    summary = run({"a": f"{WORKER}?fault=hang&fault_states=3"}, limits="infer_s = 0.5\nretries = 0")
    assert (summary.arms["a"].n, summary.arms["a"].errors) == (7, 1)
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    assert [each.reason for each in attempts if each.init_state == 3] == ["policy_timeout"]


@pytest.mark.parametrize("fault", ["nan", "shape"])
@pytest.mark.parametrize("spec", [WORKER, HOST])
def test_invalid_actions_fail_their_episodes_only(tmp_path, run, fault, spec):
    """An invalid action is a failure with a reason, and the run is complete."""
    summary = run({"a": f"{spec}?fault={fault}&fault_states=3,4"})
    arm = summary.arms["a"]
    assert summary.complete
    assert (arm.n, arm.successes, arm.errors) == (8, 6, 0)
    assert arm.reasons == {"invalid_action": 2}


def test_when_everything_fails_the_run_stops_early(tmp_path, run):
    """On a machine on which nothing works, the run does not try every episode of the plan."""
    with pytest.raises(InfrastructureError, match=r"all ended in errors.*the simulator diverged"):
        run({"a": WORKER}, count=50, fault="raise", fault_states=",".join(map(str, range(50))))
    assert len(read_records([tmp_path / "run/episodes"]).attempts) < 20


@pytest.mark.parametrize("spec", ["fakes.policies:Unloadable"])
def test_a_policy_that_cannot_be_loaded_says_so(run, spec):
    """Loading fails once, with the policy's own words; the folder is free for the next try."""
    with pytest.raises(InfrastructureError, match="the checkpoint is truncated"):
        run({"a": spec})
    assert run({"a": WORKER}).complete


def test_another_run_in_the_folder_is_refused(tmp_path, run):
    """Another protocol, other arms, another policy behind the same spec are named and refused."""
    run({"a": WORKER})
    with pytest.raises(RunFolderError, match=r"blocks\.0\.max_steps: 40 before, 41 now"):
        run({"a": WORKER}, max_steps=41)
    with pytest.raises(RunFolderError, match=r"other arms \(a: .*skill=0.5' now\)"):
        run({"a": f"{WORKER}?skill=0.5"})
    with pytest.raises(RunFolderError, match=r"b: None before"):
        run({"a": WORKER, "b": WORKER})


def test_another_policy_behind_the_same_spec_is_refused(tmp_path, run):
    """The identity is compared before the first episode, and the difference named."""
    run({"a": WORKER}, count=2)
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    content["arms"][0]["identity"]["weights_sha256"] = "abc"
    file.write_text(json.dumps(content))
    for records in (tmp_path / "run/episodes").iterdir():
        records.unlink()
    with pytest.raises(RunFolderError, match=r"arm 'a' was another policy.*weights_sha256: 'abc'"):
        run({"a": WORKER}, count=2)


def test_foreign_and_damaged_folders_are_refused(tmp_path, run):
    """A folder with other things in it, a file, a broken run.json: one sentence each."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").touch()
    with pytest.raises(RunFolderError, match=r"not empty \(it holds 'chapter.tex'\)"):
        run({"a": WORKER}, out="thesis")
    with pytest.raises(RunFolderError, match="is a file"):
        run({"a": WORKER}, out="thesis/chapter.tex")
    run({"a": WORKER}, count=1)
    file = tmp_path / "run/run.json"
    text = file.read_text()
    file.write_text(text[:-20])
    with pytest.raises(RunFolderError, match=r"run.json: is damaged"):
        run({"a": WORKER}, count=1)
    file.write_text(text.replace('"max_steps": 40', '"max_steps": 99'))
    with pytest.raises(RunFolderError, match="the file was edited"):
        run({"a": WORKER}, count=1)
    with pytest.raises(RunFolderError, match="is no run folder"):
        vla_eval.summarise([tmp_path / "thesis"])


def test_a_complete_run_is_not_repeated(tmp_path, run):
    """Running again starts no process and writes no record."""
    run(ARMS)
    before = {each.name: each.read_bytes() for each in (tmp_path / "run/episodes").iterdir()}
    assert run(ARMS).complete
    after = {each.name: each.read_bytes() for each in (tmp_path / "run/episodes").iterdir()}
    assert after == before


def test_arms_in_different_scenes_are_not_paired(tmp_path, run):
    """Records whose scene hashes differ are counted, and left out of the table."""
    run(ARMS, count=4)
    summary = vla_eval.summarise([tmp_path / "run"])
    assert summary.pairs[0].unequal_scenes == 0
    from vla_eval.summary.model import summarise_records

    records = read_records([tmp_path / "run/episodes"])
    slot = next(slot for slot in records.final if slot[0] == "student")
    records.final[slot] = records.final[slot].model_copy(update={"scene_hash": "other"})
    pair = summarise_records(
        summary.protocol, dict.fromkeys(("student", "teacher")), records
    ).pairs[0]
    assert (pair.unequal_scenes, pair.table.n) == (1, 3)


def test_usage_errors_before_anything_starts(tmp_path, run):
    """Unknown policies, no arms, bad shards, bad names: refused, and no folder is made."""
    for arms, kwargs, message in (
        ({"a": "expart"}, {}, "did you mean 'expert'"),
        ({}, {}, "no policy to run"),
        ({"a/b": WORKER}, {}, "arm 'a/b'"),
        ({"a": WORKER}, {"shard": "9/2"}, "expected i/n"),
        ({"a": WORKER}, {"workers": 0}, "at least one worker"),
    ):
        with pytest.raises(UsageError, match=message):
            run(arms, **kwargs)
    assert not (tmp_path / "run").exists()


BAD_REPLIES = {"none": "NoneType", "array": "ndarray", "two": "2 chunks", "late": "nfe=-1"}


@pytest.mark.parametrize("fault", BAD_REPLIES)
@pytest.mark.parametrize("spec", [WORKER, HOST])
def test_a_reply_that_is_no_list_of_chunks_is_the_policy_s_error(tmp_path, run, fault, spec):
    """Any reply of infer that is no list of chunks is a policy_error, in worker and host alike."""
    with pytest.raises(InfrastructureError, match=BAD_REPLIES[fault]):
        run({"a": f"{spec}?reply={fault}"}, workers=1, limits="retries = 0")
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    assert {each.reason for each in attempts} == {"policy_error"}


def test_ragged_actions_are_invalid_not_errors(run):
    """A ragged list is a wrong shape: the policy's failure."""
    assert run({"a": f"{WORKER}?fault=ragged&fault_states=1"}).arms["a"].reasons == {
        "invalid_action": 1
    }


@pytest.mark.parametrize("value", ["nan", "1.5"])
def test_a_score_that_cannot_be_is_the_environment_s_error(tmp_path, run, value):
    """A score outside [0, 1] spoils its episode and nothing else."""
    summary = run({"a": WORKER}, bad_score=value, fault_states="2", limits="retries = 0")
    assert (summary.arms["a"].n, summary.arms["a"].errors) == (7, 1)
    attempts = read_records([tmp_path / "run/episodes"]).attempts
    assert {each.reason for each in attempts if each.outcome == "error"} == {"env_error"}


def test_provenance_is_made_plain(tmp_path, run):
    """NumPy scalars and paths in an environment's provenance do not lose a record."""
    assert run({"a": WORKER}, odd_provenance=True).complete
    (record, *_) = read_records([tmp_path / "run/episodes"]).attempts
    assert record.provenance["count"] == 3
    assert record.provenance["path"] == "/somewhere"


def test_hosted_inference_time_is_without_the_queue(run):
    """Three workers that share one host: the time is the inference's own, the wait is apart."""
    spec = f"{HOST}?infer_s=0.05"
    alone = run({"a": spec}, out="one", workers=1).arms["a"].infer_ms_p50
    shared = run({"a": spec}, out="three", workers=3).arms["a"].infer_ms_p50
    assert alone == pytest.approx(50, rel=0.5)
    assert shared < 1.5 * alone


def test_other_code_behind_the_same_spec_is_refused(tmp_path, run, monkeypatch):
    """A policy's source is part of its identity."""
    module = tmp_path / "edited.py"
    text = "from fakes.policies import InWorker as Base\nclass F(Base):\n    speed = {}\n"
    module.write_text(text.format(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    run({"a": "edited:F"}, count=2)
    module.write_text(text.format(2))
    for file in (tmp_path / "run/episodes").iterdir():
        file.unlink()
    with pytest.raises(RunFolderError, match="code_sha256"):
        run({"a": "edited:F"}, count=2)


def test_overlapping_shards_are_refused(tmp_path, run):
    """While a shard of two is running, the whole plan and a shard of three are refused."""
    from vla_eval.plan import Shard
    from vla_eval.runs.lock import take_shard_lock

    run({"a": WORKER}, shard="1/2")
    with (
        take_shard_lock(tmp_path / "run", Shard(1, 2)),
        pytest.raises(RunFolderError, match="shard 1/2 here, which overlaps with 1/1"),
    ):
        run({"a": WORKER})


def test_a_run_that_is_loading_is_not_replaced(tmp_path, run):
    """Another command is refused while the folder's first run is still loading."""
    from vla_eval.plan import Shard
    from vla_eval.runs.lock import take_shard_lock

    with pytest.raises(InfrastructureError):
        run({"a": "fakes.policies:Unloadable"})
    before = (tmp_path / "run/run.json").read_text()
    with (
        take_shard_lock(tmp_path / "run", Shard(1, 1)),
        pytest.raises(RunFolderError, match="other arms"),
    ):
        run({"b": WORKER})
    assert (tmp_path / "run/run.json").read_text() == before


def test_repeating_a_run_with_hopeless_episodes_tries_each_of_them(run):
    """Episodes that failed for good do not make a run with results look hopeless."""
    faults = {"fault": "raise", "fault_states": "3,4,5,6", "limits": "retries = 0"}
    assert run({"a": WORKER}, **faults).arms["a"].errors == 4
    assert run({"a": WORKER}, **faults).arms["a"].errors == 4


def test_unknown_tasks_and_states_are_found_before_the_first_episode(tmp_path):
    """The catalogue is asked before anything is built."""
    for change, message in (
        ("blocks.0.init_states.first=190", "initial state 219 of so101/PickPlace does not exist"),
        ('blocks.0.tasks=["PickPlaze"]', "did you mean 'PickPlace'"),
    ):
        with pytest.raises(UsageError, match=message):
            vla_eval.run("so101-quickstart", {"a": "hold"}, tmp_path / "run", overrides=[change])


@pytest.mark.parametrize("out", ["/dev/null/x", "/proc/x"])
def test_folders_that_cannot_be_made(out, protocol_file):
    """A path that cannot be written is one sentence."""
    with pytest.raises(RunFolderError, match="cannot be"):
        vla_eval.run(str(protocol_file()), {"a": WORKER}, out)
