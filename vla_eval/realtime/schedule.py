"""The schedule of an episode: when an inference begins, and which action is executed in which tick.

One schedule covers every mode. They differ in when the next inference starts and in how its chunk is
merged with the queue, in nothing else. A tick is one control step; in each tick, in this order:

====== ================================================================================================
step   what happens
====== ================================================================================================
A      ``arrived``: the chunk in flight is delivered
B      ``starts``: the policy looks at the observation of this tick, and its chunk will arrive after
       ``delay`` ticks; with a delay of 0 step A follows at once
C      ``act``: the head of the queue is executed; with an empty queue the robot stalls
====== ================================================================================================

``paused`` evaluation is the blocking schedule with all delays 0.

A late chunk skips as many actions as were executed since its observation, not as many as ticks have
passed. The two differ exactly where the robot stalled; skipping by ticks would make an arm that stood
still jump into its plan.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from vla_eval.realtime.merges import Merge, Queued, replacing

__all__ = ["Schedule", "Tally"]


@dataclass
class Tally:
    """What a schedule counts; see :class:`~vla_eval.realtime.record.Realtime`."""

    delays: list[int] = field(default_factory=list)
    stalled_ticks: int = 0
    late: int = 0
    skipped: int = 0
    replaced: int = 0
    switches: int = 0
    ages: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Flight:
    number: int
    asked_at: int
    ready_at: int
    executed: int


class Schedule:
    """Ticks and chunks in, decisions out; knows neither environment nor policy nor clock.

    Args:
        horizon: s, actions of a chunk that are executed before its successor is due.
        asynchronous: whether the next inference starts while actions are still queued.
        expected_delay: ticks that an inference is expected to take, known beforehand.
        merge: what becomes of queued actions when a chunk arrives; asynchronous only.
    """

    def __init__(
        self,
        horizon: int,
        *,
        asynchronous: bool = False,
        expected_delay: int = 0,
        merge: Merge = replacing,
    ) -> None:
        self.asynchronous, self.expected_delay = asynchronous, expected_delay
        self._horizon, self._merge = horizon, merge
        self._queue: deque[Queued] = deque()
        self._flight: _Flight | None = None
        self._used = 0
        self._last_chunk: int | None = None
        self.tick = 0
        self.executed = 0
        """Policy actions executed so far; stalled ticks do not count."""
        self.asked = 0
        """Inferences begun so far."""
        self.stalled_in_a_row = 0
        self.tally = Tally()

    @property
    def in_flight(self) -> bool:
        """Whether an inference has begun and its chunk is not delivered."""
        return self._flight is not None

    @property
    def arrived(self) -> bool:
        """Step A: whether the chunk in flight is there in this tick."""
        return self._flight is not None and self._flight.ready_at <= self.tick

    @property
    def starts(self) -> bool:
        """Step B: whether an inference begins in this tick."""
        return self._flight is None and self._wait() <= 0

    @property
    def ticks_to_start(self) -> int:
        """Return a lower bound of the ticks until the next inference begins."""
        if self._flight is not None:
            return max(0, self._flight.ready_at - self.tick)
        return max(0, self._wait())

    def _wait(self) -> int:
        """Return the executed actions that are missing until the next inference begins."""
        queued = len(self._queue)
        if not self.asynchronous:
            return queued
        return min(self._horizon - self.expected_delay - self._used, queued - self.expected_delay)

    def queued(self) -> list[Any]:
        """Return the actions that are still queued, the next one first."""
        return [item.action for item in self._queue]

    def ask(self, delay: int) -> None:
        """Begin an inference whose chunk can be used from ``delay`` ticks on."""
        self._flight = _Flight(self.asked, self.tick, self.tick + delay, self.executed)
        self.asked += 1
        self.tally.delays.append(delay)

    def deliver(self, actions: Sequence[Any] | NDArray[Any]) -> None:
        """Merge the chunk that has arrived, (H, A), into the queue."""
        flight, self._flight = self._flight, None
        if flight is None:
            raise RuntimeError("no inference is in flight")
        self.tally.late += int(flight.number > 0 and self.stalled_in_a_row > 0)
        skip = min(self.executed - flight.executed, len(actions))
        self.tally.skipped += skip
        last = len(actions) if self.asynchronous else min(len(actions), skip + self._horizon)
        new = [
            Queued(actions[index], flight.number, flight.asked_at, index, (actions[index],))
            for index in range(skip, last)
        ]
        if not new:  # all of it is late: the queue goes on
            return
        self.tally.replaced += len(self._queue)
        self._queue = deque(self._merge(list(self._queue), new))
        self._used = 0

    def act(self) -> Queued | None:
        """Step C: return the action to execute in this tick, or None for a stalled tick."""
        item = self._queue.popleft() if self._queue else None
        if item is None:
            self.tally.stalled_ticks += 1
            self.stalled_in_a_row += 1
        else:
            self.executed += 1
            self._used += 1
            self.stalled_in_a_row = 0
            self.tally.ages[self.tick - item.asked_at] += 1
        self.tick += 1
        return item

    def switched(self, item: Queued) -> bool:
        """Return whether an executed action is the first of another chunk than its predecessor."""
        changed = self._last_chunk is not None and self._last_chunk != item.chunk
        self._last_chunk = item.chunk
        self.tally.switches += int(changed)
        return changed
