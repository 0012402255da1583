"""Renders self-contained pages with the common style and script, without external files."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

__all__ = ["page_environment", "render", "shared"]

_TEMPLATES = Path(__file__).parent / "templates"


def page_environment(*folders: Path) -> jinja2.Environment:
    """Return an environment that escapes everything and also finds the common templates."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def shared() -> dict[str, Any]:
    """Return style and script of every page, and the script's hash for the security policy."""
    script = (_TEMPLATES / "table.js").read_text(encoding="utf-8")
    return {
        "script": Markup(script),  # noqa: S704 - our own file
        "script_sha256": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - ours
    }


def render(name: str, folder: Path, **values: Any) -> str:
    """Render a template of a folder with the common style and script."""
    return page_environment(folder).get_template(name).render(**shared(), **values)
