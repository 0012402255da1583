"""What a policy returned: the bounds of its counts and times, from both sides, and its actions."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval.chunks import check_chunk, check_reply
from vla_eval.errors import InvalidActionError
from vla_eval.policy import ActionChunk

ONE = np.zeros((1, 2), np.float32)
MOST = 10**9


def chunk(**changes) -> ActionChunk:
    return ActionChunk(ONE, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nfe": MOST, "prefix_ms": float(MOST), "denoise_ms": float(MOST)},
        {"counts": {"a": 0, "b": MOST}},
    ],
)
def test_bounds_are_within(changes):
    """Nothing at all, and the largest that is believed; a tuple is as good as a list."""
    reply = (chunk(**changes),)
    assert check_reply(reply, 1) == list(reply)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nfe": -1}, "nfe=-1"),
        ({"nfe": MOST + 1}, f"nfe={MOST + 1}"),
        ({"prefix_ms": -0.5}, r"times \(-0.5, 0.0\) ms"),
        ({"denoise_ms": MOST + 1}, "times"),
        ({"denoise_ms": float("nan")}, "times"),
        ({"counts": {"a": 1, "b": -1}}, "'b' as -1"),
        ({"counts": {"b": MOST + 1}}, "'b' as"),
        ({"counts": {"b": True}}, "'b' as True"),
        ({"counts": {"b": 1.0}}, "'b' as 1.0"),
    ],
)
def test_beyond_them_is_refused(changes, message):
    """One step further, in one of several chunks, with the number in the sentence."""
    with pytest.raises(ValueError, match=message):
        check_reply([chunk(), chunk(**changes)], 2)


@pytest.mark.parametrize("reply", [None, 7, {"a": chunk()}, [ONE], [chunk(), ONE], iter([chunk()])])
def test_what_is_no_list_of_chunks_is_refused(reply):
    """Neither is a list in which one of them is something else."""
    with pytest.raises(TypeError, match="expected a list of 2 ActionChunk"):
        check_reply(reply, 2)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_chunks_as_observations(count):
    """One too few, one too many."""
    with pytest.raises(ValueError, match=f"returned {count} chunks for 2 observations"):
        check_reply([chunk()] * count, 2)


def test_whole_numbers_are_actions():
    """A single action of integers becomes float32."""
    actions = check_chunk(ActionChunk(np.array([[1, -2]])), np.zeros(2, np.float32))
    assert actions.dtype == np.float32
    assert actions.tolist() == [[1.0, -2.0]]


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([[True, False]]), "type bool"),
        ([[1.0, 2.0], [3.0]], "no rectangular array"),
        (np.array([[0.0, 1.0], [np.inf, np.nan]]), "action 1 of the chunk has inf in dimension 0"),
        (np.zeros((1, 1, 2)), r"shape \(1, 1, 2\)"),
        (np.zeros((1, 2, 2)), r"shape \(1, 2, 2\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.zeros((2, 1)), r"shape \(2, 1\)"),
    ],
)
def test_no_other_actions_are_taken(actions, message):
    """The first entry that is wrong is named."""
    with pytest.raises(InvalidActionError, match=message):
        check_chunk(ActionChunk(actions), np.zeros(2, np.float32))
