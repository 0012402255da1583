"""LIBERO's goals as subgoals: one for each part of a goal, on all 130 tasks."""

from __future__ import annotations

import importlib
import re

import pytest

from vla_eval_envs.libero.catalog import suites, task_names
from vla_eval_envs.libero.install import load
from vla_eval_envs.libero.simulator import subgoal_name

WORDS = re.compile(r"\(\s*([^()\s]+)((?:\s+[^()\s]+)+)\s*\)")


@pytest.mark.long
def test_every_part_of_every_goal_is_a_subgoal(libero_assets):
    """The parts that LIBERO parses are those between the brackets of its file, and their names differ."""
    root = load(libero_assets).root / "bddl_files"
    parse = importlib.import_module("libero.libero.envs.bddl_utils").robosuite_parse_problem
    counts = {1: 0, 2: 0, 3: 0}
    for suite in suites():
        for name in task_names(suite.name):
            file = root / suite.name / f"{name}.bddl"
            goal = file.read_text().split("(:goal")[1].lower()
            written = {f"{word}({', '.join(rest.split())})" for word, rest in WORDS.findall(goal)}
            parts = [subgoal_name(part) for part in parse(str(file))["goal_state"]]
            assert {part.lower() for part in parts} == written
            assert len(parts) == len(written)
            counts[len(parts)] += 1
    assert counts == {1: 110, 2: 19, 3: 1}
