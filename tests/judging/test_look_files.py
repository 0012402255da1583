"""Looks on disk: each is written once, and must follow from the records ever after."""

from __future__ import annotations

import json

import pytest

from fakes.by_hand import Run, run_of_two, small_protocol
from vla_eval.errors import RunFolderError
from vla_eval.judging.look_files import checked_looks, looks_on_disk, take_looks
from vla_eval.judging.looks import looks_of
from vla_eval.runs.store import records_digest

PROTOCOL = small_protocol(1, 50, margin=0.25, stopping="obrien-fleming-5")


def test_each_look_is_written_once(tmp_path):
    """With what it was taken of: roles, protocol, and the hash of the records up to it."""
    folder = run_of_two(PROTOCOL, tmp_path / "run", "1011011101" * 2, "1101101110" * 2)
    assert looks_on_disk(folder.path) == set()
    looks = take_looks(folder)
    assert [look.pairs for look in looks] == [10, 20]
    assert looks == looks_of(PROTOCOL, ["a", "b"], folder.records())
    assert looks_on_disk(folder.path) == {1, 2}
    files = sorted((folder.path / "looks").iterdir())
    assert [file.name for file in files] == ["1.json", "2.json"]
    keys = Run(PROTOCOL).keys
    for file, look in zip(files, looks, strict=True):
        said = json.loads(file.read_text())
        assert said["look"] == look.model_dump(mode="json")
        assert (said["candidate"], said["reference"]) == ("a", "b")
        assert said["protocol_sha256"] == PROTOCOL.sha256
        digest = records_digest(folder.records().final, ["a", "b"], keys[: look.pairs])
        assert said["records_sha256"] == digest
    before = [file.read_bytes() for file in files]
    assert take_looks(folder) == looks
    assert [file.read_bytes() for file in files] == before


def test_a_look_that_no_longer_follows_is_refused(tmp_path):
    """Of other records, of fewer of them, or in a file that was damaged: each in its own words."""
    folder = run_of_two(PROTOCOL, tmp_path / "run", "1011011101" * 2, "1101101110" * 2)
    take_looks(folder)
    changed = run_of_two(PROTOCOL, tmp_path / "changed", "1011011100" * 2, "1101101110" * 2)
    with pytest.raises(RunFolderError) as caught:
        checked_looks(folder, changed.records())
    first, last = take_looks(folder)[0], take_looks(changed)[0]
    assert (
        f"1.json: this look was taken of other records ({first.n10} to {first.n01} then, "
        f"{last.n10} to {last.n01} now)" in str(caught.value)
    )
    shorter = run_of_two(PROTOCOL, tmp_path / "shorter", "1011011101", "1101101110")
    with pytest.raises(RunFolderError, match=r"2\.json: this look was taken, but the records do"):
        checked_looks(folder, shorter.records())
    (folder.path / "looks" / "1.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"1\.json: is damaged"):
        checked_looks(folder, folder.records())
