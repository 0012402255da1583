"""What a sentence about an unknown name proposes."""

from __future__ import annotations

import pytest

from vla_eval.errors import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("snapflw", ["fm", "snapflow"], "; did you mean 'snapflow'?"),
        ("nothing", ["snapflow", "fm"], "; known: fm, snapflow"),
        ("nothing", [], ""),
    ],
)
def test_the_nearest_name_is_proposed_or_all_are_named(name, known, said):
    """Sorted; where nothing is known nothing is said."""
    assert did_you_mean(name, known) == said
