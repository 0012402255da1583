"""The command line of a script: its docstring is its help, and bad input ends in one sentence."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn

from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INTERRUPTED,
    UsageError,
    VlaEvalError,
)
from vla_eval.files.plain import printable

__all__ = ["count", "parser", "run", "vlaeval"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; {self.prog} --help shows an example")


def parser(doc: str | None, *, measures: bool = False) -> argparse.ArgumentParser:
    """Return a parser of a script's arguments.

    Args:
        doc: the script's docstring, which ``--help`` shows as it stands.
        measures: whether there is an option ``--table``, with which nothing is measured.
    """
    made = _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if measures:
        made.add_argument(
            "--table", action="store_true", help="measure nothing; write the table of the results"
        )
    return made


def count(text: str) -> int:
    """Return a whole number of 1 or more, for an argument's ``type``."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call a script's ``main`` and exit: 0 or what it returns, 4 for bad input, as ``vlaeval`` does."""
    try:
        code = main()
    except VlaEvalError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(code)


def vlaeval(*arguments: str, allowed: tuple[int, ...] = (EXIT_COMPLETE,)) -> None:
    """Run the command ``vlaeval`` with this Python; exit with its code where that is not allowed.

    Args:
        arguments: what follows ``vlaeval``.
        allowed: exit codes after which the script goes on.
    """
    command = [sys.executable, "-m", "vlaeval_launcher", *arguments]
    code = subprocess.run(command, check=False).returncode
    if code not in allowed:
        print(f"stopped at: vlaeval {' '.join(arguments)} (it says why above)", file=sys.stderr)
        sys.exit(code)
