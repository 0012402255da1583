"""AllenAI's protocol: our client with our server, and with one that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fakes.servers import misbehaving, serving
from vla_eval.chunks import check_chunk
from vla_eval.errors import InvalidActionError, PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import WireError

ONE = np.ones(7, np.float32)
KEY = EpisodeKey("libero_spatial", "3", 7, 0, 5)


def context(index: int, key: EpisodeKey = KEY) -> Context:
    return Context(key, index, index, "move", -ONE, ONE)


def observation(rotation=(0.1, 0.2, 0.3)) -> dict:
    pixels = {name: np.full((8, 8, 3), 9, np.uint8) for name in ("agentview", "wrist")}
    state = np.array([0, 0, 0, *rotation, 0, 0], np.float32)
    return {"pixels": pixels, "agent_pos": state}


def test_our_client_with_our_server():
    """One action a step, a chunk at a time, and each episode from the beginning."""
    local = build_policy("random?chunk_size=3")
    chunks = [local.infer([{}], [context(index)])[0].actions for index in range(2)]
    expected = np.concatenate(chunks)[:5]
    expected[:, 6] = np.where(expected[:, 6] < 0, -1, 1)
    with serving("random?chunk_size=3", "--dialect", "harness", "--seed", "5") as said:
        policy = build_policy(f"harness:{said['url']}")
        assert policy.metadata.name == "random"
        assert '"weights_sha256"' in policy.metadata.options["server"]
        policy.warm_up([observation()], [context(0)])
        for _ in range(2):
            got = [policy.infer([observation()], [context(index)])[0] for index in range(5)]
            assert np.array_equal(np.concatenate([each.actions for each in got]), expected)
            policy.end_episode(KEY, "success")


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    with misbehaving(script="bad_harness.py") as url:
        yield url


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("start", "the server reports: episode_start_failed"),
        ("seq", r"the server answered message \d+ when \d+ was asked"),
        ("empty", "a message 'action' with .* came, no action"),
    ],
)
def test_a_stream_that_is_off_by_one_is_cut(bad, fault, sentence):
    """What their client takes for the next answer ends the attempt here."""
    policy = build_policy(f"harness:{bad}/{fault}")
    with pytest.raises(WireError, match=sentence):
        policy.infer([observation()], [context(0)])


def test_another_version_and_unknown_wishes_are_refused(bad):
    """Before the first episode; a wish may be ignored knowingly."""
    with pytest.raises(WireError, match="speaks version 2"):
        build_policy(f"harness:{bad}/version")
    with pytest.raises(PolicySpecError, match=r"'send_depth: True'.*add \?ignore=send_depth"):
        build_policy(f"harness:{bad}/unknown")
    assert build_policy(f"harness:{bad}/unknown?ignore=send_depth").metadata.name == "Bad"
    policy = build_policy(f"harness:{bad}/absolute")
    with pytest.raises(PolicySpecError, match="answers with poses"):
        policy.infer([observation()], [context(0)])


def test_nan_is_the_policy_s_failure_here_too(bad):
    """Also in the gripper, which would otherwise become a closed one."""
    policy = build_policy(f"harness:{bad}/nan")
    (chunk,) = policy.infer([observation()], [context(0)])
    assert np.isnan(chunk.actions).all()
    with pytest.raises(InvalidActionError):
        check_chunk(chunk, -ONE)


def test_words_are_the_policy_s_failure_here_too(bad):
    """They reach the check of actions as they are, the gripper untouched."""
    (chunk,) = build_policy(f"harness:{bad}/words").infer([observation()], [context(0)])
    with pytest.raises(InvalidActionError, match="expected float32"):
        check_chunk(chunk, -ONE)


def test_the_server_s_wishes(bad):
    """State only where it is asked for, folded as their benchmark folds it; its seeds are noted."""
    policy = build_policy(f"harness:{bad}/wants")
    turned = np.array([0.0, 0.0, 4.0])  # rad; the same rotation is 4 − 2π about the same axis
    (chunk,) = policy.infer([observation(turned)], [context(0)])
    assert np.allclose(chunk.actions[0, :3], [0, 0, 4 - 2 * np.pi])
    (chunk,) = policy.infer([observation()], [context(1)])
    assert np.allclose(chunk.actions[0, :3], [0.1, 0.2, 0.3])
