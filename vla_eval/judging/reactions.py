"""Reaction times: how long after an event in the scene the first action came that could answer it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from vla_eval.record import EpisodeRecord

__all__ = ["REACTION_HEAD", "Reactions", "reactions_of"]

REACTION_HEAD = ("event", "episodes", "answered", "reaction", "from", "to")
"""Head of the columns of `Reactions.cells`, behind the name of the event."""


@dataclass(frozen=True)
class Reactions:
    """Reactions of one arm to one kind of event; ticks are control steps.

    A reaction time runs from the first observation that can show the event to the first action of an
    inference that saw such an observation. An episode that ended before has none.
    """

    episodes: int
    """Number of episodes in which the event happened."""
    answered: int
    mean_ticks: float | None
    """None without an answer; the same for the two below."""
    min_ticks: int | None
    max_ticks: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return asdict(self)

    def cells(self) -> list[str]:
        """Return the columns of `REACTION_HEAD`, without the event's name."""
        mean = "-" if self.mean_ticks is None else f"{self.mean_ticks:.1f}"
        ends = ["-" if end is None else str(end) for end in (self.min_ticks, self.max_ticks)]
        return [str(self.episodes), str(self.answered), mean, *ends]


def reactions_of(records: Iterable[EpisodeRecord]) -> dict[str, Reactions]:
    """Return the reactions of an arm's results by event; empty if nothing was done to the scenes."""
    times: dict[str, list[int | None]] = {}
    for record in records:
        for name, event in (record.events or {}).items():
            answered = event.answered
            times.setdefault(name, []).append(None if answered is None else answered - event.shown)
    return {name: _reactions(each) for name, each in sorted(times.items())}


def _reactions(times: list[int | None]) -> Reactions:
    known = [time for time in times if time is not None]
    return Reactions(
        episodes=len(times),
        answered=len(known),
        mean_ticks=sum(known) / len(known) if known else None,
        min_ticks=min(known, default=None),
        max_ticks=max(known, default=None),
    )
