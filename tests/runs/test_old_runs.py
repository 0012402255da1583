"""Runs and certificates of every older format are read for ever."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from vla_eval.certificate import verify
from vla_eval.certificate.verify import read_certificate
from vla_eval.cli import main
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import records_digest

OLD = Path(__file__).parent / "old_runs"


@pytest.mark.parametrize("folder", sorted(OLD.iterdir()), ids=lambda path: path.name)
def test_old_runs_are_reported_and_verified(folder, tmp_path, capsys):
    """Each committed run, made by the version of its time, reports, certifies and verifies."""
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    assert main(["report", str(run)]) == 0
    assert "impaired" in capsys.readouterr().out
    assert verify(read_certificate(run / "certificate.json"), run) == []
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 0


def test_format_1_names_the_machine_host(tmp_path):
    """A record of format 1 is read; written again it is of format 2, with the same digest."""
    line = next((OLD / "format1" / "episodes").glob("*w0.jsonl")).read_text().splitlines()[0]
    old = json.loads(line)["record"]
    assert (old["format"], old["timing"]["host"]) == (1, "vm")
    record = EpisodeRecord.model_validate(old)
    assert record.timing.machine == "vm"
    fresh = json.loads(record.model_copy(update={"format": 2}).model_dump_json())
    assert fresh["timing"]["machine"] == "vm"
    assert "host" not in fresh["timing"]
    again = EpisodeRecord.model_validate(fresh)
    assert again.format == 2
    assert again.reproducible() == record.reproducible()
    digests = {
        records_digest({(each.arm, each.key): each}, [each.arm], [each.key])
        for each in (record, again)
    }
    assert len(digests) == 1


def test_other_formats_are_refused(tmp_path):
    """A record of a later format is refused, and so is a record with both names of a field."""
    run = tmp_path / "run"
    shutil.copytree(OLD / "format1", run)
    file = next((run / "episodes").glob("*w0.jsonl"))
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text(re.sub('"format":1', '"format":3', first) + "".join(rest))
    assert main(["report", str(run)]) == 4
    both = json.loads(first)["record"]
    both["timing"]["machine"] = "other"
    with pytest.raises(ValueError, match="host"):
        EpisodeRecord.model_validate(both)


def test_the_old_run_is_of_format_1():
    """The committed run was written by the version of its time, not by this one."""
    formats = {record.format for record in RunFolder.open(OLD / "format1").records().final.values()}
    assert formats == {1}
