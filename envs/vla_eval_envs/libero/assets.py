"""Finds LIBERO's meshes, textures and scenes, which hf-libero does not contain."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from vla_eval.errors import InfrastructureError, UsageError

__all__ = ["ASSETS_VARIABLE", "Assets", "find_assets", "prepare"]

ASSETS_VARIABLE = "VLA_EVAL_LIBERO_ASSETS"

# The repository that hf-libero 0.1.4 downloads from (libero/libero/utils/download_utils.py).
_HUB_REPOSITORY = "lerobot/libero-assets"
_HUB_REPOSITORY_TYPE = "dataset"

_SUBFOLDERS = (
    "articulated_objects",
    "scenes",
    "stable_hope_objects",
    "stable_scanned_objects",
    "textures",
    "turbosquid_objects",
)
_STANDINS_FILE = "STANDINS.txt"


@dataclass(frozen=True)
class Assets:
    """A folder of assets, and its description for records."""

    path: Path
    origin: Literal["folder", "hub"]
    standins_count: int
    """Number of replaced files, as listed in the folder's STANDINS.txt; 0 for the genuine set."""

    @property
    def name(self) -> str:
        """``stand-ins``, ``hub`` or ``folder``: never a path, so that records can hold it."""
        return "stand-ins" if self.standins_count else self.origin


def find_assets(chosen: str | None = None, *, download: bool = True) -> Assets:
    """Return the first assets folder that exists.

    The order of the search: ``chosen``; the environment variable ``VLA_EVAL_LIBERO_ASSETS``; an
    ``assets`` folder inside the installed package; hf-libero's own earlier download; the Hugging
    Face hub's cache; a download from the hub into that cache.

    Raises:
        UsageError: a requested folder is not a LIBERO assets folder.
        InfrastructureError: no assets exist, and they cannot be downloaded.
    """
    for folder, source in (
        (chosen, "the option assets="),
        (os.environ.get(ASSETS_VARIABLE), ASSETS_VARIABLE),
    ):
        if folder:
            return _asked_for(Path(folder).expanduser(), source)
    package = find_spec("libero")
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "libero" / "assets"
        if not _missing(inside):
            return _assets(inside, "folder")
    downloaded = Path.home() / ".cache" / "libero" / "assets"
    if not _missing(downloaded):
        return _assets(downloaded, "hub")
    return _assets(_from_hub(download=download), "hub")


def prepare(env_kwargs: Mapping[str, Any]) -> None:
    """Find or download the assets that environments with these arguments will read."""
    if find_spec("libero") is not None:  # without LIBERO, the missing extra is the error to report
        find_assets(env_kwargs.get("assets"))


def _asked_for(folder: Path, source: str) -> Assets:
    missing = _missing(folder)
    if missing:
        raise UsageError(
            f"{source} names {folder}, which is not a LIBERO assets folder: "
            f"it has no {', no '.join(missing)}"
        )
    return _assets(folder, "folder")


def _missing(folder: Path) -> list[str]:
    return [name for name in _SUBFOLDERS if not (folder / name).is_dir()]


def _assets(folder: Path, origin: Literal["folder", "hub"]) -> Assets:
    listing = folder / _STANDINS_FILE
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    return Assets(folder.resolve(), origin, sum(1 for line in lines if line.strip()))


def _from_hub(*, download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        cached = snapshot_download(
            _HUB_REPOSITORY, repo_type=_HUB_REPOSITORY_TYPE, local_files_only=True
        )
        if not _missing(Path(cached)):
            return Path(cached)
    except LocalEntryNotFoundError:
        pass
    if not download:
        raise InfrastructureError(_no_assets("they are not on this machine"))
    sys.stderr.write(f"Downloading LIBERO's assets from the hub ({_HUB_REPOSITORY}) …\n")
    try:
        folder = Path(snapshot_download(_HUB_REPOSITORY, repo_type=_HUB_REPOSITORY_TYPE))
    except Exception as error:  # the hub client raises many unrelated types when it is offline
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InfrastructureError(_no_assets(f"downloading them failed ({reason})")) from error
    if _missing(folder):
        raise InfrastructureError(_no_assets(f"the download lacks {', '.join(_missing(folder))}"))
    return folder


def _no_assets(reason: str) -> str:
    return (
        f"LIBERO's assets are needed and {reason}; either set {ASSETS_VARIABLE} to a folder that "
        f"holds them, or, online, run: hf download {_HUB_REPOSITORY} "
        f"--repo-type {_HUB_REPOSITORY_TYPE}"
    )
