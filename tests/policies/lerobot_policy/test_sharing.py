"""Arms of one checkpoint share its loaded copy: less memory, the same bits."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import context, load, observation
from vla_eval.spec import shared_key_of

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_what_decides_the_loading_is_in_the_key():
    """Steps and horizons are not; device and type are."""
    keys = [
        shared_key_of(f"lerobot:x{options}")
        for options in ("", "?nfe=1", "?nfe=10&n_action_steps=5", "?dtype=bfloat16", "?device=cuda")
    ]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3
    assert shared_key_of("lerobot:y") != keys[0]


@pytest.mark.parametrize("kind", ["pi05", "smolvla"])
def test_one_and_ten_steps_share_a_copy_and_act_as_they_would_alone(tmp_path, kind):
    """The second build loads nothing; chunks and identities are those of policies built apart."""
    path = tmp_path / kind
    if kind == "pi05":
        builders.pi(path, builders.LIBERO, kind=kind)
    else:
        builders.smolvla(path, builders.LIBERO)
    options = ["nfe=1", "nfe=3"]

    def chunk(policy):
        return policy.infer([observation()], [context()])[0].actions

    apart = []
    for text in options:
        policy = load(path, text)
        apart.append((chunk(policy), policy.metadata))
        del policy
        gc.collect()
    one, three = (load(path, text) for text in options)
    assert one.loaded is three.loaded
    for policy in (one, three, one):
        expected, metadata = apart[0 if policy is one else 1]
        np.testing.assert_array_equal(chunk(policy), expected)
        assert policy.metadata == metadata
