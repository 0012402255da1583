"""All errors that vla_eval raises on purpose.

::

    VlaEvalError                  root; carries the exit code of the command line
    ├── UsageError         (4)    the user's input cannot be used
    │   ├── ProtocolError         a protocol file: unknown key, wrong type, contradiction, edited release
    │   ├── PolicySpecError       a policy spec: unknown kind, unknown or badly typed option
    │   ├── RunFolderError        a run folder: other protocol, other policy, damaged record file
    │   └── MissingExtraError     an optional dependency is not installed
    ├── NothingToDoError   (5)    an empty shard
    ├── NotReproducedError (1)    an episode that was shown again differs from its record
    ├── InvalidActionError        the policy's failure: wrong shape, wrong type, not finite
    ├── InfrastructureError (3)   the machine's failure: simulator, GL, disk, a dead process
    │   ├── PolicyLostError       the process or server that holds the policy is gone
    │   └── PolicyTimeoutError    that process or server did not answer in time
    └── InterruptedRunError (2)   the run was stopped; the same command continues it

Messages give the fault, its place and the next step, in one or two sentences.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vla_eval.installed import install_command

__all__ = [
    "EXIT_COMPLETE",
    "EXIT_INCONCLUSIVE",
    "EXIT_INFRASTRUCTURE",
    "EXIT_INTERRUPTED",
    "EXIT_NOTHING_TO_DO",
    "EXIT_REFUTED",
    "EXIT_USAGE",
    "InfrastructureError",
    "InterruptedRunError",
    "InvalidActionError",
    "MissingExtraError",
    "NotReproducedError",
    "NothingToDoError",
    "PolicyLostError",
    "PolicySpecError",
    "PolicyTimeoutError",
    "ProtocolError",
    "RunFolderError",
    "UsageError",
    "VlaEvalError",
    "did_you_mean",
]

EXIT_COMPLETE = 0
EXIT_REFUTED = 1
EXIT_INTERRUPTED = 2
EXIT_INFRASTRUCTURE = 3
EXIT_USAGE = 4
EXIT_NOTHING_TO_DO = 5
EXIT_INCONCLUSIVE = 6


class VlaEvalError(Exception):
    """Root of all errors raised on purpose; ``exit_code`` is that of the command line."""

    exit_code = EXIT_INFRASTRUCTURE


class UsageError(VlaEvalError):
    """The request cannot be carried out as given."""

    exit_code = EXIT_USAGE


class ProtocolError(UsageError):
    """A protocol file is invalid, contradictory, unknown, or an edited release."""


class PolicySpecError(UsageError):
    """A policy spec names an unknown kind or option, or a value of the wrong type."""


class RunFolderError(UsageError):
    """A run folder belongs to something else or holds damaged records."""


class MissingExtraError(UsageError):
    """An optional dependency is missing; the message holds the install command."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the extra '{extra}', which is not installed; "
            f"run: {install_command(extra)}"
        )


class NothingToDoError(VlaEvalError):
    """The request contains no work."""

    exit_code = EXIT_NOTHING_TO_DO


class NotReproducedError(VlaEvalError):
    """An episode that was shown again from its actions differs from its record."""

    exit_code = EXIT_REFUTED


class InvalidActionError(VlaEvalError):
    """A policy returned an invalid action; scored as the policy's failure, with this reason."""


class InfrastructureError(VlaEvalError):
    """A simulator, renderer, disk or process failed; never scored as a policy's failure."""

    exit_code = EXIT_INFRASTRUCTURE


class PolicyLostError(InfrastructureError):
    """The process or server that holds the policy is gone, and with it the episode's state."""


class PolicyTimeoutError(InfrastructureError):
    """The process or server that holds the policy did not answer in time."""


class InterruptedRunError(VlaEvalError):
    """The run stopped before its plan was complete; the same command continues it."""

    exit_code = EXIT_INTERRUPTED


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, or a list of the known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""
