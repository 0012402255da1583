"""The default number of workers is what the scheduler gave, not what the machine has."""

from __future__ import annotations

import os

import pytest

from vla_eval.cores import usable_cores


@pytest.fixture
def four(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


def test_cores_are_counted_by_affinity(four):
    """Four of 64 cores are usable."""
    assert usable_cores() == 4


@pytest.mark.parametrize(("text", "cores"), [("3", 3), ("16", 4), ("0", 1), ("", 4), ("two", 4)])
def test_a_slurm_task_uses_its_own_cores_only(four, monkeypatch, text, cores):
    """The smaller number counts; a text that is no number is ignored."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert usable_cores() == cores


def test_without_affinity_the_machine_s_cores_count(four, monkeypatch):
    """Systems other than Linux have no affinity."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores() == 64
