"""Policies that continue queued actions: guided, and trained to."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fakes.flow import card, contexts, observations, save, small_network
from vla_eval.errors import PolicySpecError
from vla_eval.spec import build_policy
from vla_eval_policies.flow.checkpoint import save_checkpoint
from vla_eval_policies.methods import ExtraTime


@pytest.fixture
def checkpoint(tmp_path):
    return save(tmp_path / "fm.safetensors", "fm")


@pytest.fixture
def completing(tmp_path):
    """A checkpoint whose card says that it was trained with up to two known actions."""
    path = tmp_path / "prefix.safetensors"
    learned = card("fm").model_copy(update={"max_delay": 2})
    save_checkpoint(path, small_network(ExtraTime.NONE), learned)
    return path


def chunk(spec: str, left_over=None, delay: int = 0):
    (context,) = contexts(1)
    context = dataclasses.replace(context, left_over=left_over, expected_delay=delay)
    return build_policy(spec).infer(observations(1), [context])[0].actions


QUEUE = np.full((3, 3), 5.0, np.float32)
EMPTY = np.empty((0, 3), np.float32)


@pytest.mark.parametrize("option", ["rtc=linear", "rtc=exponential&beta=10"])
def test_guidance_pulls_towards_the_queue(checkpoint, option):
    """In absolute units, although chunks are relative to the new state; nothing queued: no guidance."""
    spec = f"flow:{checkpoint}?nfe=5"
    plain = chunk(spec)
    guided = chunk(f"{spec}&{option}", QUEUE, 1)
    assert np.abs(guided[0] - QUEUE[0]).max() < 0.5 * np.abs(plain[0] - QUEUE[0]).max()
    for nothing in (None, EMPTY):
        assert np.array_equal(chunk(f"{spec}&{option}", nothing, 1), plain)
    assert np.array_equal(chunk(f"{spec}&rtc=linear&beta=0", QUEUE, 1), plain)
    assert np.array_equal(chunk(spec, QUEUE, 1), plain)


def test_guidance_is_billed_and_named(checkpoint):
    """Three passes for each evaluation; without rtc the identity has no new entries."""
    guided = build_policy(f"flow:{checkpoint}?nfe=5&rtc=linear").metadata
    assert (guided.nfe, guided.passes) == (5, 15)
    assert (guided.options["rtc"], guided.options["beta"]) == ("linear", 5.0)
    assert set(build_policy(f"flow:{checkpoint}").metadata.options) == {
        "trained_with",
        "passes",
        "samples",
        "threads",
    }


def test_known_actions_are_returned_and_change_the_rest(completing):
    """The first min(n, d) actions are the queue's, bit for bit; the others depend on them."""
    plain = chunk(f"flow:{completing}?nfe=2")
    for nothing in (None, EMPTY):
        assert np.array_equal(chunk(f"flow:{completing}?nfe=2", nothing, 2), plain)
    continued = chunk(f"flow:{completing}?nfe=2", QUEUE, 2)
    assert np.array_equal(continued[:2], QUEUE[:2])
    assert np.abs(continued[2:] - plain[2:]).max() > 1e-4
    starved = chunk(f"flow:{completing}?nfe=2", QUEUE[:1], 2)
    assert np.array_equal(starved[:1], QUEUE[:1])
    assert not np.array_equal(starved[1], QUEUE[1])
    assert np.array_equal(chunk(f"flow:{completing}?nfe=2&naive=true", QUEUE, 2), plain)


def test_a_longer_delay_than_trained_is_refused(completing):
    """With the remedy; the same queue can be ignored."""
    with pytest.raises(PolicySpecError, match=r"trained to continue at most 2.*max_delay = 3"):
        chunk(f"flow:{completing}", QUEUE, 3)
    assert chunk(f"flow:{completing}?naive=true", QUEUE, 3).shape == (4, 3)


def test_the_card_says_it_only_if_it_was_trained(completing, checkpoint):
    """So older cards, and those of ordinary training, keep their bytes."""
    assert build_policy(f"flow:{completing}").metadata.options["max_delay"] == 2
    assert "max_delay" not in card("fm").model_dump_json()


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("fm", "rtc=linear&nfe=1", "several steps, not nfe=1"),
        ("fm", "beta=5", "add rtc=linear"),
        ("fm", "naive=true", "trained with max_delay"),
        ("snapflow", "rtc=linear", "add method=fm&nfe=10"),
    ],
)
def test_refusals(name, query, message, tmp_path):
    """What cannot be guided is refused in one sentence."""
    path = save(tmp_path / "x.safetensors", name)
    with pytest.raises(PolicySpecError, match=message):
        build_policy(f"flow:{path}?{query}")
