"""The files of the viewer's page, and what makes data into scripts that a page from the disk can read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import escape

from vla_eval.keys import EpisodeKey

__all__ = ["STATIC", "data_script", "details_script", "linked_report", "static_file"]

_HERE = Path(__file__).parent / "static"
_COMMON = Path(__file__).parents[1] / "drawing" / "templates" / "style.css"

STATIC = (
    "index.html",
    "common.css",
    "viewer.css",
    "dom.js",
    "state.js",
    "top.js",
    "list.js",
    "players.js",
    "plots.js",
    "episode.js",
    "live.js",
    "main.js",
)
"""Names of the page's files."""


@cache
def static_file(name: str) -> bytes:
    """Return one of the page's files; raise KeyError for another name."""
    if name not in STATIC:
        raise KeyError(name)
    return (_COMMON if name == "common.css" else _HERE / name).read_bytes()


def data_script(overview: dict[str, Any]) -> bytes:
    """Return ``data.js``."""
    return f'"use strict";\nconst DATA = {_json(overview)};\n'.encode()


def details_script(number: int, details: list[dict[str, Any] | None]) -> bytes:
    """Return ``episodes/NUMBER.js``."""
    return f"takeEpisode({number}, {_json(details)});\n".encode()


def linked_report(html: str, keys: Iterable[EpisodeKey]) -> bytes:
    """Return a report in which the keys of episodes are links to their pages in the viewer."""
    for key in map(str, keys):
        shown = f"<code>{escape(key)}</code>"
        if shown in html:
            link = f'<a href="index.html#key={quote(key)}">{shown}</a>'
            html = html.replace(shown, link)
    return html.encode()


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII only
