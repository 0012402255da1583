"""Differences of two JSON values: each place once, and numbers to a tolerance."""

from __future__ import annotations

import pytest

from vla_eval.files.differences import differences, name_differences


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1.0}, {"a": 1.0 + 1e-9}, []),
        ({"a": 1.0}, {"a": 1.1}, [("a", 1.0, 1.1)]),
        ({"a": 1.0}, {"a": "1.0"}, [("a", 1.0, "1.0")]),
        ({"a": 1.0}, {}, [("a", 1.0, None)]),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, [("a.1.b", 2, 3)]),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
    ],
)
def test_each_place_that_differs_is_named(left, right, found):
    """A number against something else differs, and a list of another length as a whole."""
    assert list(differences(left, right, tolerance=1e-6)) == found
    turned = [(path, theirs, ours) for path, ours, theirs in found]
    assert list(differences(right, left, tolerance=1e-6)) == turned


def test_three_places_are_named_and_the_others_counted():
    """A sentence stays one; a long value is cut."""
    left, right = (dict.fromkeys("abcde", value) for value in (1, 2))
    assert name_differences(left, right).endswith("c: 1 before, 2 now; and 2 more")
    assert len(name_differences({"a": "x" * 9_999}, {})) < 300
