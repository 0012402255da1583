"""Shipped protocols, and the lock that protects released protocols from edits.

A package named by the entry-point group ``vla_eval.protocols`` holds ``*.toml`` files and a
``released.lock.json`` of the form ``{name: {version: sha256}}``. Adding a release::

    python -m vla_eval.released protocols/vla_eval_protocols

This adds new protocols and refuses changes of old ones. Readers of a run also ask the locks, with
:func:`standing`: a run folder contains its own copy of its protocol, and anybody can write a hash
beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from vla_eval.errors import ProtocolError, UsageError, VlaEvalError, did_you_mean
from vla_eval.files.jsonfile import read_json
from vla_eval.files.plain import whole_number
from vla_eval.files.tomlfile import read_toml
from vla_eval.installed import offers, warn_of_offer
from vla_eval.protocol import Protocol, parse_protocol

__all__ = [
    "LOCK_NAME",
    "Standing",
    "load_protocol",
    "lock_releases",
    "shipped_protocols",
    "standing",
]

LOCK_NAME = "released.lock.json"

Standing = Literal["released", "modified", "unreleased"]
"""``released``: equal to a released protocol of an installed lock. ``modified``: a released protocol
with the overrides that it lists. ``unreleased``: no installed lock has its name and version."""


def load_protocol(name_or_path: str, *, overrides: Sequence[str] = ()) -> Protocol:
    """Load a shipped protocol by name (``name`` or ``name@version``) or a file by its path.

    Raises:
        ProtocolError: unknown name, invalid file, or a file with the name and version of a released
            protocol but other content.
    """
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path)
    else:
        path = _shipped_path(name_or_path)
    data = read_toml(path)
    protocol = parse_protocol(data, str(path))
    _refuse_edited_release(protocol, path)
    if not overrides:
        return protocol
    return parse_protocol(data, f"{path} with --set", overrides=overrides)


def shipped_protocols() -> tuple[Protocol, ...]:
    """Return every shipped protocol, sorted by name and version; an invalid one is left out with a warning."""
    protocols = []
    for path in _shipped_files():
        try:
            protocols.append(load_protocol(str(path)))
        except ProtocolError as error:
            warn_of_offer("a protocol", error)
    return tuple(sorted(protocols, key=lambda protocol: (protocol.protocol, protocol.version)))


def lock_releases(folder: Path) -> list[str]:
    """Add a folder's new protocols to its lock; return their labels.

    Raises:
        ProtocolError: a released protocol was edited.
    """
    lock = _read_lock(folder)
    added = []
    for path in sorted(folder.glob("*.toml")):
        protocol = parse_protocol(read_toml(path), str(path))
        _refuse_edited_release(protocol, path, lock)
        versions = lock.setdefault(protocol.protocol, {})
        if str(protocol.version) not in versions:
            versions[str(protocol.version)] = protocol.sha256
            added.append(protocol.label)
    (folder / LOCK_NAME).write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    return added


def standing(protocol: Protocol) -> Standing:
    """Compare the protocol of a run folder with the installed released protocols.

    Only the locks and the shipped files are read; nothing that the protocol names is imported.

    Raises:
        ProtocolError: it has the name and version of a released protocol but other content: it was
            edited, or the released file with its overrides gives another protocol.
    """
    name = f"{protocol.protocol}@{protocol.version}"
    released = [
        sha256
        for folder in _folders()
        if (sha256 := _read_lock(folder).get(protocol.protocol, {}).get(str(protocol.version)))
    ]
    if not released:
        return "unreleased"
    if protocol.overrides:
        _refuse_invented_overrides(protocol, name)
        return "modified"
    differing = next((sha256 for sha256 in released if sha256 != protocol.sha256), None)
    if differing is not None:
        raise ProtocolError(
            f"the protocol calls itself {name}, which is released with hash {differing[:12]}, and has "
            f"hash {protocol.sha256[:12]}: it was edited, so nothing that was run or judged by it "
            f"may be called {name}"
        )
    return "released"


def _refuse_invented_overrides(protocol: Protocol, name: str) -> None:
    """Raise ProtocolError unless the shipped file with the protocol's overrides gives the protocol."""
    overrides = [f"{path}={value}" for path, value in (protocol.overrides or {}).items()]
    try:
        made = load_protocol(name, overrides=overrides)
    except ProtocolError as error:
        raise ProtocolError(
            f"the protocol says that it is {name} with {_listed(overrides)}, and that cannot be: "
            f"{error}"
        ) from None
    if made.sha256 != protocol.sha256:
        raise ProtocolError(
            f"the protocol says that it is {name} with {_listed(overrides)}, and the released file "
            f"with that is another one (hash {made.sha256[:12]}, not {protocol.sha256[:12]}): its "
            "overrides, or something beside them, were edited"
        )


def _listed(overrides: Sequence[str]) -> str:
    return ", ".join(f"--set {override}" for override in overrides)


def _folders() -> Iterator[Path]:
    found = offers("vla_eval.protocols", lambda point: Path(str(resources.files(point.value))))
    for _, folder in found:
        yield folder


def _shipped_files() -> Iterator[Path]:
    for folder in _folders():
        yield from sorted(folder.glob("*.toml"))


def _shipped_path(wanted: str) -> Path:
    name, _, version = wanted.partition("@")
    paths: dict[int, Path] = {}
    names: set[str] = set()
    for path in _shipped_files():
        try:
            data = read_toml(path)
        except ProtocolError as error:  # another package's; the wanted one may still be found
            warn_of_offer("a protocol", error)
            continue
        names.add(str(data.get("protocol")))
        if data.get("protocol") == name and isinstance(data.get("version"), int):
            paths[data["version"]] = path
    if not paths:
        raise ProtocolError(
            f"no shipped protocol is named '{name}'{did_you_mean(name, names)} "
            "(a file is named by a path that ends in .toml)"
        )
    if not version:
        return paths[max(paths)]
    number = whole_number(version)
    if number is None or number not in paths:
        versions = ", ".join(str(known) for known in sorted(paths))
        raise ProtocolError(f"protocol '{name}' has no version '{version}'; it has {versions}")
    return paths[number]


def _read_lock(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / LOCK_NAME
    if not path.exists():
        return {}
    lock: dict[str, dict[str, str]] = read_json(
        path, wrong="is no lock of released protocols", remedy="install its package again"
    )
    return lock


def _refuse_edited_release(
    protocol: Protocol, path: Path, lock: dict[str, dict[str, str]] | None = None
) -> None:
    locks = [lock] if lock is not None else [_read_lock(folder) for folder in _folders()]
    for versions in locks:
        released = versions.get(protocol.protocol, {}).get(str(protocol.version))
        if released is not None and released != protocol.sha256:
            raise ProtocolError(
                f"{path}: {protocol.label} is released with hash {released[:12]} and must not be "
                f"edited (this file has {protocol.sha256[:12]}); restore it, or give your version "
                "another name or a higher version number"
            )


def _main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        raise UsageError("usage: python -m vla_eval.released FOLDER")
    added = lock_releases(Path(arguments[0]))
    sys.stdout.write("".join(f"released {label}\n" for label in added))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(_main(sys.argv[1:]))
    except VlaEvalError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
