"""The files of the viewer's page, and what makes data into scripts that a page from the disk can read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["STATIC", "data_script", "details_script", "static_file"]

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


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII only
