"""Progress of a long job on stderr: a bar on a terminal, a line every 30 s in a log file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

from tqdm import tqdm

from vla_eval.files.plain import printable

__all__ = ["Bar"]

_LINE_EVERY_S = 30.0


class Bar:
    """A bar, to be used in a ``with`` statement.

    Args:
        total: the size of the job.
        unit: unit of the count, such as ``ep``.
        quiet: print only the sentences of :meth:`say`.
    """

    def __init__(self, total: int, unit: str, *, quiet: bool = False) -> None:
        self.total = total
        self._quiet = quiet
        self._last_line = monotonic()
        self._bar = tqdm(
            total=total,
            unit=unit,
            dynamic_ncols=True,
            disable=quiet or not sys.stderr.isatty(),
            smoothing=0.1,
        )

    def show(self, done: int, words: str, status: Callable[[], str]) -> None:
        """Show the progress.

        Args:
            done: the finished part of the total.
            words: the progress in words, for a log file, such as ``3/8 episodes``.
            status: called for further information when the progress is shown.
        """
        if not self._bar.disable:
            self._bar.set_postfix_str(status(), refresh=False)
            self._bar.update(done - self._bar.n)
        elif not self._quiet and monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = monotonic()
            self.say(f"{words} · {status()}")

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        tqdm.write(printable(sentence), file=sys.stderr)

    def __enter__(self) -> Self:
        """Use the bar in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self._bar.close()
