"""The command line of both toys."""

from __future__ import annotations

import argparse
from typing import NamedTuple

from vla_eval.errors import EXIT_USAGE, UsageError
from vla_eval_policies.methods import Method, make_method

__all__ = ["Command", "read_command"]


class Command(NamedTuple):
    """What to train and evaluate."""

    name: str
    """Name of the method, as typed."""
    method: Method
    nfe: int
    seed: int
    steps: int


def read_command(doc: str, *, steps: int) -> Command:
    """Read a toy's arguments; bad ones end the program with a sentence and exit code 4.

    Args:
        doc: the toy's docstring, which ``--help`` shows.
        steps: of training, by default.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", help="fm, snapflow, meanflow, shortcut, drift, mse, a preset …")
    parser.add_argument("--nfe", type=int, help="passes of the network (the method's own number)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=steps, help=f"of training ({steps})")
    chosen = parser.parse_args()
    if chosen.steps < 1:
        parser.exit(EXIT_USAGE, f"error: --steps {chosen.steps}: at least one step is needed\n")
    try:
        method = make_method(chosen.method)
        nfe = method.default_nfe if chosen.nfe is None else chosen.nfe
        method.check_nfe(nfe)
    except UsageError as error:
        parser.exit(EXIT_USAGE, f"error: {error}\n")
    return Command(chosen.method, method, nfe, chosen.seed, chosen.steps)
