"""The page about the SO-101 and LeKiwi tasks says what the catalogue and the code say."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

from vla_eval.catalog import find_suite
from vla_eval_envs.manipulation.variations import Levels

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "tasks.md").read_text(encoding="utf-8")


def test_the_table_is_the_catalogues():
    """It is what `tools/doc_tables.py` writes."""
    sys.path.insert(0, str(DOCS.parent / "tools"))
    import doc_tables

    assert doc_tables.tasks() in PAGE


def test_every_task_is_listed_with_its_instruction_and_limit():
    """Names, instructions and time limits."""
    for suite in ("so101", "lekiwi"):
        for task in find_suite(suite).tasks:
            (row,) = [
                line for line in PAGE.splitlines() if f"{task.name}`" in line and "| " in line
            ]
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            words = cells[1].split("…")
            assert all(part in task.instruction for part in words)
            assert int(re.findall(r"\d+", cells[3])[0]) == task.max_steps


def test_which_states_are_for_development():
    """The page's ranges are the catalogue's."""
    said = "200 frozen initial states (0 to 99 for development, 100 to 199 for\ncertification)"
    assert said in PAGE
    for suite in ("so101", "lekiwi"):
        for task in find_suite(suite).tasks:
            assert (task.init_states, task.development_states) == (200, 100)


def test_every_robustness_option_is_listed():
    """In the order of the code."""
    options = [field.name for field in dataclasses.fields(Levels)]
    assert re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE) == options


def test_pictures_are_there_and_small():
    """Every picture of the page exists; together they take less than 1.5 MB."""
    pictures = re.findall(r"\]\((images/[\w-]+\.png)\)", PAGE)
    assert len(pictures) == 5
    assert sum((DOCS / name).stat().st_size for name in pictures) < 1.5e6
