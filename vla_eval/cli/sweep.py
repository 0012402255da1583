"""``vlaeval sweep``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import OptionalWorkers, print_json, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE

__all__ = ["sweep"]


def sweep(
    grid: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="GRID.toml")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    workers: OptionalWorkers = None,
    json: bool = False,
    trust: bool = False,
) -> int:
    """Run a grid of policies and settings, or continue it; print success in a table.

    Example: vlaeval sweep examples/sweeps/horizon.toml --out runs/horizon

    Every cell is an ordinary run folder inside DIR, for vlaeval report and vlaeval compare. The same
    command continues. DIR/sweep.md and DIR/sweep.csv hold the table; they grow with every cell. A grid
    with 'ticks', for protocols in virtual time, also draws success and time over the delay into
    DIR/ticks.svg. With a table [break_even] it says up to which delay one arm keeps up with another one,
    and from which delay on it does not, also in DIR/break-even.json.

    Args:
        grid: Protocol, axes and arms, see examples/sweeps/.
        out: Folder for the run folders.
        workers: Environments at a time; default one per usable core.
        json: Print the rows as JSON.
        trust: Run code that the file names and no installed package provides; see docs/trust.md.
    """
    from vla_eval.drawing.terminal import folded
    from vla_eval.sweep import (
        brackets,
        load_grid,
        run_grid,
        table_lines,
        table_rows,
        write_break_even,
        write_curves,
        write_tables,
    )
    from vla_eval.trust import foreign_code, need_trust

    cells, results = load_grid(grid), []
    foreign = [name for cell in cells for name in foreign_code(cell.protocol, cell.arms.values())]
    need_trust(str(grid), dict.fromkeys(foreign), trust=trust)
    for result in run_grid(cells, out, workers=workers, notify=_say):
        results.append(result)
        write_tables(results, out)
    found = brackets(results, out)
    for file in write_curves(results, out, found):
        say(f"curves: {file}", file=sys.stderr)
    compared = write_break_even(found, results, out)
    if json:
        print_json(table_rows(results))
    else:
        say("\n".join(table_lines(results)))
        if compared:
            say(folded(compared))
    complete = all(summary.complete for _, summary in results)
    return EXIT_COMPLETE if complete else EXIT_INFRASTRUCTURE


def _say(text: str) -> None:
    say(text, file=sys.stderr)
