"""trackio, the tracker of Hugging Face that keeps its runs on this machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from vla_eval.errors import MissingExtraError
from vla_eval.sinks.sink import Facts, Sink, take_options

__all__ = ["TrackioFactory"]


class TrackioFactory:
    """``trackio[:PROJECT]``; default project ``vla_eval``."""

    help = "trackio, local; open with: trackio show --project PROJECT; trackio[:PROJECT]"

    def __call__(self, target: str | None, options: Mapping[str, str], facts: Facts) -> Sink:
        """Begin a run; an earlier one of the same name is replaced."""
        take_options("trackio", options, ())
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # it stays on this machine
        try:
            with contextlib.redirect_stdout(sys.stderr):
                import trackio
                from trackio.sqlite_storage import SQLiteStorage
        except ImportError:
            raise MissingExtraError("trackio", "trackio") from None
        project, name = target or "vla_eval", f"{facts.arm}-{facts.identity[:6]}"
        with contextlib.redirect_stdout(sys.stderr):  # it prints an address with a write token
            if name in SQLiteStorage.get_runs(project):
                SQLiteStorage.delete_run(project, name)
            run = trackio.init(
                project,
                name,
                facts.group,
                config=dict(facts.config),
                embed=False,
                auto_log_gpu=False,
            )
        return _Trackio(trackio, run)


class _Trackio:
    def __init__(self, trackio: Any, run: Any) -> None:
        self._trackio, self._run = trackio, run

    def point(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def finish(self, facts: Facts) -> None:
        step = facts.points[-1][0]
        shown: dict[str, Any] = {
            table.name: self._trackio.Table(
                columns=list(table.columns), data=[list(row) for row in table.rows]
            )
            for table in facts.tables
        }
        shown["report"] = self._trackio.Markdown(f"```\n{facts.report}\n```")
        shown |= {
            f"failures/{video.stem}": self._trackio.Video(str(video)) for video in facts.videos
        }
        self._run.log(shown, step=step)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._run.finish()
