"""The command line ``vlaeval``. Results go to stdout, progress and messages to stderr.

Exit codes: 0 complete, or the claim holds · 1 refuted · 2 interrupted, resumable ·
3 infrastructure or internal error · 4 usage or invalid input · 5 nothing to do · 6 inconclusive.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, Union

import tyro

from vla_eval.cli.audit import audit
from vla_eval.cli.bench import bench
from vla_eval.cli.board import board
from vla_eval.cli.certify import certify, verify
from vla_eval.cli.check import check
from vla_eval.cli.common import FULL, refused
from vla_eval.cli.compare import compare
from vla_eval.cli.completion import completion
from vla_eval.cli.doctor import doctor
from vla_eval.cli.help import describe, wrapped_help
from vla_eval.cli.latency import latency
from vla_eval.cli.listing import list_
from vla_eval.cli.log import log
from vla_eval.cli.plan import plan
from vla_eval.cli.power import power
from vla_eval.cli.protocol import protocol
from vla_eval.cli.publish import publish
from vla_eval.cli.quickstart import quickstart
from vla_eval.cli.record import record
from vla_eval.cli.register import register
from vla_eval.cli.replay import replay
from vla_eval.cli.report import report
from vla_eval.cli.run import run
from vla_eval.cli.serve import serve
from vla_eval.cli.stats import stats
from vla_eval.cli.streams import forgiving_streams
from vla_eval.cli.submit import submit
from vla_eval.cli.sweep import sweep
from vla_eval.cli.train import train
from vla_eval.cli.view import view
from vla_eval.cli.watch import watch
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UsageError,
    VlaEvalError,
)
from vla_eval.files.plain import printable

__all__ = ["main"]

_VERBS: dict[str, Callable[..., int]] = {
    "quickstart": quickstart,
    "register": register,
    "run": run,
    "submit": submit,
    "sweep": sweep,
    "report": report,
    "log": log,
    "watch": watch,
    "view": view,
    "certify": certify,
    "verify": verify,
    "check": check,
    "compare": compare,
    "publish": publish,
    "board": board,
    "audit": audit,
    "plan": plan,
    "stats": stats,
    "power": power,
    "serve": serve,
    "record": record,
    "train": train,
    "replay": replay,
    "bench": bench,
    "latency": latency,
    "list": list_,
    "protocol": protocol,
    "doctor": doctor,
    "completion": completion,
}

_DESCRIPTION = """Is this one-step policy as good as its ten-step teacher?

Runs policies under a fixed protocol on simulated robots, paired episode by episode, and reports
success rates and differences with intervals. Begin with: vlaeval quickstart
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if arguments == ["--version"]:
        print(f"vlaeval {version('vla-eval-suite')}")
        return EXIT_COMPLETE
    with forgiving_streams():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        return _dispatch(arguments)
    except VlaEvalError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:  # an error of the file system is no bug of vla_eval
        if os.environ.get("VLA_EVAL_DEBUG"):
            raise
        print(f"error: {printable(refused(error))}", file=sys.stderr)
        return EXIT_INFRASTRUCTURE if error.errno in FULL else EXIT_USAGE
    except Exception as error:
        if os.environ.get("VLA_EVAL_DEBUG"):
            raise
        print(
            f"internal error: {type(error).__name__}: {printable(str(error))}\n"
            "This is a bug in vla_eval; please report it with the output of the same command "
            "under VLA_EVAL_DEBUG=1.",
            file=sys.stderr,
        )
        return EXIT_INFRASTRUCTURE


def _dispatch(arguments: list[str]) -> int:
    asks_help = bool({"-h", "--help"} & set(arguments))
    with wrapped_help() if asks_help else contextlib.nullcontext():
        verb = _VERBS.get(arguments[0])
        if verb is not None:  # tyro builds the parser of this verb only
            describe(verb)
            return _parse(verb, arguments[1:], prog=f"vlaeval {arguments[0]}")
        if arguments[0] in ("-h", "--help"):
            return _parse(_verbs_in_brief(), arguments)
        return _parse(_verbs_in_full(), arguments)


def _verbs_in_full() -> Any:
    """Return the type of a command line that begins with any verb: for completion and for mistakes."""
    for function in _VERBS.values():
        describe(function)
    return _any_of(
        tyro.conf.subcommand(name=name, constructor=function) for name, function in _VERBS.items()
    )


class _Unread:
    """Stands for a verb in the list of verbs, which shows none of its options."""


def _verbs_in_brief() -> Any:
    """Return the type from which tyro prints the list of verbs, with the first line of each."""
    return _any_of(
        tyro.conf.subcommand(
            name=name,
            constructor=_Unread,
            description=(function.__doc__ or "").partition("\n")[0],
        )
        for name, function in _VERBS.items()
    )


def _any_of(subcommands: Iterable[Any]) -> Any:
    choices = tuple(Annotated[int, subcommand] for subcommand in subcommands)
    return Union[choices]  # noqa: UP007 - the members are known at run time only


def _parse(what: Any, arguments: list[str], *, prog: str = "vlaeval") -> int:
    try:
        result: Any = tyro.cli(
            what,
            prog=prog,
            description=_DESCRIPTION if prog == "vlaeval" else None,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
        )
    except ImportError as error:  # tyro's own, for the shells that it leaves to another package
        if "shtab" not in str(error):
            raise
        raise UsageError("completion is for bash and zsh: vlaeval completion bash|zsh") from None
    except SystemExit as stop:  # tyro's: 0 after --help, 2 after a usage error
        return EXIT_COMPLETE if stop.code in (0, None) else EXIT_USAGE
    return int(result)
