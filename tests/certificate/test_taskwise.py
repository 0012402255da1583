"""What a certificate says about further tasks, from results that were written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.by_hand import Run, small_protocol
from vla_eval.certificate import Certificate, Roles
from vla_eval.certificate.issue import issue_from
from vla_eval.stats import further_tasks

STATES = 12
LOST = {"a": (0, 3, 5, 2), "b": (2, 1, 1, 4)}
"""States that each arm loses, by task; the first ones of the task."""


def certified(tasks: int, **analysis) -> Certificate:
    run = Run(small_protocol(tasks, STATES, margin=0.4, **analysis))
    for arm, lost in LOST.items():
        for key in run.keys:
            won = key.init_state >= lost[int(key.task[1:])]
            run.attempt(arm, key, "success" if won else "failure")
    return issue_from(run.evidence(Roles("a", "b")))


def test_further_tasks_take_four():
    """From three tasks nothing is said of others; from four it is, with a 95 % interval over tasks."""
    asked = {"secondary": ["tasks like these"]}
    assert certified(3, **asked).tasks_like_these is None
    assert certified(4).tasks_like_these is None
    found = certified(4, **asked).tasks_like_these
    differences = [(theirs - ours) / STATES for ours, theirs in zip(*LOST.values(), strict=True)]
    assert found.tasks == 4
    assert found.difference == pytest.approx(np.mean(differences))
    states = [
        np.array([(at >= ours) - float(at >= theirs) for at in range(STATES)])
        for ours, theirs in zip(*LOST.values(), strict=True)
    ]
    assert found.ci95 == pytest.approx(further_tasks(states, alpha=0.05).interval)
    assert found.ci95[0] < found.difference < found.ci95[1]


def test_a_task_that_is_shown_to_be_worse_withholds_the_verdict():
    """The mean over tasks holds; with a guard rail the task that is lost is named in its place."""
    issued = {}
    for margin in (None, 0.2):
        protocol = small_protocol(4, 40, margin=0.4, **({"task_margin": margin} if margin else {}))
        run = Run(protocol)
        for key in run.keys:
            run.attempt("a", key, "failure" if key.task == "T2" else "success")
            run.attempt("b", key, "success")
        issued[margin] = issue_from(run.evidence(Roles("a", "b")))
    assert issued[0.2].verdict == "withheld"
    assert issued[0.2].comparison.verdict == issued[None].verdict != "withheld"
    assert issued[0.2].guard_rail.having("worse") == ("s/T2",)
    assert "no task is shown to be worse by more than 20 points" in issued[0.2].claim
    assert issued[None].guard_rail is None
