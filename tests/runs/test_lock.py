"""Locks of a run folder: one process for each shard, and one number of shards at a time."""

from __future__ import annotations

import pytest

from vla_eval.errors import InfrastructureError, RunFolderError
from vla_eval.plan import Shard
from vla_eval.runs import lock as locks
from vla_eval.runs.lock import folder_lock, running_shards, take_shard_lock


def test_a_shard_runs_while_its_lock_is_held(tmp_path):
    """Others of the same number beside it; what was released runs no more, and its file may stay."""
    second = take_shard_lock(tmp_path, Shard(2, 3))
    third = take_shard_lock(tmp_path, Shard(3, 3))
    assert sorted(shard.index for shard in running_shards(tmp_path)) == [2, 3]
    assert {shard.count for shard in running_shards(tmp_path)} == {3}
    second.release()
    assert running_shards(tmp_path) == [Shard(3, 3)]
    third.release()
    assert running_shards(tmp_path) == []


def test_the_same_shard_and_another_number_of_shards_are_refused(tmp_path):
    """Each by its name; what runs no more stands in nobody's way."""
    held = take_shard_lock(tmp_path, Shard(1, 2))
    with pytest.raises(RunFolderError, match="another process is running shard 1/2 here; wait"):
        take_shard_lock(tmp_path, Shard(1, 2))
    with pytest.raises(RunFolderError, match="running shard 1/2 here, which overlaps with 1/3"):
        take_shard_lock(tmp_path, Shard(1, 3))
    held.release()
    take_shard_lock(tmp_path, Shard(1, 3)).release()


def test_other_files_are_no_shards(tmp_path):
    """A folder of such a name, and names that differ by a character."""
    (tmp_path / ".shard-1-of-2.lock").mkdir()
    for name in (".shard-1-of-2.lock.old", ".shard-x-of-2.lock", "shard-1-of-2.lock"):
        (tmp_path / name).write_text("")
    assert running_shards(tmp_path) == []


def test_a_folder_is_locked_briefly_and_waited_for(tmp_path, monkeypatch):
    """Whoever finds it locked waits, and then says so; a folder that is gone is not made again."""
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.1)
    with folder_lock(tmp_path), pytest.raises(RunFolderError), folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):
        pass
    with pytest.raises(InfrastructureError, match="was deleted or renamed"):
        folder_lock(tmp_path / "gone").__enter__()
    assert not (tmp_path / "gone").exists()
