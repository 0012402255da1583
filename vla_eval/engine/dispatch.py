"""Decides which episode a free worker gets next."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence

from vla_eval.engine.messages import WorkItem
from vla_eval.keys import EpisodeKey, PlannedEpisode
from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import Records

__all__ = ["Dispatcher", "next_item", "pending_items"]


def pending_items(
    plan: Iterable[PlannedEpisode], arms: Sequence[str], records: Records
) -> list[WorkItem]:
    """Return the open items of a plan, the arms of one key next to each other.

    The order of the arms changes from key to key (by the key's hash), so that no arm always runs
    first: a drift of the machine then affects all arms alike.
    """
    return [
        next_item(arm, episode, records.errors.get((arm, episode.key), ()))
        for episode in plan
        for arm in _shuffled(arms, episode.key)
        if _is_open(records.final, arm, episode.key)
    ]


def next_item(arm: str, episode: PlannedEpisode, errors: Sequence[EpisodeRecord]) -> WorkItem:
    """Return the next attempt of an episode after attempts that ended in errors."""
    attempt = 1 + max((record.attempt for record in errors), default=0)
    raised = any(record.reason == "policy_error" for record in errors)
    return WorkItem(arm, episode, attempt, alone=raised)


def _is_open(
    final: Mapping[tuple[str, EpisodeKey], EpisodeRecord], arm: str, key: EpisodeKey
) -> bool:
    record = final.get((arm, key))
    return record is None or record.outcome == "error"


def _shuffled(arms: Sequence[str], key: EpisodeKey) -> list[str]:
    return sorted(arms, key=lambda arm: hashlib.sha256(f"{key}/{arm}".encode()).digest())


_TAIL = 3
"""With so many items a worker left, the longest come first, so that all workers end together."""


class Dispatcher:
    """Hands out items, and keeps each worker on one scene as long as there is work for it."""

    def __init__(self) -> None:
        self._queues: dict[object, deque[WorkItem]] = {}
        self._count = 0

    def add(self, items: Iterable[WorkItem]) -> None:
        """Add items at the end of the queues."""
        for item in items:
            self._queues.setdefault(item.episode.scene, deque()).append(item)
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def put_back(self, item: WorkItem) -> None:
        """Put an item back at the front of its scene's queue."""
        self._queues.setdefault(item.episode.scene, deque()).appendleft(item)
        self._count += 1

    def take(self, current: object, others: Sequence[object]) -> WorkItem | None:
        """Return the next item, or None when all are taken.

        Args:
            current: the scene that the asking worker has built, or None.
            others: the scenes that the other workers have built.
        """
        if not self._queues:
            return None
        if self._count <= _TAIL * (1 + len(others)):
            scene = self._longest(current)
        else:
            scene = current if current in self._queues else self._best_scene(others)
        queue = self._queues[scene]
        item = queue.popleft()
        self._count -= 1
        if not queue:
            del self._queues[scene]
        return item

    def _longest(self, current: object) -> object:
        """Return the scene with the longest time limit; the worker's own breaks ties, then plan order."""
        return max(self._queues, key=lambda scene: (self._limit(scene), scene == current))

    def _best_scene(self, others: Sequence[object]) -> object:
        """Return the scene with the most steps left for each worker on it; plan order breaks ties."""
        workers = Counter(others)

        def steps(scene: object) -> float:
            return self._limit(scene) * len(self._queues[scene]) / (1 + workers[scene])

        return max(self._queues, key=steps)

    def _limit(self, scene: object) -> int:
        return self._queues[scene][0].episode.max_steps
