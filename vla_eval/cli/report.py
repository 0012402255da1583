"""``vlaeval report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.errors import EXIT_COMPLETE

__all__ = ["report"]


def report(
    dirs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="DIR...")],
    *,
    json: bool = False,
) -> int:
    """Show the results in a run folder: rates with intervals, paired tables, parts of the time.

    Example: vlaeval report runs/quickstart

    Several folders are read as shards of one run. The run may still be going on.

    Args:
        dirs: Run folders.
        json: Print for machines.
    """
    from vla_eval.errors import UsageError
    from vla_eval.summary.model import summarise
    from vla_eval.summary.text import report_text

    if not dirs:
        raise UsageError("which run? for example: vlaeval report runs/quickstart")
    summary = summarise(dirs)
    if json:
        print_json(summary.to_json())
    else:
        say(report_text(summary))
    return EXIT_COMPLETE
