"""Counts deaths of processes, and after too many ends the run, or the use of a node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vla_eval.errors import InfrastructureError

__all__ = ["IN_A_ROW", "ON_A_NODE", "Deaths", "Nodes", "refuse_futile"]

IN_A_ROW = 8
"""Number of deaths of one process in a row, without progress in between, that end the run."""

ON_A_NODE = 3
"""Number of processes lost on one node in a row, without an episode that ended there, that put it out of use."""

FUTILE_EPISODES = 3
"""Number of episodes lost to errors that ends a run in which no other episode has ended."""


def refuse_futile(given_up: int, raised: int, why: str) -> None:
    """End a run in which every episode so far ended in errors.

    Args:
        given_up: number of episodes that were given up.
        raised: number of episodes that an exception of the policy ended.
        why: the last of these errors.

    Raises:
        InfrastructureError: there are enough of them to say so.
    """
    count = given_up + raised
    if count < FUTILE_EPISODES:
        return
    sentence = (
        f"the first {count} episodes all ended in errors, the last with: {why}; the run stopped"
    )
    if raised:
        raise InfrastructureError(
            f"{sentence} since the set-up may be wrong (a camera's name, for example): then fix it "
            f"and use a new folder, for here {raised} count as the policy's failures; if it "
            "is the policy, repeat the command to go on"
        )
    raise InfrastructureError(f"{sentence}, nothing was scored; fix it, then repeat the command")


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


class Nodes:
    """Counts the processes lost on each node of a cluster since an episode last ended there.

    A process on this machine has no node, so its name is empty, and nothing is counted.
    """

    def __init__(self) -> None:
        self._lost: Counter[str] = Counter()
        self.out: set[str] = set()
        """The nodes that are out of use for this run."""

    def lose(self, node: str, in_use: Iterable[str]) -> bool:
        """Count a loss; return whether it puts the node out of use.

        Args:
            node: where it was.
            in_use: the nodes of the run's processes; the last good one stays in use.
        """
        if not node or node in self.out:
            return False
        self._lost[node] += 1
        if self._lost[node] < ON_A_NODE or not set(in_use) - self.out - {node}:
            return False
        self.out.add(node)
        return True

    def forget(self, node: str) -> None:
        """Reset the count of a node on which an episode ended."""
        self._lost.pop(node, None)
