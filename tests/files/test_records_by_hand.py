"""Numbers of a record that are kept in eight bytes each are like a tuple's."""

from __future__ import annotations

from vla_eval.record import Timing


def times(*values: float):
    return Timing(started_at="2026-01-01T10:00:00+00:00", infer_ms=values).infer_ms


def test_times_compare_as_tuples_do():
    """Equal to the same numbers in any sequence, and to nothing else."""
    found = times(1.0, 2.5)
    assert found == times(1.0, 2.5)
    assert found == (1.0, 2.5)
    assert found == [1.0, 2.5]
    assert hash(found) == hash((1.0, 2.5))
    for other in (times(1.0), times(2.5, 1.0), (1.0,), [1.0, 2.0], {1.0, 2.5}, "12", None):
        assert found != other
    assert times() == ()
