"""The recipes that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "recipes"
RECIPES = sorted(path for path in FOLDER.rglob("*.toml") if "lerobot" not in path.parts)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_shipped_recipes_are_valid(path):
    """Every recipe can be read, and names tasks whose development half it stays in."""
    recipe = load_recipe(path)
    expert = recipe.data.expert
    assert expert is not None
    assert all("libero" in task or expert.init_states <= 100 for task in expert.tasks)


@pytest.mark.parametrize(
    "path", (FOLDER / "moving").glob("*-belt*.toml"), ids=lambda path: path.stem
)
def test_students_learn_from_what_their_teacher_saw(path):
    """The belt's students share its teacher's demonstrations and network, so that its cache serves them all."""
    teacher, student = load_recipe(FOLDER / "moving" / "fm-belt.toml"), load_recipe(path)
    assert student.data == teacher.data
    assert student.network == teacher.network
