"""What the report shows beyond the certificate: single episodes, their order, their inferences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
    "discordant",
    "reasons",
    "span",
]

_POSITIONS = 240
"""Most points of a line."""


@dataclass(frozen=True)
class Discordant:
    """An episode in which one of two arms succeeded."""

    key: EpisodeKey
    winner: EpisodeRecord
    loser: EpisodeRecord


def discordant(evidence: Evidence) -> list[Discordant]:
    """Return the discordant episodes in the plan's order."""
    found = []
    for ours, theirs in evidence.pairing(evidence.roles.candidate, evidence.roles.reference).pairs:
        if ours.outcome != theirs.outcome:
            won = ours.outcome == "success"
            found.append(Discordant(ours.key, *((ours, theirs) if won else (theirs, ours))))
    return found


@dataclass(frozen=True)
class Order:
    """One arm's episodes in the order in which they began."""

    successes: Floats
    """(n,): 1 or 0."""
    infer_ms: Floats
    """(n,): the median inference of each episode but its first; NaN without."""

    @classmethod
    def of(cls, records: Sequence[EpisodeRecord]) -> Order:
        """Sort the records by their start."""
        ordered = sorted(records, key=lambda record: (_began(record), str(record.key)))
        won = [float(record.outcome == "success") for record in ordered]
        inferences = [record.timing.infer_ms[1:] for record in ordered]
        medians = [float(np.median(each)) if each else np.nan for each in inferences]
        return cls(np.array(won), np.array(medians))

    @property
    def window(self) -> int:
        """Over how many episodes the running rate is taken."""
        return max(1, min(len(self.successes), max(10, len(self.successes) // 8)))

    def _ends(self) -> npt.NDArray[np.int64]:
        """Return the ends of the windows that are drawn."""
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
        known = [self.infer_ms[end - self.window : end] for end in ends]
        known = [each[~np.isnan(each)] for each in known]
        medians = [float(np.median(each)) if each.size else np.nan for each in known]
        return ends.astype(np.float64), np.array(medians)

    def halves(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return (successes, episodes) of the first and of the second half."""
        middle = len(self.successes) // 2
        first, second = self.successes[:middle], self.successes[middle:]
        return (int(first.sum()), len(first)), (int(second.sum()), len(second))


def _began(record: EpisodeRecord) -> datetime:
    return datetime.fromisoformat(record.timing.started_at)


def reasons(records: Sequence[EpisodeRecord]) -> dict[str, int]:
    """Count why episodes failed, the most frequent first."""
    counts = Counter(str(record.reason) for record in records if record.outcome == "failure")
    return dict(counts.most_common())


@dataclass(frozen=True)
class Span:
    """When the episodes ran, and where."""

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
        machines=tuple(sorted({each.timing.machine for each in records if each.timing.machine})),
        busy_s=sum(record.timing.wall_s for record in records),
    )
