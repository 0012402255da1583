"""What a power cut can take: the order in which files are written, synchronised and renamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vla_eval.files.append import LineFile
from vla_eval.files.atomic import StorageError, write_atomically


@pytest.fixture
def events(monkeypatch):
    """What is synchronised with how much in it, and what is renamed, in order."""
    seen: list[tuple[str, object]] = []
    fsync, replace = os.fsync, Path.replace

    def synchronised(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((path.name, None if path.is_dir() else path.read_bytes()))
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        seen.append(("rename", target.name))
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synchronised)
    monkeypatch.setattr(Path, "replace", renamed)
    return seen


def test_lines_are_on_disk_before_the_next_are_written(tmp_path, events):
    """The file's name in its folder first, then each write as a whole."""
    folder = tmp_path / "episodes"
    with LineFile(folder / "a.jsonl", make_folder=True) as file:
        assert events == [], "an idle writer makes nothing"
        file.append(b"1\n")
        file.append(b"2\n3\n")
    assert events == [
        (tmp_path.name, None),
        ("episodes", None),
        ("a.jsonl", b"1\n"),
        ("a.jsonl", b"1\n2\n3\n"),
    ]


def test_a_file_is_whole_before_it_takes_its_name(tmp_path, events):
    """Content, then name, then the folder that holds the name."""
    write_atomically(tmp_path / "run.json", "new")
    (hidden, content), *rest = events
    assert content == b"new"
    assert hidden.startswith(".run.json.")
    assert rest == [("rename", "run.json"), (tmp_path.name, None)]


def test_lines_that_do_not_fit_leave_nothing(tmp_path, monkeypatch):
    """A short write is finished if it can be; if not, earlier lines stay and no part of these."""
    write, parts = os.write, []

    def short(descriptor: int, data: bytes) -> int:
        parts.append(bytes(data))
        if b"full" in data and len(parts) > 3:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[:4])

    monkeypatch.setattr(os, "write", short)
    file = LineFile(tmp_path / "a.jsonl")
    file.append(b"12345\n")
    assert parts == [b"12345\n", b"5\n"]
    with pytest.raises(StorageError, match=r"free some space, then repeat"):
        file.append(b"678 full\n")
    file.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b"12345\n"


def test_a_file_that_was_deleted_is_noticed_at_the_next_write(tmp_path):
    """Its descriptor still takes lines, which nobody would ever read."""
    file = LineFile(tmp_path / "a.jsonl")
    file.append(b"1\n")
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(StorageError, match="was deleted or renamed"):
        file.append(b"2\n")
    file.close()


def test_a_file_has_one_writer(tmp_path):
    """A second one does not append to it, not even when the first has closed it."""
    with LineFile(tmp_path / "a.jsonl") as file:
        file.append(b"1\n")
    with pytest.raises(StorageError, match="could not be written"):
        LineFile(tmp_path / "a.jsonl").append(b"2\n")
    assert (tmp_path / "a.jsonl").read_bytes() == b"1\n"
