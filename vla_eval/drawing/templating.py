"""Renders self-contained pages with the common style and script, without external files."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from vla_eval.drawing import words

__all__ = ["render"]

_TEMPLATES = Path(__file__).parent / "templates"


def _environment(folder: Path) -> jinja2.Environment:
    """Return an environment that escapes everything, finds the common templates and writes numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "duration": words.duration,
        "milliseconds": words.milliseconds,
        "p_value": words.p_value,
        "percent": words.percent,
        "points": words.points,
    }
    return environment


def _shared() -> dict[str, Any]:
    """Return style and script of every page, and the script's hash for the security policy."""
    script = (_TEMPLATES / "table.js").read_text(encoding="utf-8")
    return {
        "script": Markup(script),  # noqa: S704 - our own file
        "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - ours
    }


def render(name: str, folder: Path, **values: Any) -> str:
    """Render a template of a folder with the common style, script and number formats."""
    return _environment(folder).get_template(name).render(**_shared(), **values)
