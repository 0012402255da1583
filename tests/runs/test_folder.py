"""The run folder's own file."""

from __future__ import annotations

import pytest

from vla_eval.errors import RunFolderError
from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs import folder as module
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.provenance import other_physics


@pytest.fixture
def folder(tmp_path, protocol_file):
    protocol = load_protocol(str(protocol_file()))
    made, lock = RunFolder.enter(
        tmp_path / "run", protocol, {"a": "fakes.policies:InHost"}, Shard(1, 1)
    )
    with lock:
        yield made


def test_only_a_longer_warm_up_is_written(folder, monkeypatch):
    """A thousand workers warm up a thousand times; run.json changes with the longest."""
    folder.note_warm_up("a", 2.0)
    written = []
    monkeypatch.setattr(module, "write_atomically", lambda path, text: written.append(path.name))
    folder.note_warm_up("a", 1.5)
    folder.note_warm_up("b", 0.0)
    assert written == []
    folder.note_warm_up("a", 2.5)
    assert written == ["run.json"]


ARMS = {"a": "fakes.policies:InHost"}


def enter(folder: RunFolder, **specs: str) -> RunFolder:
    """Enter the folder as a second call of ``vlaeval run`` does, and leave it."""
    made, lock = RunFolder.enter(folder.path, folder.header.protocol, specs or ARMS, Shard(2, 2))
    lock.release()
    return made


@pytest.mark.parametrize("change", [{"mujoco": "0.1"}, {"robosuite": "0.1"}, {"hf-libero": "0.1"}])
def test_a_run_goes_on_under_its_own_simulators_only(tmp_path, protocol_file, monkeypatch, change):
    """Another version of what decides an episode ends the command; another NumPy does not."""
    protocol = load_protocol(str(protocol_file()))
    monkeypatch.setattr(module, "versions", lambda: {"mujoco": "3.3.2", "numpy": "1"})
    made, lock = RunFolder.enter(tmp_path / "run", protocol, ARMS, Shard(1, 1))
    lock.release()
    (made.episodes / "one.jsonl").touch()
    monkeypatch.setattr(module, "versions", lambda: {"mujoco": "3.3.2", "numpy": "2"})
    enter(made)
    monkeypatch.setattr(module, "versions", lambda: {"mujoco": "3.3.2", "numpy": "2"} | change)
    with pytest.raises(RunFolderError, match=f"other simulators .*{next(iter(change))}"):
        enter(made)


def test_packages_that_decide_an_episode_are_named_with_both_versions():
    """Also where one of them is absent; where all are equal there is nothing to say."""
    before = {"mujoco": "3.3.2", "robosuite": "1.4.0", "torch": "2.7"}
    assert other_physics(before, before | {"torch": "2.8"}) == []
    now = {"mujoco": "3.4.0", "hf-libero": "0.1.4"}
    assert other_physics(before, now) == [
        "mujoco 3.3.2 before, 3.4.0 now",
        "robosuite 1.4.0 before, absent now",
        "hf-libero absent before, 0.1.4 now",
    ]


def test_a_run_that_has_begun_keeps_its_arms(folder, tmp_path):
    """Before the first episode a misspelt arm is replaced; with one record it is another run."""
    folder = RunFolder.open(folder.path)
    (folder.path / ".shard-1-of-1.lock").unlink()
    made = enter(folder, b="fakes.policies:InHost")
    assert [arm.name for arm in RunFolder.open(made.path).header.arms] == ["b"]
    (made.episodes / "one.jsonl").touch()
    with pytest.raises(RunFolderError, match="other arms"):
        enter(made)


def test_each_call_is_a_session_and_the_last_hundred_are_kept(folder, monkeypatch):
    """With its shard; the newest stands last."""
    monkeypatch.setattr(module, "_SESSIONS_KEPT", 3)
    for index in range(4):
        folder._open_session(Shard(index + 1, 5))
    kept = RunFolder.open(folder.path).header.sessions
    assert [session.shard for session in kept] == ["2/5", "3/5", "4/5"]
