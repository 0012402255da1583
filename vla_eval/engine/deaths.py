"""How often a process may die before the run ends."""

from __future__ import annotations

from collections import Counter

from vla_eval.errors import InfrastructureError

__all__ = ["IN_A_ROW", "Deaths"]

IN_A_ROW = 8
"""So many deaths of one process in a row, with nothing achieved in between, end the run."""


class Deaths:
    """Counts the deaths of each process since it last did something useful, by its name."""

    def __init__(self) -> None:
        self._of: dict[str, Counter[str]] = {}

    def note(self, who: str, how: str, before: str) -> None:
        """Count a death that no episode is charged with.

        Args:
            who: the process, as a message names it.
            how: what happened to it.
            before: what it has not achieved since the first of these deaths.

        Raises:
            InfrastructureError: it died too often; the message says who, how and how often.
        """
        deaths = self._of.setdefault(who, Counter())
        deaths[how] += 1
        if deaths.total() >= IN_A_ROW:
            ways = ", ".join(f"{each} × {times}" for each, times in deaths.items())
            raise InfrastructureError(
                f"{who} failed {IN_A_ROW} times in a row before {before}: {ways}; see the messages "
                "above, and try: vlaeval doctor"
            )

    def forget(self, who: str) -> None:
        """Begin to count anew: it did what it is for."""
        self._of.pop(who, None)
