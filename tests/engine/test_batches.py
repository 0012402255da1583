"""The loop of a policy host, one request at a time: what shares an inference, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from vla_eval.engine.batching import End, Infer, InferenceRequest, PolicyLoop, Trouble, WarmedUp
from vla_eval.engine.batching import WarmUp as WarmUpRequest
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import ActionChunk, Context

ONE = np.ones(2, dtype=np.float32)


class Sizes:
    """Notes how it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def infer(self, observations, contexts):
        assert len(observations) == len(contexts)
        self.asked.append(("infer", [context.key.init_state for context in contexts]))
        return [ActionChunk(ONE[None]) for _ in observations]

    def warm_up(self, observations, contexts):
        assert len(observations) == len(contexts)
        self.asked.append(("warm_up", len(observations)))

    def end_episode(self, key, outcome):
        self.asked.append(("end", (key.init_state, outcome)))


def context(state: int) -> Context:
    return Context(EpisodeKey("s", "t", state, 0, 0), 0, 0, "", -ONE, ONE)


def infer(state: int, *, alone: bool = False) -> Infer:
    return Infer({"agent_pos": ONE}, context(state), alone)


def served(policy, max_batch: int, *requests, wait_s: float = 0.0):
    """Return the answers by request and what the loop said, for requests that have already arrived."""
    answers: dict[int, object] = {}
    order: list[int] = []
    phases: list[tuple[str, list[int]]] = []

    def said(phase, when, members) -> None:
        phases.append((phase, list(members)))

    loop = PolicyLoop(policy, max_batch, wait_s, said=said)
    for number, what in enumerate(requests):

        def answer(found, number=number) -> None:
            answers[number] = found
            order.append(number)

        loop.requests.put(
            None if what is None else InferenceRequest(what, answer, member=10 + number)
        )
    loop.requests.put(None)
    loop.run()
    return answers, order, phases


@pytest.mark.parametrize(
    ("most", "batches"),
    [(1, [[0], [1], [2], [3], [4]]), (2, [[0, 1], [2, 3], [4]]), (5, [[0, 1, 2, 3, 4]])],
)
def test_a_batch_is_as_large_as_allowed(most, batches):
    """What has arrived is taken up to the largest batch; each chunk says how many shared it."""
    policy = Sizes()
    answers, order, phases = served(policy, most, *(infer(state) for state in range(5)))
    assert policy.asked == [("infer", batch) for batch in batches]
    assert order == [0, 1, 2, 3, 4]
    shares = [len(batch) for batch in batches for _ in batch]
    assert [answers[number].batch for number in range(5)] == shares
    assert phases == [
        (phase, [10 + number for number in batch])
        for batch in batches
        for phase in ("infer", "idle")
    ]


def test_what_is_not_shared_comes_after_the_batch():
    """An observation that is alone, a warm-up and an end do not join; they follow in their order."""
    policy = Sizes()
    key = context(7).key
    requests = (
        infer(0),
        infer(1, alone=True),
        WarmUpRequest({"agent_pos": ONE}, context(0)),
        End(key, "success"),
        infer(2),
    )
    answers, order, phases = served(policy, 8, *requests)
    assert policy.asked == [
        ("infer", [0, 2]),
        ("infer", [1]),
        ("warm_up", 8),
        ("end", (7, "success")),
    ]
    assert order == [0, 4, 1, 2, 3]
    assert [answers[number].batch for number in (0, 4, 1)] == [2, 2, 1]
    assert answers[2] == answers[3] == WarmedUp()
    assert phases[::2] == [
        ("infer", [10, 14]),
        ("infer", [11]),
        ("warm_up", [12]),
        ("end_episode", [13]),
    ]
    assert {phase for phase, _ in phases[1::2]} == {"idle"}


def test_an_end_of_the_loop_is_an_end():
    """Nothing is served that arrived after it."""
    policy = Sizes()
    answers, _, _ = served(policy, 8, infer(0), None, infer(1))
    assert sorted(answers) == [0]
    assert policy.asked == [("infer", [0])]


def test_a_kind_of_observation_is_warmed_up_once():
    """Again for another shape."""
    policy = Sizes()
    same, other = (WarmUpRequest({"agent_pos": np.zeros(size)}, context(0)) for size in (2, 3))
    served(policy, 4, same, same, other, same)
    assert policy.asked == [("warm_up", 4)] * 2


def test_a_fault_answers_everybody_who_shared_it():
    """A fault of use is told from others; the loop goes on."""

    class Failing(Sizes):
        def infer(self, observations, contexts):
            if contexts[0].key.init_state == 0:
                raise ValueError("broken")
            if contexts[0].key.init_state == 2:
                raise UsageError("not so")
            return super().infer(observations, contexts)

    answers, _, _ = served(Failing(), 2, *(infer(state) for state in range(5)))
    assert answers[0] == answers[1] == Trouble("ValueError: broken")
    assert answers[2] == answers[3] == Trouble("not so", usage=True)
    assert answers[4].batch == 1
