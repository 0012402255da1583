"""Trackers beside a run: each in a process of its own, which reads the run folder.

So a tracker that raises, hangs or is offline cannot touch an episode: the run never waits for it, but for
a moment at its end.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO

from vla_eval.errors import VlaEvalError
from vla_eval.sinks.send import follow
from vla_eval.sinks.sink import find_factory

__all__ = ["followed"]

_PATIENCE_S = 20.0
"""Longest wait for all trackers at the end of a run."""


@contextmanager
def followed(
    run: Path,
    trackers: Sequence[str],
    say: Callable[[str], None],
    *,
    patience_s: float = _PATIENCE_S,
) -> Iterator[None]:
    """Send a run to trackers while the block works on it.

    Args:
        run: the run folder.
        trackers: ``NAME[:TARGET][?option=value&…]`` each.
        say: called with one sentence for each tracker that did not take everything.
        patience_s: longest wait for them at the end, in s.

    Raises:
        UsageError: a tracker has no such name; raised before the block begins.
    """
    for text in trackers:
        find_factory(text)
    started = [_Follower(run, text) for text in trackers]
    try:
        yield
    finally:
        for each in started:
            each.end()
        deadline = monotonic() + patience_s
        for each in started:
            if trouble := each.wait(max(0.0, deadline - monotonic())):
                say(
                    f"{each.text}: {trouble}; the run is complete without it, send it later: "
                    f"vlaeval log {run} --to '{each.text}'"
                )


class _Follower:
    """A process that follows one run for one tracker."""

    def __init__(self, run: Path, text: str) -> None:
        self.text = text
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by wait
        self._process = subprocess.Popen(
            [sys.executable, "-m", "vla_eval.sinks.live", str(run), text],
            stdin=subprocess.PIPE,
            stdout=self._errors,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for the run; the tracker then sends what there is
        )

    def end(self) -> None:
        """Tell it that the run has ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, seconds: float) -> str:
        """Wait for its end, and return what went wrong; empty if nothing did."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return "the tracker did not answer in time"
        finally:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self._errors.close()
        if code == 0:
            return ""
        return lines[-1] if lines else f"the tracker ended with exit code {code}"


def _main(run: Path, text: str) -> int:
    over = threading.Event()

    def listen() -> None:
        sys.stdin.buffer.read()  # until the run closes its end, or dies
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    try:
        follow(run, text, over.wait)
    except VlaEvalError as error:
        print(str(error), file=sys.stderr)  # noqa: T201 - the only way back to the run
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2]))
