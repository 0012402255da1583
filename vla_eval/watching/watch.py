"""Evaluates checkpoints as they appear, beside the training that writes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from filelock import FileLock, Timeout

from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError, VlaEvalError
from vla_eval.evaluation.evaluate import evaluate
from vla_eval.evaluation.states import States
from vla_eval.watching.curve import Curve, read_curve
from vla_eval.watching.held import VanishedError, hold, release
from vla_eval.watching.journal import Journal
from vla_eval.watching.layouts import Checkpoint, Readiness, find_checkpoints

__all__ = ["STOP_FILE", "Watch", "watch"]

STOP_FILE = "stop"
"""A file of this name in the output folder ends the watch after the present checkpoint."""
_MOST_TRIES = 5
_BACK_OFF_S = 60.0


@dataclass(frozen=True)
class Watch:
    """What is watched, and how each checkpoint is evaluated."""

    checkpoints: Path
    protocol: str
    out: Path
    policy: str = "lerobot:{checkpoint}"
    """Spec of a policy; ``{checkpoint}`` stands for the checkpoint's folder."""
    reference: str | None = None
    """Run folder, or spec of the reference, which is then evaluated once first."""
    episodes: int = 50
    workers: int | None = None
    states: States = "development"
    margin: float | None = None
    every: int = 1
    """Only steps that are multiples of it are evaluated."""
    newest_first: bool = False
    once: bool = False
    """End when no complete checkpoint is left."""
    idle_exit_s: float | None = None
    """End after so many seconds without a new checkpoint; None: never."""
    settle_s: float = 10.0
    ready_file: str | None = None
    poll_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a spec without a place for the checkpoint, and counts that cannot be."""
        if "{checkpoint}" not in self.policy:
            raise UsageError(
                f"--policy {self.policy}: has no {{checkpoint}}, the place of the checkpoint's folder; "
                "for example 'lerobot:{checkpoint}?nfe=1'"
            )
        if self.every < 1:
            raise UsageError(f"--every {self.every}: at least 1 is needed")


def watch(asked: Watch, say: Callable[[str], None]) -> Curve | None:
    """Evaluate each checkpoint once, in its own run folder ``step-…`` below the output folder.

    Args:
        asked: what to do.
        say: called with one sentence for each checkpoint.

    Returns:
        The curve of all evaluated checkpoints; None if there is none.

    Raises:
        UsageError: the request cannot be met, or another process watches into the same folder.
        InterruptedRunError: Ctrl-C; the same command continues.
    """
    asked.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(asked.out / ".watch.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"{asked.out}: another process watches into this folder; end it, or name another --out"
        ) from None
    try:
        return _Watcher(asked, say).run()
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted; the same command continues the watch") from None
    finally:
        lock.release(force=True)


class _Watcher:
    def __init__(self, asked: Watch, say: Callable[[str], None]) -> None:
        self._asked = asked
        self._say = say
        self._journal = Journal(asked.out / "watch.jsonl")
        self._ready = Readiness(asked.settle_s, asked.ready_file)
        self._reference = self._evaluated_reference()
        self._not_before: dict[int, float] = {}

    def run(self) -> Curve | None:
        """Evaluate until there is a reason to end."""
        asked, active_s = self._asked, monotonic()
        while not (asked.out / STOP_FILE).exists():
            waiting = [each for each in self._found() if self._is_open(each)]
            queue = [each for each in waiting if self._ready.is_ready(each)]
            now = [each for each in queue if monotonic() >= self._not_before.get(each.step, 0.0)]
            if now:
                self._evaluate(now[-1] if asked.newest_first else now[0])
                active_s = monotonic()
                continue
            idle_s = monotonic() - active_s
            if asked.once and not queue and (not waiting or idle_s > 2 * asked.settle_s + 1):
                break
            if asked.idle_exit_s is not None and idle_s > asked.idle_exit_s:
                break
            time.sleep(min(asked.poll_s, max(0.1, asked.settle_s)))
        self._skip_rest()
        return read_curve(asked.out, self._journal.of("done"))

    def _found(self) -> list[Checkpoint]:
        found = find_checkpoints(self._asked.checkpoints, ready_file=self._asked.ready_file)
        return [each for each in found if each.step % self._asked.every == 0]

    def _is_open(self, checkpoint: Checkpoint) -> bool:
        entry = self._journal.entries.get(checkpoint.step)
        if entry is None or entry.state in ("running", "skipped"):
            return True  # a watch that was killed left it
        return entry.state == "failed" and entry.tries < _MOST_TRIES

    def _evaluate(self, checkpoint: Checkpoint) -> None:
        asked, step = self._asked, checkpoint.step
        before = self._journal.entries.get(step)
        tries = 1 + (before.tries if before is not None else 0)
        place = asked.out / "checkpoints" / f"step-{step:09d}"
        try:
            held = hold(checkpoint.path, place)
        except VanishedError:
            self._journal.note(step, "vanished", why="deleted before it could be held")
            self._say(f"step {step}: was deleted before it could be evaluated")
            return
        self._journal.note(step, "running", tries=tries)
        try:
            found = evaluate(
                asked.policy.replace("{checkpoint}", str(held)),
                asked.protocol,
                out=asked.out,
                step=step,
                reference=self._reference,
                episodes=asked.episodes,
                workers=asked.workers,
                states=asked.states,
                margin=asked.margin,
                on_error="raise",
                stop_early=False,
            )
        except InterruptedRunError:
            raise
        except VlaEvalError as error:
            self._fail(step, tries, str(error))
            return
        if found.missing:
            self._fail(step, tries, f"{found.missing} episodes have errors only")
            return
        self._journal.note(step, "done", tries=tries)
        self._say(str(found))
        self._keep_best()

    def _fail(self, step: int, tries: int, why: str) -> None:
        self._not_before[step] = monotonic() + _BACK_OFF_S * 2 ** (tries - 1)
        self._journal.note(step, "failed", tries=tries, why=why)
        again = "tried again later" if tries < _MOST_TRIES else "given up"
        self._say(f"step {step}: failed ({why}); {again}")

    def _keep_best(self) -> None:
        """Let go of all held checkpoints but the best so far, which its trainer may delete."""
        curve = read_curve(self._asked.out, self._journal.of("done"))
        if curve is None:
            return
        for point in curve.points:
            if point.step != curve.best.step:
                release(self._asked.out / "checkpoints" / f"step-{point.step:09d}")

    def _skip_rest(self) -> None:
        """Write down which complete checkpoints were left out."""
        for each in self._found():
            entry = self._journal.entries.get(each.step)
            if entry is None or entry.state == "running":
                self._journal.note(each.step, "skipped", why="the watch ended first")

    def _evaluated_reference(self) -> Path | None:
        """Return the folder of the reference's run; run it if the reference is a spec."""
        asked = self._asked
        if asked.reference is None or (Path(asked.reference) / "run.json").exists():
            return None if asked.reference is None else Path(asked.reference)
        folder = asked.out / "reference"
        self._say(f"evaluating the reference {asked.reference} once")
        found = evaluate(
            asked.reference,
            asked.protocol,
            out=folder,
            episodes=asked.episodes,
            workers=asked.workers,
            states=asked.states,
            margin=asked.margin,
            on_error="raise",
        )
        self._say(f"reference: {found}")
        return folder
