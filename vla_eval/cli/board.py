"""``vlaeval board``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_REFUTED, UsageError

__all__ = ["board"]


def board(
    packages: Annotated[
        tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PACKAGE...")
    ],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    alpha: float = 0.05,
    json: bool = False,
) -> int:
    r"""Build a static page of results from evidence packages, and refuse what cannot be verified.

    Example: vlaeval board runs/parity published/one-step --out board

    A package is a run folder with a certificate, or a folder that `vlaeval publish` wrote. Every
    certificate is recomputed from the records. Policies of one protocol are compared with each other;
    those that cannot be told apart share a letter. Equal packages give equal bytes.

    Exit code 0 when every package is on the board, 1 when one was refused.

    Args:
        packages: Evidence packages.
        out: A new folder, or an earlier board, whose pages are replaced.
        alpha: Chance of any false difference among all pairs of one protocol.
        json: Print for machines.
    """
    from vla_eval.board import build

    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha {alpha:g}: expected a level between 0 and 0.5")
    built = build(packages, alpha=alpha)
    built.write(out)
    for refusal in built.refusals:
        say(f"refused: {refusal.label}: {refusal.reason}", file=sys.stderr)
    if json:
        print_json(built.to_json())
    else:
        claims = sum(len(group.claims) for group in built.groups)
        say(f"board: {out / 'index.html'} ({claims} certificates, {len(built.groups)} protocols)")
    return EXIT_REFUTED if built.refusals else EXIT_COMPLETE
