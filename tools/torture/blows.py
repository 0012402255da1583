"""Signals sent to a command, and the exit codes that are allowed after them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["Blow", "Command", "await_handlers", "expected_codes", "plan_of"]

_START_S = 30.0
_CHILDREN = 3
"""Two workers and a host."""


@dataclass(frozen=True)
class Blow:
    """One signal, or two of them, to one process of a run or to all."""

    kind: str
    """``SIGKILL``, ``SIGTERM`` and so on; ``SIGINT SIGINT`` for two; ``SIGSTOP`` ends with SIGCONT."""
    whom: str
    """``main``, ``child`` (any of them) or ``group`` (all, as a terminal does it)."""
    after_s: float
    """Since the last one."""
    gap_s: float = 0.0
    """Between two signals, or stopped for so long."""

    @property
    def ends(self) -> bool:
        """Whether the command ends with it."""
        return self.whom != "child" and self.kind != "SIGSTOP"

    @property
    def signals(self) -> list[signal.Signals]:
        """What is sent."""
        return [signal.Signals[each] for each in self.kind.split()]


def plan_of(dice: random.Random, *, kills: bool) -> list[Blow]:
    """Return the blows of one command: some that it survives, then one that it does not.

    At most seven before the last one: after eight deaths of the same process a run may give up.
    """
    blows = []
    for number in range(dice.randint(2, 7)):
        after_s = dice.uniform(0.0, 0.8 if number else 3.0)
        if kills:
            blows.append(Blow("SIGKILL", "child", after_s))
        else:
            whom = dice.choice(["main", "child"])
            blows.append(Blow("SIGSTOP", whom, after_s, dice.uniform(0.01, 0.3)))
    if dice.random() < 0.5:  # as it comes, and in every other command before anything else
        blows = blows[: dice.randint(0, 2)]
    after_s = dice.choice([dice.uniform(0.0, 0.6), dice.uniform(0.0, 3.0)])
    if kills:
        return [*blows, Blow("SIGKILL", "main", after_s)]
    kind = dice.choice(["SIGTERM", "SIGINT", "SIGHUP", "SIGINT SIGINT", "SIGTERM SIGTERM"])
    whom = dice.choice(["main", "group"])
    return [*blows, Blow(kind, whom, after_s, dice.uniform(0.0, 0.1))]


@dataclass
class Command:
    """One call of ``vlaeval``, and the signals that it got."""

    process: subprocess.Popen[str]
    sent: list[tuple[float, Blow]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    stderr: str = ""
    hung: bool = False

    def send(self, blow: Blow, dice: random.Random) -> int:
        """Strike; return how many signals were sent to a living process."""
        target = self._target(blow.whom, dice)
        if target is None:
            return 0
        self.sent.append((time.monotonic() - self.began, blow))
        strike = os.killpg if blow.whom == "group" else os.kill
        sent = 0
        with suppress(ProcessLookupError):
            for number in blow.signals:
                time.sleep(blow.gap_s if sent else 0.0)
                if self.process.poll() is None:
                    strike(target, number)
                    sent += 1
            if blow.kind == "SIGSTOP":
                time.sleep(blow.gap_s)
                strike(target, signal.SIGCONT)
        return sent

    def _target(self, whom: str, dice: random.Random) -> int | None:
        if self.process.poll() is not None:
            return None
        if whom != "child":
            return self.process.pid
        with suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children(recursive=True)
            own = [each.pid for each in children if not _is_tracker(each)]
            # While the host is the only one, it is often spared.
            place = dice.randrange(max(_CHILDREN, len(own)))
            return own[place] if place < len(own) else None
        return None

    def wait(self, limit_s: float) -> None:
        """Let it come to its end, or end it after the limit."""
        try:
            _, self.stderr = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.process.kill()
            _, self.stderr = self.process.communicate()


def _is_tracker(process: psutil.Process) -> bool:
    return "resource_tracker" in " ".join(process.cmdline())


def expected_codes(command: Command) -> set[int]:
    """Return the documented exit codes of a command after its signals.

    Any signal may have come too late: then the run is complete.
    """
    if not command.sent or not command.sent[-1][1].ends:
        return {0}
    return {0, -signal.SIGKILL if command.sent[-1][1].kind == "SIGKILL" else 2}


def await_handlers(process: subprocess.Popen[str]) -> None:
    """Return the time from which the command handles SIGTERM; before is Python's own start."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            if caught & 1 << (signal.SIGTERM - 1):
                return
        time.sleep(0.001)
