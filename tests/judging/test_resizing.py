"""Runs whose size is set from their first pairs: the decision, kills, shards, and their certificates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vla_eval
from fakes.forging import rewrite
from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.certificate.text import certificate_text
from vla_eval.errors import ProtocolError, RunFolderError, UsageError
from vla_eval.files.tomlfile import read_toml
from vla_eval.judging.resizing import resize_rule, resizing_of, resizing_sentence
from vla_eval.plan import in_stages
from vla_eval.protocol import parse_protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.summary.model import summarise
from vla_eval.summary.text import report_text

WORKER = "fakes.policies:InWorker"
ARMS = {"new": f"{WORKER}?skill=0.6", "old": f"{WORKER}?skill=0.6&version=2"}
TABLE = "[analysis.resize]\nafter = 6\nplanned = 8\nat_most = 16\n"


@pytest.fixture
def resized(protocol_file):
    """Write a resized protocol over the fake environment."""

    def write(count: int = 16, **options) -> str:
        path = protocol_file(count=count, run='order = "round-robin"', **options)
        text = path.read_text().replace("margin = 0.1", "margin = 0.3")
        path.write_text(text + TABLE)
        return str(path)

    return write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("resized")


@pytest.fixture
def done(place, resized) -> Path:
    """One resized run, made once."""
    path = place / "run"
    if not path.exists():
        vla_eval.run(resized(), ARMS, path, workers=1)
    return path


@pytest.fixture
def copy(done, tmp_path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["run"].update(order="by-task"), "round-robin"),
        (lambda data: data["analysis"].update(stopping="obrien-fleming-5"), "has looks"),
        (lambda data: data["analysis"]["resize"].update(planned=5), "must rise"),
        (lambda data: data["analysis"]["resize"].update(at_most=14), "list exactly the most"),
        (lambda data: data["blocks"][0].update(tasks=["A", "B", "C"]), "multiples of 3"),
        (lambda data: data["run"].update(limits={"error_cap": 0.1}), "error_cap must be 0"),
    ],
)
def test_what_cannot_be_resized_is_refused(resized, change, message):
    """Unbalanced, incomplete, or doubly adaptive runs are no protocol."""
    data = read_toml(Path(resized()))
    change(data)
    with pytest.raises(ProtocolError, match=message):
        parse_protocol(data, "my.toml")


def test_protocols_without_the_table_keep_their_hash(protocol_file):
    """The new field is absent from the canonical form of older protocols."""
    protocol = load_protocol(str(protocol_file()))
    assert "resize" not in protocol.canonical_json()
    assert resize_rule(protocol) is None


def test_the_released_protocol_is_balanced():
    """The pairs that decide, and those after them, hold equally many episodes of both tasks."""
    protocol = load_protocol("so101-resized")
    for size in (80, 94, 200):
        first, later = in_stages(protocol, pairs=size)
        assert len(first) == 40
        assert len(first) + len(later) == size
        for block in (first, later):
            tasks = [episode.key.task for episode in block]
            assert tasks.count("PickPlace") == tasks.count("PickPlaceEither")


def test_the_run_has_the_size_that_its_first_pairs_ask_for(done):
    """As many episodes ran as the decision on disk says, and the summary calls that complete."""
    decision = json.loads((done / "resize.json").read_text())["resizing"]
    summary = summarise([done])
    assert summary.complete
    assert {arm.n for arm in summary.arms.values()} == {decision["pairs"]}
    assert summary.resizing is not None
    assert summary.to_json()["resizing"] == decision
    assert "size set after 6 pairs" in report_text(summary)


def test_the_size_is_the_same_if_the_arms_are_exchanged(done):
    """Only the number of discordant pairs is read, not who won them."""
    folder = RunFolder.open(done)
    records, protocol = folder.records(), folder.header.protocol
    assert resizing_of(protocol, ["new", "old"], records) == resizing_of(
        protocol, ["old", "new"], records
    )


def test_the_certificate_states_the_decision_and_is_verified(done):
    """Text, Markdown and JSON hold it; the p-value is that of the design."""
    certificate = issue(done, Roles("new", "old"))
    assert certificate.resized is not None
    assert certificate.comparison.n == certificate.resized.decision.pairs
    assert certificate.power.pairs_planned == certificate.resized.decision.pairs
    assert "discordant (who won" in certificate_text(certificate)
    assert "over all sizes that" in " ".join(certificate_text(certificate).split())
    assert "size set after 6 pairs" in markdown_report(certificate)
    assert verify(certificate, done) == []


def test_other_roles_than_those_that_set_the_size_are_refused(done):
    """The pairs of the first two arms set the size, so these two are judged."""
    with pytest.raises(UsageError, match="got its size from candidate 'new'"):
        gather(done, Roles("old", "new"))


def test_a_missing_decision_is_refused_until_the_run_is_repeated(copy, resized):
    """A kill just before the file is written leaves a run that the same command completes."""
    before = json.loads((copy / "resize.json").read_text())
    (copy / "resize.json").unlink()
    with pytest.raises(RunFolderError, match="is missing, which says"):
        gather(copy, Roles("new", "old"))
    assert vla_eval.run(resized(), ARMS, copy, workers=1).complete
    after = json.loads((copy / "resize.json").read_text())
    assert after["resizing"] == before["resizing"]
    assert after["records_sha256"] == before["records_sha256"]


def test_records_changed_after_the_decision_are_noticed(copy):
    """The decision on disk holds a digest of the records that it was made of."""
    rewrite(copy, lambda r: r | {"steps": r["steps"] + 1} if r["init_state"] == 0 else r)
    with pytest.raises(RunFolderError, match="set of other records"):
        gather(copy, Roles("new", "old"))


def test_records_that_vanish_after_the_decision_are_noticed(copy):
    """Without its first pairs a decision cannot have been made."""
    rewrite(copy, lambda r: None if r["init_state"] == 0 else r)
    with pytest.raises(RunFolderError, match="records do not allow it"):
        gather(copy, Roles("new", "old"))


def test_the_decision_waits_for_missing_episodes(tmp_path, resized):
    """A first pair without a result: nothing beyond the first pairs runs, and nothing is judged."""
    path = resized(
        fault="raise", fault_states="3", fault_folder=str(tmp_path), limits="retries = 0"
    )
    said = []
    summary = vla_eval.run(path, ARMS, tmp_path / "run", workers=1, notify=said.append)
    assert not summary.complete
    assert any("size of the run waits" in sentence for sentence in said)
    assert sum(arm.n + arm.errors for arm in summary.arms.values()) == 12
    with pytest.raises(RunFolderError, match="judging before that is peeking"):
        gather(tmp_path / "run", Roles("new", "old"))


@pytest.mark.long
def test_shards_of_one_folder_set_the_size_together(tmp_path, resized, done):
    """Each shard runs its part; the call that completes the first pairs decides for all."""
    for shard in ("1/2", "2/2", "1/2"):
        summary = vla_eval.run(resized(), ARMS, tmp_path / "run", workers=1, shard=shard)
    assert summary.complete
    ours, theirs = (gather(each, Roles("new", "old")) for each in (tmp_path / "run", done))
    assert ours.records_sha256 == theirs.records_sha256
    assert ours.resizing == theirs.resizing


def test_the_sentence_says_when_more_is_wanted_than_allowed(done):
    """A capped size is not silent."""
    decision = summarise([done]).resizing
    capped = decision.model_copy(update={"wanted": 99})
    assert "more than the 16 that are allowed" in resizing_sentence(capped)
