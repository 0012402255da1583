"""What trackers are told of a run."""

from __future__ import annotations

import shutil

import pytest

from vla_eval.errors import UsageError
from vla_eval.judging.paired_file import EvaluationFile, write_evaluation
from vla_eval.sinks.facts import gather_facts
from vla_eval.sinks.send import new_failures


@pytest.mark.long
def test_a_rate_never_goes_without_its_interval(finished):
    """Every rate and difference has both ends beside it, and they enclose it."""
    walker, teacher = gather_facts(finished)
    ((step, numbers),) = walker.points
    assert step == 8
    assert "paired/teacher/difference" in numbers
    for name in numbers:
        if name.endswith(("success_rate", "difference")):
            assert numbers[f"{name}_low"] <= numbers[name] <= numbers[f"{name}_high"]
    assert walker.identity != teacher.identity
    tables = {table.name: table for table in walker.tables}
    assert list(tables) == ["tasks", "pairs-teacher", "discordant-teacher"]
    assert "| walker fails |" in tables["pairs-teacher"].markdown()


def test_new_failures_come_first(finished):
    """Those that the reference won come before the others."""
    keys = new_failures(finished, "walker")
    table = next(t for t in gather_facts(finished)[0].tables if t.name == "discordant-teacher")
    lost = {row[0] for row in table.rows if row[1] == "failure"}
    assert lost
    assert {str(key) for key in keys[: len(lost)]} == lost


def test_the_runs_of_a_training_are_one_curve(finished, tmp_path):
    """The x axis is the training step; another protocol in the folder is refused."""
    for step in (2, 10):
        run = tmp_path / f"step-{step:09d}"
        shutil.copytree(finished, run)
        write_evaluation(run, EvaluationFile(step=step))
    facts = gather_facts(tmp_path)[0]
    assert [step for step, _ in facts.points] == [2, 10]
    with pytest.raises(UsageError, match="holds none of a training"):
        gather_facts(tmp_path / "nowhere")
