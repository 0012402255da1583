"""The progress of a run: successes of every arm, always with their interval."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vla_eval.drawing.bar import Bar
from vla_eval.record import EpisodeRecord
from vla_eval.stats import wilson_interval

__all__ = ["Progress"]


class Progress:
    """Counts episodes, and shows the successes and the number of episodes of every arm."""

    def __init__(self, total: int, arms: Sequence[str], *, quiet: bool = False) -> None:
        self._counts = dict.fromkeys(arms, (0, 0))
        self._bar = Bar(total, "ep", quiet=quiet)
        self.ended = 0

    def record(self, record: EpisodeRecord) -> None:
        """Count an attempt; errors do not move the bar."""
        if record.outcome == "error":
            return
        successes, n = self._counts[record.arm]
        self._counts[record.arm] = (successes + int(record.outcome == "success"), n + 1)
        self.ended += 1
        self._bar.show(self.ended, f"{self.ended}/{self._bar.total} episodes", self._status)

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        self._bar.say(sentence)

    def _status(self) -> str:
        parts = []
        for arm, (successes, n) in self._counts.items():
            low, high = wilson_interval(successes, n)
            parts.append(f"{arm} {successes}/{n} [{low:.2f}, {high:.2f}]")
        return " · ".join(parts)

    def __enter__(self) -> Self:
        """Use the progress in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.__exit__(kind, value, traceback)
