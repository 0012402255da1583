"""What is installed: how this copy was, so how to add an optional part, and what other packages offer."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["code_of_packages", "install_command", "offers", "warn_of_offer"]

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


def code_of_packages() -> dict[str, str]:
    """Return a hash of the Python files of this package, and of each that offers it something, by name."""
    own = __name__.partition(".")[0]
    offers = [
        point
        for group in entry_points().groups
        if group.startswith(f"{own}.")
        for point in entry_points(group=group)
    ]
    return {
        name: _hash_of(name)
        for name in sorted({own, *(point.module.partition(".")[0] for point in offers)})
    }


def _hash_of(package: str) -> str:
    """Return the hash of a package's Python files, or of a module's one; empty if it is not to be found."""
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    files = sorted(file for folder in folders or () for file in Path(folder).rglob("*.py"))
    if not files and spec is not None and spec.origin:
        files = [Path(spec.origin)]
    return (
        hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""
    )


def offers[Offer](group: str, use: Callable[[EntryPoint], Offer]) -> Iterator[tuple[str, Offer]]:
    """Yield what each installed package offers in a group, with the name of its entry point.

    A package that cannot be used is left out with a warning, so that it does no harm to the others.

    Args:
        group: the group of entry points.
        use: loads one of them.
    """
    for point in _points(tuple(sys.path)).select(group=group):
        try:
            offer = use(point)
        except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything
            warn_of_offer(f"'{point.name}' ({group}: {point.value})", error)
            continue
        yield point.name, offer


@functools.cache
def _points(_path: tuple[str, ...]) -> EntryPoints:
    """Return all entry points; looking through the installed packages takes 10 ms each time."""
    return entry_points()


def warn_of_offer(what: str, error: Exception) -> None:
    """Warn of something that an installed package offers and that cannot be used."""
    warnings.warn(
        f"an installed package offers {what}, which cannot be used and is left out: "
        f"{type(error).__name__}: {error}",
        stacklevel=3,
    )
