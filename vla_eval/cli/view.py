"""``vlaeval view``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from vla_eval.cli.common import OptionalWorkers, say
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.view.live import LiveRuns
    from vla_eval.view.studio import Studio

__all__ = ["view"]


def view(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    *,
    export: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    render: Literal["discordant", "failures", "all"] | None = None,
    size: Annotated[int | None, tyro.conf.arg(metavar="PX")] = None,
    side: bool = False,
    workers: OptionalWorkers = None,
    port: int = 0,
    trust: bool = False,
) -> int:
    """Look at the episodes of a run in a browser: all arms side by side, in step, with their actions.

    Example: vlaeval view runs/quickstart

    Example: vlaeval view runs/quickstart --render discordant --export seen

    Prints the address of a page on this machine and serves it until Ctrl-C; the run may still be going
    on. Videos are made from the stored actions when an episode is opened, without the policy, and kept
    in RUN/media. With --export, writes a folder whose index.html opens without a server.

    Args:
        runs: Run folders: one run, its shards, or several runs whose episodes are to be compared.
        export: Write the page into this new folder, with the videos that are there, and end.
        render: Make videos first: of the episodes in which the arms differ, of those in which an arm
            fails, or of all.
        size: Height of a camera's picture in the videos; default: as the policies saw it.
        side: Add the environment's own view, from the side, to the cameras; it takes twenty times as long.
        workers: Processes that make videos; default: the cores of this machine.
        port: Port of the page; 0: any free one.
        trust: Run environments that the folder names and no installed package provides; see
            docs/trust.md.
    """
    from vla_eval.cli.films import make_films
    from vla_eval.cores import usable_cores
    from vla_eval.view.films import FilmStyle
    from vla_eval.view.live import LiveRuns
    from vla_eval.view.studio import Studio, chosen

    if size is not None and not 64 <= size <= 1024:
        raise UsageError(f"--size {size}: a picture has a height of 64 to 1024 pixels")
    if workers is not None and workers < 1:
        raise UsageError("--workers: at least one process is needed")
    style = FilmStyle(size, side)
    live = LiveRuns(runs, style)
    with Studio(workers=workers or usable_cores(), style=style, trust=trust) as studio:
        if render is not None:
            make_films(studio, chosen(live.runs, render))
        if export is not None:
            from vla_eval.view.export import export_page

            export_page(live, export)
            say(f"page: {export / 'index.html'}")
            return EXIT_COMPLETE
        return _serve(live, studio, port)


def _serve(live: LiveRuns, studio: Studio, port: int) -> int:
    from vla_eval.view.server import Viewer, ViewerServer

    with ViewerServer(Viewer(live, studio), port=port) as server:
        say(f"{server.url}")
        say("the page is on this machine only, until Ctrl-C; see docs/viewer.md", file=sys.stderr)
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended", file=sys.stderr)
    return EXIT_COMPLETE
