"""A run folder that was written by hand: what it keeps, and each of its refusals alone."""

from __future__ import annotations

import json

import pytest

from fakes.by_hand import Run, small_protocol, write_results
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.identity import SERVER_IDENTITY, UNKNOWN
from vla_eval.plan import Shard
from vla_eval.policy import PolicyMetadata
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm, refuse_unidentified, same_policy

PROTOCOL = small_protocol(1, 10)
POLICY = PolicyMetadata("by-hand", "by-hand", chunk_size=1, n_action_steps=1)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A run of two arms with three results each."""
    run = Run(PROTOCOL)
    write_results(run, "a", "110")
    write_results(run, "b", "011")
    return run.write(tmp_path / "run", "a", "b")


def test_what_is_known_stands_on_disk(folder):
    """Arms with their identities, the session with its engine and its longest warm-up, the status."""
    folder.note_engine({"nodes": 2})
    folder.note_warm_up("b", 1.5)
    folder.finish(lambda: (False, {"n": 6}))
    kept = RunFolder.open(folder.path)
    assert kept.header.status == "incomplete"
    assert json.loads((folder.path / "results.json").read_text()) == {"n": 6}
    assert [arm.identity["spec"] for arm in kept.header.arms] == ["random", "random"]
    (session,) = kept.header.sessions
    assert (session.shard, session.engine, session.warm_up_s) == ("1/1", {"nodes": 2}, {"b": 1.5})
    folder.finish(lambda: (True, {"n": 6}))
    assert RunFolder.open(folder.path).header.status == "complete"
    assert len(kept.records().attempts) == 6
    assert kept.has_begun()


def test_an_arm_stays_the_policy_that_it_was(folder):
    """The same again is fine and gives the same hash; another NFE is another policy."""
    arms = dict.fromkeys("ab", POLICY)
    assert folder.identify(arms) == RunFolder.open(folder.path).identify(arms)
    other = PolicyMetadata("by-hand", "by-hand", chunk_size=1, n_action_steps=1, nfe=3)
    with pytest.raises(RunFolderError, match=r"arm 'b' was another policy when .*nfe"):
        folder.identify(arms | {"b": other})


def test_records_of_another_run_are_refused(folder):
    """Of an arm that the run does not have, of another protocol, and of another policy."""
    header = folder.header
    kept = header.arms[0].model_copy(update={"name": "c"})
    other = Arm(name="b", spec="random", identity={**header.arms[1].identity, "nfe": 9})
    for changes, words in (
        ({"arms": (header.arms[0], kept)}, r"belongs to another run \(arm 'b'"),
        ({"protocol_sha256": "f" * 64}, "belongs to another run"),
        ({"arms": (header.arms[0], other)}, "made by another policy than arm 'b'"),
    ):
        changed = RunFolder(folder.path, header.model_copy(update=changes))
        with pytest.raises(RunFolderError, match=words):
            changed.records()


def edited(folder: RunFolder, **changes) -> None:
    file = folder.path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_run_file_that_was_edited_is_refused(folder):
    """A hash of another protocol, arms without names of their own, an unusable name, another spec."""
    arms = json.loads((folder.path / "run.json").read_text())["arms"]
    for changes, words in (
        ({"protocol_sha256": "f" * 64}, "does not have the hash beside it"),
        ({"arms": []}, "each has a name of its own"),
        ({"arms": [arms[0], arms[0]]}, "each has a name of its own"),
        ({"arms": [arms[0], arms[1] | {"name": "b/c"}]}, "restore the file, or start"),
        ({"arms": [arms[0], arms[1] | {"spec": "expert"}]}, r"arm 'b' has the spec 'expert'"),
    ):
        before = (folder.path / "run.json").read_text()
        edited(folder, **changes)
        with pytest.raises(RunFolderError, match=words):
            RunFolder.open(folder.path)
        (folder.path / "run.json").write_text(before)
    RunFolder.open(folder.path)


def test_a_copy_of_another_protocol_is_refused(folder):
    """A missing copy is fine; one that leads nowhere is not."""
    copy = folder.path / "protocol.json"
    copy.write_text(small_protocol(1, 11).canonical_json())
    with pytest.raises(
        RunFolderError, match=r"is not the protocol of run\.json beside it \(.*count"
    ):
        RunFolder.open(folder.path)
    copy.unlink()
    RunFolder.open(folder.path)
    copy.symlink_to(folder.path / "nowhere")
    with pytest.raises(RunFolderError, match=r"protocol\.json"):
        RunFolder.open(folder.path)


def test_what_is_no_run_folder_is_not_entered(tmp_path):
    """A file, and a folder with a stranger in it; a hidden file and our own ones are no strangers."""
    enter = {"protocol": PROTOCOL, "specs": {"a": "random"}, "shard": Shard(1, 1)}
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file: is a file; --out names a folder"):
        RunFolder.enter(tmp_path / "file", **enter)
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "notes.txt").write_text("")
    with pytest.raises(RunFolderError, match=r"not empty \(it holds 'notes\.txt'\)"):
        RunFolder.enter(strange, **enter)
    (strange / "notes.txt").rename(strange / "registration.json")
    (strange / ".hidden").write_text("")
    (strange / ".run.json.7.tmp").write_text("half")
    folder, lock = RunFolder.enter(strange, **enter)
    lock.release()
    assert not (strange / ".run.json.7.tmp").exists()
    assert (strange / ".hidden").exists()
    (strange / "notes.txt").write_text("")
    RunFolder.enter(folder.path, **enter)[1].release()
    with pytest.raises(RunFolderError, match=r"is no run folder \(it has no run\.json\)"):
        RunFolder.open(tmp_path)


def test_another_protocol_or_other_arms_are_another_run(folder):
    """Each names what differs."""
    folder.refuse_other_run(PROTOCOL, {"a": "random", "b": "random"})
    with pytest.raises(RunFolderError, match=r"not of by-hand.*count"):
        folder.refuse_other_run(small_protocol(1, 11), {"a": "random", "b": "random"})
    for specs in ({"a": "random"}, {"a": "random", "b": "expert"}):
        with pytest.raises(RunFolderError, match=r"other arms \(.*b"):
            folder.refuse_other_run(PROTOCOL, specs)


def test_of_unidentified_policies_nothing_is_claimed():
    """One whose server does not say who it is, and one that never began."""
    refuse_unidentified(Arm(name="a", spec="random", identity={"name": "x"}))
    with pytest.raises(UsageError, match="was never identified"):
        refuse_unidentified(Arm(name="a", spec="random"))
    for spec, sign in (("openpi:ws://h", "?"), ("openpi:ws://h?x=1", "&")):
        arm = Arm(name="a", spec=spec, identity={"options": {SERVER_IDENTITY: UNKNOWN}})
        with pytest.raises(UsageError) as caught:
            refuse_unidentified(arm)
        assert f"{spec}{sign}identity=NAME-AND-VERSION" in str(caught.value)


def test_one_policy_may_have_two_specs():
    """Where both are identified, all else counts; where one is not, the spec does."""
    one, other = (
        Arm(name=name, spec=name, identity={"spec": name, "nfe": 1}) for name in ("a", "b")
    )
    assert same_policy(one, other)
    assert not same_policy(one, other.model_copy(update={"identity": {"spec": "b", "nfe": 2}}))
    assert not same_policy(one, other.model_copy(update={"identity": None}))
    assert same_policy(one, Arm(name="c", spec="a"))
