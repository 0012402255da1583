"""Progress on stderr: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Self

from tqdm import tqdm

from vla_eval.files.plain import printable
from vla_eval.record import EpisodeRecord
from vla_eval.stats import wilson_interval

__all__ = ["Progress"]

_LOG_EVERY_S = 30.0


class Progress:
    """Counts episodes, and shows successes/n with the interval, never a bare rate."""

    def __init__(self, total: int, arms: Sequence[str], *, quiet: bool = False) -> None:
        self._counts = dict.fromkeys(arms, (0, 0))
        self._total = total
        self._quiet = quiet
        self._last_line = monotonic()
        self.ended = 0
        self._bar = tqdm(
            total=total,
            unit="ep",
            dynamic_ncols=True,
            disable=quiet or not sys.stderr.isatty(),
            smoothing=0.1,
        )

    def record(self, record: EpisodeRecord) -> None:
        """Count an attempt; errors do not move the bar."""
        if record.outcome == "error":
            return
        successes, n = self._counts[record.arm]
        self._counts[record.arm] = (successes + int(record.outcome == "success"), n + 1)
        self.ended += 1
        if not self._bar.disable:
            self._bar.set_postfix_str(self._status(), refresh=False)
            self._bar.update()
        elif not self._quiet and monotonic() - self._last_line > _LOG_EVERY_S:
            self._last_line = monotonic()
            self.say(f"{self.ended}/{self._total} episodes · {self._status()}")

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        tqdm.write(printable(sentence), file=sys.stderr)

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
        self._bar.close()
