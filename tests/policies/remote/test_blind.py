"""Hidden keys on the wire: what is sent, and that a server of ours gives the same actions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fakes.servers import serving
from vla_eval.keys import BlindKey, EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import WireError, unpack
from vla_eval_policies.remote.connection import Connection
from vla_eval_policies.remote.extension import key_of

ONE = np.ones(7, np.float32)
OPEN = EpisodeKey("libero_spatial", "Zebra", 7001, 7002, 7003)
HIDDEN = BlindKey.of(OPEN, "c" * 64)
SECRETS = {"Zebra", 7001, 7002, 7003}
SPEC = "random?chunk_size=3"


def context(index: int, key: EpisodeKey | BlindKey) -> Context:
    return Context(key, index, index, "move", -ONE, ONE)


def observation() -> dict[str, Any]:
    pixels = {name: np.full((8, 8, 3), 9, np.uint8) for name in ("agentview", "wrist")}
    return {"pixels": pixels, "agent_pos": np.zeros(8, np.float32)}


def leaves(value: Any) -> Iterator[Any]:
    """Yield everything in a message, names of fields included; not the numbers of arrays."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif not isinstance(value, np.ndarray):
        yield value


@pytest.fixture
def sent(monkeypatch) -> list[Any]:
    """Everything that clients of this process send, as servers read it."""
    frames: list[Any] = []
    send = Connection.send

    def noting(self: Connection, frame: bytes, timeout_s: float) -> None:
        frames.append(unpack(frame))
        send(self, frame, timeout_s)

    monkeypatch.setattr(Connection, "send", noting)
    return frames


@pytest.mark.parametrize("dialect", ["openpi", "harness"])
def test_no_part_of_a_hidden_key_is_sent(sent, dialect):
    """Not in warming up, beginning, inferring or ending; of an open key every known part is."""
    with serving(SPEC, "--dialect", dialect) as said:
        policy = build_policy(f"{dialect}:{said['url']}")
        known = {"openpi": SECRETS, "harness": {"Zebra", 7001}}[dialect]
        for key, expected in ((OPEN, known), (HIDDEN, set())):
            sent.clear()
            policy.warm_up([observation()], [context(0, key)])
            policy.infer([observation()], [context(0, key)])
            policy.infer([observation()], [context(1, key)])
            policy.end_episode(key, "success")
            told = list(leaves(sent))
            assert len(sent) >= 5
            assert {each for each in told if each in SECRETS} == expected
            assert (HIDDEN.token in told) is (key is HIDDEN)
            names = {"task_id", "episode_idx", "init_state", "env_seed", "policy_seed"}
            assert bool(names & set(told)) is (key is OPEN)


def test_a_server_of_ours_gives_a_token_its_noise():
    """In both dialects the actions are those in process, episode by episode, interleaved."""
    other = BlindKey.of(EpisodeKey("libero_spatial", "Zebra", 7001, 7002, 7004), "c" * 64)
    local = build_policy(SPEC)
    expected = {
        key: local.infer([{}], [context(0, key)])[0].actions.copy() for key in (HIDDEN, other)
    }
    assert not np.array_equal(expected[HIDDEN], expected[other])
    with serving(SPEC) as said:
        policy = build_policy(f"openpi:{said['url']}")
        for key in (HIDDEN, other, HIDDEN):
            (chunk,) = policy.infer([observation()], [context(0, key)])
            assert np.array_equal(chunk.actions, expected[key])
    with serving(SPEC, "--dialect", "harness") as said:
        policy = build_policy(f"harness:{said['url']}")
        for index in range(3):
            for key, wanted in expected.items():
                (chunk,) = policy.infer([observation()], [context(index, key)])
                assert np.array_equal(chunk.actions[0, :6], wanted[index, :6])


def test_keys_of_two_clients_do_not_mix():
    """A served policy keeps a hidden episode of each connection apart, under the same noise."""
    from vla_eval_policies.remote.served import ServedPolicy

    first, second = (ServedPolicy.key(HIDDEN, session) for session in (1, 2))
    assert first != second
    assert len({first, second, HIDDEN}) == 3
    assert str(first) == str(second) == str(HIDDEN)
    draws = [each.generator(0).random() for each in (first, second, HIDDEN)]
    assert len(set(draws)) == 1


def test_what_is_no_key_is_refused():
    """Neither an open key nor suite and token."""
    assert key_of({"key": {"suite": "s", "token": "t"}}) == BlindKey("s", "t")
    for key in ({"token": "t"}, {"suite": "s"}, "t", None):
        with pytest.raises(WireError, match="an episode's key is expected"):
            key_of({"key": key})
