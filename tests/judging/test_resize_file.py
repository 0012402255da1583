"""The decision about a run's size on disk: written once, and it must follow from the records ever after."""

from __future__ import annotations

import json

import pytest

from fakes.by_hand import Run, run_of_two, small_protocol
from vla_eval.errors import RunFolderError
from vla_eval.judging.resize_file import FILE_NAME, checked_resizing, take_resizing
from vla_eval.judging.resizing import resizing_of
from vla_eval.runs.store import records_digest

PROTOCOL = small_protocol(
    2, 30, margin=0.25, resize={"after": 20, "planned": 30, "at_most": 60, "power": 0.7}
)
OURS, THEIRS = "11101" * 5, "11110" * 5


def test_the_decision_is_written_once(tmp_path):
    """With what it was made of: roles, protocol, and the hash of the pairs that decided."""
    folder = run_of_two(PROTOCOL, tmp_path / "run", OURS, THEIRS)
    assert checked_resizing(folder, folder.records(), must_be_there=False).pairs > 20
    with pytest.raises(RunFolderError, match=f"{FILE_NAME} is missing"):
        checked_resizing(folder, folder.records(), must_be_there=True)
    found = take_resizing(folder)
    assert found == resizing_of(PROTOCOL, ["a", "b"], folder.records())
    said = json.loads((folder.path / FILE_NAME).read_text())
    assert said["resizing"] == found.model_dump(mode="json")
    assert (said["candidate"], said["reference"]) == ("a", "b")
    keys = Run(PROTOCOL).keys[:20]
    assert said["records_sha256"] == records_digest(folder.records().final, ["a", "b"], keys)
    before = (folder.path / FILE_NAME).read_bytes()
    assert take_resizing(folder) == found
    assert (folder.path / FILE_NAME).read_bytes() == before
    assert checked_resizing(folder, folder.records(), must_be_there=True) == found


def test_before_the_pairs_are_there_nothing_is_decided(tmp_path):
    """One of the first twenty pairs is missing: no size, and no file."""
    folder = run_of_two(PROTOCOL, tmp_path / "run", OURS[:20], THEIRS[:19])
    assert take_resizing(folder) is None
    assert not (folder.path / FILE_NAME).exists()
    assert checked_resizing(folder, folder.records(), must_be_there=True) is None


def test_a_decision_that_no_longer_follows_is_refused(tmp_path):
    """Of other records, of fewer of them, or in a file that was damaged: each in its own words."""
    folder = run_of_two(PROTOCOL, tmp_path / "run", OURS, THEIRS)
    take_resizing(folder)
    changed = run_of_two(PROTOCOL, tmp_path / "changed", "1" + OURS[1:4] + "0" + OURS[5:], THEIRS)
    words = r"was set of other records \(8 discordant pairs then, 7 now, for 'a' against 'b'\)"
    with pytest.raises(RunFolderError, match=words):
        checked_resizing(folder, changed.records(), must_be_there=True)
    shorter = run_of_two(PROTOCOL, tmp_path / "shorter", OURS[:19], THEIRS)
    with pytest.raises(RunFolderError, match="was set, but the records do not allow it"):
        checked_resizing(folder, shorter.records(), must_be_there=True)
    (folder.path / FILE_NAME).write_text("{}")
    with pytest.raises(RunFolderError, match=f"{FILE_NAME}: is damaged"):
        checked_resizing(folder, folder.records(), must_be_there=True)
