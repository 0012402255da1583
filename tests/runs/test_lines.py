"""A line of records: its layout, its keys, its chain, and what a digest holds of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fakes.by_hand import bare_record as record
from vla_eval.errors import RunFolderError
from vla_eval.runs.store import RecordWriter, read_records, records_digest


def test_a_file_of_records_is_closed_at_the_end(tmp_path):
    """So that a call with thousands of writers keeps no file open."""
    path = tmp_path / "w.jsonl"
    with RecordWriter(path) as writer:
        writer.append(record(0))
        assert str(path) in opened()
    assert str(path) not in opened()
    del writer


def opened() -> set[str]:
    """Return the files that this process has open."""
    return {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}


def chained(body: bytes, *, head: bytes = b'{"chain":"%b"', end: bytes = b"}") -> bytes:
    """A first line with a body of one's own, whose chain is right."""
    chain = hashlib.sha256(b"\n" + body).hexdigest()[:32].encode()
    return head % chain + b',"record":' + body + end + b"\n"


def test_a_line_in_another_layout_of_json_is_read(tmp_path):
    """Spaces before the chain change nothing; another last character than a brace does."""
    body = record(0).model_dump_json().encode()
    path = tmp_path / "w.jsonl"
    for head in (b'{"chain":"%b"', b'{ "chain" : "%b"'):
        path.write_bytes(chained(body, head=head))
        assert read_records([tmp_path]).attempts == [record(0)]
    path.write_bytes(chained(body, end=b"]"))
    with pytest.raises(RunFolderError, match="is no episode record"):
        read_records([tmp_path])


@pytest.mark.parametrize("instruction", ["pick", 'pick "it"', "pick: up"])
def test_a_key_that_is_there_twice_is_refused(tmp_path, instruction):
    """The second would count, whatever other characters there are in the text."""
    body = record(0, instruction=instruction).model_dump_json().encode()
    path = tmp_path / "w.jsonl"
    path.write_bytes(chained(body))
    assert read_records([tmp_path]).attempts == [record(0, instruction=instruction)]
    path.write_bytes(chained(body.replace(b'"score":0.0', b'"score":0.0,"score":1.0')))
    with pytest.raises(RunFolderError, match="score"):
        read_records([tmp_path])


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path):
    """With the reason of the operating system, without its number."""
    with pytest.raises(RunFolderError, match=r"w\.jsonl: cannot be read \(No such file or dir"):
        read_records([tmp_path / "w.jsonl"])


def test_a_digest_is_of_all_that_the_simulator_said(tmp_path):
    """Also of a format of its own, which is not the record's."""
    digests = set()
    for number in (1, 2):
        one = record(0, provenance={"scene": {"format": number, "bodies": 3}})
        digests.add(records_digest({("a", one.key): one}, ["a"], [one.key]))
    assert len(digests) == 2
