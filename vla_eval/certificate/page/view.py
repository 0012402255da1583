"""Data of the report beyond the certificate: single episodes, their order, their inferences."""

from __future__ import annotations

import base64
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from vla_eval.certificate import Evidence
from vla_eval.judging.timings import Floats
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord

__all__ = [
    "Discordant",
    "Order",
    "Span",
    "Strip",
    "Strips",
    "discordant",
    "reasons",
    "span",
]

_POSITIONS = 240
"""Most points of a line."""


@dataclass(frozen=True)
class Discordant:
    """An episode in which exactly one of two arms succeeded."""

    key: EpisodeKey
    winner: EpisodeRecord
    loser: EpisodeRecord


def discordant(evidence: Evidence) -> list[Discordant]:
    """Return the discordant episodes in the plan's order."""
    episodes = []
    for ours, theirs in evidence.pairing(evidence.roles.candidate, evidence.roles.reference).pairs:
        if ours.outcome != theirs.outcome:
            won = ours.outcome == "success"
            episodes.append(Discordant(ours.key, *((ours, theirs) if won else (theirs, ours))))
    return episodes


@dataclass(frozen=True)
class Strip:
    """Three pictures of one arm in one episode, side by side."""

    webp: bytes
    steps: tuple[int, int, int]
    """Number of control steps before each picture: the start, the decisive moment, the end."""

    @property
    def uri(self) -> str:
        """The pictures as an address that a page holds in itself."""
        return f"data:image/webp;base64,{base64.b64encode(self.webp).decode()}"


@dataclass(frozen=True)
class Strips:
    """Pictures of discordant episodes."""

    drawn: Mapping[tuple[str, str], Strip] = field(default_factory=dict)
    """By key, as text, and arm."""
    missing_because: str = ""
    """Reason if there are none; empty: none were asked for."""


@dataclass(frozen=True)
class Order:
    """One arm's episodes in the order in which they began."""

    successes: Floats
    """Outcomes, (n,): 1 or 0."""
    infer_ms: Floats
    """Median inference time of each episode without its first inference, (n,) in ms; NaN if none."""

    @classmethod
    def of(cls, records: Sequence[EpisodeRecord]) -> Order:
        """Sort the records by their start."""
        ordered = sorted(records, key=lambda record: (_began(record), str(record.key)))
        won = [float(record.outcome == "success") for record in ordered]
        inferences = [record.timing.infer_ms[1:] for record in ordered]
        medians = [statistics.median(times) if times else np.nan for times in inferences]
        return cls(np.array(won), np.array(medians))

    @property
    def window(self) -> int:
        """Number of episodes in the window of the running rate."""
        return max(1, min(len(self.successes), max(10, len(self.successes) // 8)))

    def _ends(self) -> npt.NDArray[np.int64]:
        """Return the ends of the drawn windows."""
        ends = np.arange(self.window, len(self.successes) + 1, dtype=np.int64)
        return ends[:: max(1, len(ends) // _POSITIONS)]

    def running_rate(self) -> tuple[Floats, Floats]:
        """Return positions (in episodes) and the success rate of the window that ends there."""
        sums = np.array([0.0, *accumulate(self.successes)])
        ends = self._ends()
        return ends.astype(np.float64), (sums[ends] - sums[ends - self.window]) / self.window

    def running_ms(self) -> tuple[Floats, Floats]:
        """Return positions and the median inference of the window that ends there."""
        ends = self._ends()
        windows = [self.infer_ms[end - self.window : end] for end in ends]
        windows = [window[~np.isnan(window)] for window in windows]
        medians = [float(np.median(window)) if window.size else np.nan for window in windows]
        return ends.astype(np.float64), np.array(medians)

    def halves(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (successes, episodes) of the first and of the second half."""
        middle = len(self.successes) // 2
        first, second = self.successes[:middle], self.successes[middle:]
        return (int(first.sum()), len(first)), (int(second.sum()), len(second))


def _began(record: EpisodeRecord) -> datetime:
    return datetime.fromisoformat(record.timing.started_at)


def reasons(records: Sequence[EpisodeRecord]) -> dict[str, int]:
    """Count the reasons of failures, the most frequent first."""
    counts = Counter(str(record.reason) for record in records if record.outcome == "failure")
    return dict(counts.most_common())


@dataclass(frozen=True)
class Span:
    """Time and machines of the episodes."""

    first: str
    last: str
    machines: tuple[str, ...]
    busy_s: float
    """Wall time of all episodes together."""


def span(evidence: Evidence) -> Span:
    """Return first and last start of an episode, and the machines' names."""
    records = evidence.records()
    ordered = sorted(records, key=_began)
    return Span(
        first=ordered[0].timing.started_at,
        last=ordered[-1].timing.started_at,
        machines=tuple(
            sorted({record.timing.machine for record in records if record.timing.machine})
        ),
        busy_s=sum(record.timing.wall_s for record in records),
    )
