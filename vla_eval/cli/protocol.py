"""``vlaeval protocol``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_USAGE, ProtocolError, UsageError

__all__ = ["protocol"]


def protocol(
    what: tyro.conf.Positional[Literal["check"]],  # noqa: ARG001 - the only word that parses
    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="FILE...")],
    *,
    json: bool = False,
) -> int:
    """Check protocol files: valid, no edit of a released version, and a plan of at least one episode.

    Example: vlaeval protocol check examples/sweeps/one-step.protocol.toml

    Reads the files and the locks of released protocols, and imports no environment: for pre-commit hooks
    and CI. Every wrong file gets a sentence, and then the exit code is 4.

    Args:
        what: 'check' is the only action.
        files: Protocol files.
        json: Print for machines.
    """
    if not files:
        raise UsageError("which files? for example: vlaeval protocol check my.protocol.toml")
    rows, wrong = [], 0
    for file in files:
        try:
            rows.append(_checked(file))
        except ProtocolError as error:
            wrong += 1
            say(f"error: {error}", file=sys.stderr)
    if json:
        print_json(rows)
    else:
        for row in rows:
            say(
                f"{row['file']}: {row['protocol']}, {row['standing']}, {row['episodes']} episodes, "
                f"{row['sha256']}"
            )
    return EXIT_USAGE if wrong else EXIT_COMPLETE


def _checked(file: Path) -> dict[str, Any]:
    from vla_eval.plan import expand
    from vla_eval.released import load_protocol, standing

    name = str(file) if file.suffix == ".toml" else f"{file.parent}/{file.name}"
    content = load_protocol(name)
    return {
        "protocol": f"{content.protocol}@{content.version}",
        "standing": standing(content),
        "episodes": len(expand(content)),
        "sha256": content.sha256[:12],
        "file": str(file),
    }
