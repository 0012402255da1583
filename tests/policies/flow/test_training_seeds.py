"""The students of the committed recipe run were distilled from the teachers they are paired with."""

from __future__ import annotations

import json
from pathlib import Path

from vla_eval.released import load_protocol
from vla_eval_policies.flow.checkpoint import Card, read_card
from vla_eval_policies.flow.shipped import checkpoint_path

RUN = Path(__file__).parents[3] / "docs" / "certificates" / "recipe" / "run.json"


def test_student_k_began_with_the_weights_of_teacher_k():
    """Its card holds the hash of the weights that the run's teacher has, and the same training seed."""
    arms = {arm["name"]: arm for arm in json.loads(RUN.read_text())["arms"]}
    recipe = load_protocol("so101-recipe").analysis.recipe
    for student, teacher in zip(recipe.candidate, recipe.reference, strict=True):
        cards = [card(arms[name]["spec"]) for name in (student, teacher)]
        assert cards[0].start_sha256 == arms[teacher]["identity"]["weights_sha256"]
        assert cards[0].seed == cards[1].seed


def card(spec: str) -> Card:
    return read_card(checkpoint_path(spec.removeprefix("flow:").partition("?")[0]))
