"""The viewer's page as a folder of files that opens without a server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from vla_eval.errors import UsageError
from vla_eval.view.films import media_folder
from vla_eval.view.live import LiveRuns
from vla_eval.view.site import STATIC, data_script, details_script, linked_report, static_file

__all__ = ["export_page"]


def export_page(live: LiveRuns, folder: Path) -> None:
    """Write the page with the data of all episodes and the films that are there.

    Args:
        live: the runs.
        folder: a new or empty folder.

    Raises:
        UsageError: the folder is not empty, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not empty; name a new folder with --export")
    for name in ("episodes", "media"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in STATIC:
        (folder / name).write_bytes(static_file(name))
    overview = live.overview() | {"server": False}
    wanted = {arm["film_id"] for each in overview["episodes"] for arm in each["arms"] if arm}
    overview["films"] = [film for film in overview["films"] if film in wanted]
    (folder / "data.js").write_bytes(data_script(overview))
    for number, episode in enumerate(overview["episodes"]):
        if any(episode["arms"]):
            script = details_script(number, live.details(number))
            (folder / "episodes" / f"{number}.js").write_bytes(script)
    _copy_files(live, overview, folder)


def _copy_files(live: LiveRuns, overview: dict[str, Any], folder: Path) -> None:
    names = [f"{film}.{ending}" for film in overview["films"] for ending in ("mp4", "webp")]
    for number, run in enumerate(live.runs):
        copies = {media_folder(run.path) / name: folder / "media" / name for name in names}
        for file, copy in copies.items():
            if file.is_file():
                shutil.copyfile(file, copy)
        report = run.path / "report.html"
        if report.is_file():
            linked = linked_report(report.read_text(encoding="utf-8"), live.keys)
            (folder / f"report-{number}.html").write_bytes(linked)
