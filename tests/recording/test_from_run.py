"""What can be recorded of a run, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.recording.from_run import Selection, record_run
from vla_eval.runs.store import read_records

ROOT = Path(__file__).parents[2]
RUN = ROOT / "docs" / "certificates" / "refuted"
"""A run of an earlier version, without stored actions."""


def test_a_run_without_actions_is_refused(tmp_path):
    """The sentence names the first episode, and two remedies."""
    with pytest.raises(RunFolderError, match="keeps no actions of so101/PickPlace"):
        record_run(RUN, tmp_path / "out", Selection())
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_is_kept(tmp_path):
    """A dataset of a run is written once."""
    with pytest.raises(RunFolderError, match="name a new folder"):
        record_run(RUN, tmp_path, Selection())


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(arms=["expret"]), "did you mean 'expert'"),
        (Selection(tasks=["Nothing"]), "no episode of this run is selected"),
        (Selection(arms=["expert"], outcome="failure"), "no episode of this run is selected"),
    ],
)
def test_an_empty_selection_is_refused(selection, words, tmp_path):
    """A misspelt arm, an unknown task, an outcome that no episode has."""
    with pytest.raises(UsageError, match=words):
        record_run(RUN, tmp_path / "out", selection)


def test_a_selection_keeps_what_was_asked_for():
    """Arms, initial states and the outcome are all heeded."""
    records = read_records([RUN / "episodes"]).attempts
    states = sorted({record.init_state for record in records})[:3]
    chosen = Selection(arms=["impaired"], init_states=states, outcome="failure")
    kept = [record for record in records if chosen.has(record)]
    assert 1 <= len(kept) <= 3
    assert {(record.arm, record.outcome) for record in kept} == {("impaired", "failure")}
    assert {record.init_state for record in kept} <= set(states)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["so101", "--from", "x"], "--from RUN says what is recorded"),
        (["--from", "x", "--policy", "hold"], "--from RUN says what is recorded"),
        (["--from", "x", "--only-successes", "--only-failures"], "leave nothing"),
        (["so101"], "record what?"),
        (["so101", "--policy", "hold", "--only-failures"], "go with --from RUN"),
    ],
)
def test_flags_that_do_not_fit_are_refused(words, said, tmp_path, capsys):
    """Exit code 4, and one sentence."""
    assert main(["record", *words, "--out", str(tmp_path / "out")]) == 4
    assert said in " ".join(capsys.readouterr().err.split())
