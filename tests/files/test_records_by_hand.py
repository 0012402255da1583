"""Numbers of a record: their bounds, what unsaid ones are, and tuples of eight bytes each."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from vla_eval.record import EpisodeRecord, Timing


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


SAID = {
    "arm": "a",
    "suite": "s",
    "task": "t",
    "init_state": 0,
    "env_seed": 0,
    "policy_seed": 0,
    "env_id": "e",
    "outcome": "failure",
    "protocol_sha256": "p",
    "policy_sha256": "q",
    "timing": {"started_at": "2026-01-01T10:00:00+00:00"},
}


def test_what_a_record_does_not_say_did_not_happen():
    """No score, step, inference or clipped action, and no time; one attempt, of a batch of one."""
    record = EpisodeRecord.model_validate(SAID)
    numbers = {
        name: value
        for name, value in record.model_dump().items()
        if isinstance(value, int | float) and name not in SAID
    }
    unsaid = {"score", "steps", "inferences", "nfe", "clipped_actions"}
    assert numbers == {**dict.fromkeys(unsaid, 0), "format": 2, "attempt": 1, "policy_known": True}
    times = record.timing.model_dump(exclude={"started_at"})
    assert {name: value for name, value in times.items() if value} == {"max_batch": 1}


@pytest.mark.parametrize(
    ("change", "bound"),
    [
        ({"steps": 2**53}, True),
        ({"steps": 2**53 + 1}, False),
        ({"steps": -(2**53)}, True),
        ({"steps": -(2**53) - 1}, False),
        ({"score": 1.0}, True),
        ({"score": 1.001}, False),
        ({"score": -0.001}, False),
        ({"attempt": 10**9}, True),
        ({"attempt": 10**9 + 1}, False),
        ({"attempt": 0}, False),
        ({"timing": SAID["timing"] | {"wall_s": 1e12}}, True),
        ({"timing": SAID["timing"] | {"wall_s": 1.001e12}}, False),
        ({"timing": SAID["timing"] | {"wall_s": -1e12}}, True),
        ({"timing": SAID["timing"] | {"wall_s": -1.001e12}}, False),
    ],
)
def test_numbers_of_a_record_have_bounds(change, bound):
    """Integers that every reader of JSON reads exactly, scores from 0 to 1, times that can be added."""
    if bound:
        EpisodeRecord.model_validate(SAID | change)
    else:
        with pytest.raises(ValidationError):
            EpisodeRecord.model_validate(SAID | change)
