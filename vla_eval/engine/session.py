"""One call of ``vlaeval run``: its token, its record files, and the policies that it has met."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vla_eval.engine.messages import Ready
from vla_eval.errors import RunFolderError
from vla_eval.files.differences import name_differences

__all__ = ["RunSession"]


class RunSession:
    """One call of ``vlaeval run``.

    Args:
        episodes: the folder of record files.
        keeps_actions: whether the executed actions are kept beside the records.
    """

    def __init__(self, episodes: Path, *, keeps_actions: bool = True) -> None:
        self.keeps_actions = keeps_actions
        self.token = secrets.token_hex(8)
        """Every record and every file name of this call holds it."""
        self._episodes = episodes
        self._files = 0
        self._seen: dict[str, dict[str, Any]] = {}

    def new_record_file(self, writer: str) -> Path:
        """Return a path that no earlier or parallel process can have taken."""
        self._files += 1
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        return self._episodes / f"{now}-{self.token}-{self._files:04d}-{writer}.jsonl"

    def recognise(self, who: str, ready: Ready) -> None:
        """Compare the policies that a process loaded with those that the first process loaded.

        Args:
            who: name of the process in messages.
            ready: its message.

        Raises:
            RunFolderError: the weights, the options or the code changed, after a restart for example.
        """
        for name, metadata in ready.identities.items():
            now: dict[str, Any] = asdict(metadata)
            if name in ready.code_sha256:
                now["code_sha256"] = ready.code_sha256[name]
            first = self._seen.setdefault(name, {})
            changed = name_differences({key: first.get(key, now[key]) for key in now}, now)
            first.update(now)
            if changed:
                raise RunFolderError(
                    f"{who}: arm '{name}' is another policy than when this command began "
                    f"({changed}); put back what was changed and repeat the command, or use a new "
                    "folder"
                )
