"""Finds how this copy of the package was installed, and so how to add an optional part."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["install_command"]

_NAME = "vla-eval-suite"


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, as a user would type it.

    For a checkout it is the checkout's own installation; for a wheel or a git address it is that address
    with the extra. If neither is known (PEP 610's ``direct_url.json``), it uses the package's name.
    """
    origin = _origin()
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        folder = Path(unquote(urlsplit(url).path))
        if (folder / "Makefile").is_file():
            return f"make -C {folder} install"
        return f"pip install '{folder}[{extra}]'"
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f"pip install '{_NAME}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}'"
    if url:
        return f"pip install '{_NAME}[{extra}] @ {url}'"
    return f"pip install '{_NAME}[{extra}]'"


def _origin() -> dict[str, Any]:
    try:
        text = importlib.metadata.distribution(_NAME).read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return {}
    return origin if isinstance(origin, dict) else {}
