"""Writing an audit's pages and its picture."""

from __future__ import annotations

import os
from pathlib import Path

from vla_eval.audit.figure import draw
from vla_eval.audit.pages import html_page, markdown_page
from vla_eval.audit.results import Audit
from vla_eval.drawing.svg import WIDE, standalone
from vla_eval.files.atomic import write_atomically

__all__ = ["write_pages"]


def write_pages(
    result: Audit,
    *,
    command: str,
    html: Path | None = None,
    markdown: Path | None = None,
    picture: Path | None = None,
) -> None:
    """Write the named files.

    Args:
        result: the audit.
        command: the command that writes the pages; they show it.
        html: file for one HTML page that works offline.
        markdown: file for a Markdown page; it shows the picture if one is written.
        picture: file for the intervals as SVG; not written if there are none.
    """
    if html is not None:
        write_atomically(html, html_page(result, command=command))
    drawn = draw(result, WIDE) if picture is not None else ""
    if picture is not None and drawn:
        write_atomically(picture, standalone(drawn))
    if markdown is not None:
        shown = None
        if picture is not None and drawn:
            shown = Path(os.path.relpath(picture, markdown.parent)).as_posix()
        write_atomically(markdown, markdown_page(result, picture=shown, command=command))
