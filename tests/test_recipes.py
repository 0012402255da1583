"""Protocols about recipes: which arms are training seeds, and what is refused with its remedy."""

from __future__ import annotations

import pytest

from vla_eval.errors import ProtocolError
from vla_eval.files.tomlfile import read_toml
from vla_eval.protocol import parse_protocol
from vla_eval.released import load_protocol

RECIPE = """
[analysis.recipe]
candidate = ["s0", "s1"]
reference = ["t0", "t1"]
design = "distilled"
"""


def parsed(protocol_file, text: str = RECIPE, **changes: int):
    path = protocol_file(**changes)
    path.write_text(path.read_text() + text)
    return parse_protocol(read_toml(path), "it")


def test_a_recipe_changes_the_hash_and_its_absence_does_not(protocol_file):
    """The table is in the hash; a protocol without it keeps the hash it had."""
    assert parsed(protocol_file).sha256 != parsed(protocol_file, "").sha256
    assert "recipe" not in parsed(protocol_file, "").canonical_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ('["s0", "s1"]', '["s0"]'),
            "has one training seed, which says nothing about a recipe: train",
        ),
        (
            ('["t0", "t1"]', '["t0"]'),
            "has one training seed, which says nothing about a recipe: train",
        ),
        (('["s0", "s1"]', "[]"), "candidate is empty"),
        (('["t0", "t1"]', '["t0", "s1"]'), "names one arm twice: a copy is no training seed"),
        (('["t0", "t1"]', '["t0", "t1", "t2"]'), "student k beside teacher k"),
        (('"distilled"', '"frozen"'), "exactly one reference arm"),
    ],
)
def test_what_is_no_sample_of_seeds_is_refused(protocol_file, change, said):
    """One seed a side, copies, and lists that do not fit the design; each with one sentence."""
    with pytest.raises(ProtocolError, match=said):
        parsed(protocol_file, RECIPE.replace(*change))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('candidate = "a"', "leave out analysis.candidate, candidates"),
        ('negative_control = "s1"', "is an arm of a recipe as well"),
        (
            'strata = "task"\nweights = { "fake/Point" = 1.0 }',
            "leave out analysis.task_margin and weights",
        ),
        ('secondary = ["latency"]', "analysis.secondary may be"),
    ],
)
def test_roles_beside_a_recipe_are_refused(protocol_file, line, said):
    """The table replaces candidate and reference, and a control is no arm of it."""
    with pytest.raises(ProtocolError, match=said):
        parsed(protocol_file, f"{line}\n{RECIPE}")


def test_a_task_with_one_state_is_refused(protocol_file):
    """The spread over states is part of the interval."""
    with pytest.raises(ProtocolError, match="two initial states"):
        parsed(protocol_file, count=1)


def test_the_released_protocol_names_three_seeds_a_side():
    """Each student beside the teacher of its seed, on certification states."""
    protocol = load_protocol("so101-recipe@1")
    assert protocol.analysis.recipe.design == "distilled"
    assert len(protocol.analysis.recipe.candidate) == 3
