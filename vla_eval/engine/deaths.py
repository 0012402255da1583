"""Counts deaths of processes, and ends the run after too many."""

from __future__ import annotations

from collections import Counter

from vla_eval.errors import InfrastructureError

__all__ = ["IN_A_ROW", "Deaths"]

IN_A_ROW = 8
"""Number of deaths of one process in a row, without progress in between, that end the run."""


class Deaths:
    """Counts the deaths of each process, by its name, since its last progress."""

    def __init__(self) -> None:
        self._of: dict[str, Counter[str]] = {}

    def note(self, who: str, how: str, before: str) -> None:
        """Count a death that is not charged to an episode.

        Args:
            who: name of the process in messages.
            how: the way it died.
            before: the progress that it has not made since the first of these deaths.

        Raises:
            InfrastructureError: the process died too often; the message says how, and how often.
        """
        deaths = self._of.setdefault(who, Counter())
        deaths[how] += 1
        if deaths.total() >= IN_A_ROW:
            ways = ", ".join(f"{way} × {times}" for way, times in deaths.items())
            raise InfrastructureError(
                f"{who} failed {IN_A_ROW} times in a row before {before}: {ways}; see the messages "
                "above, and try: vlaeval doctor"
            )

    def forget(self, who: str) -> None:
        """Reset the count of a process that made progress."""
        self._of.pop(who, None)
