"""The run folder's own file."""

from __future__ import annotations

import pytest

from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs import folder as module
from vla_eval.runs.folder import RunFolder


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
    assert written == []
    folder.note_warm_up("a", 2.5)
    assert written == ["run.json"]
