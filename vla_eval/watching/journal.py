"""The journal of a watch: one JSON line for each change of a checkpoint's state."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vla_eval.errors import UsageError
from vla_eval.files.complaints import first_complaint

__all__ = ["Entry", "Journal", "State"]

State = Literal["running", "done", "failed", "skipped", "vanished"]
"""``failed``: a fault of the machine; tried again later, and never counted as done."""


class Entry(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int
    state: State
    tries: Annotated[int, Field(ge=0)] = 0
    why: str = ""
    at: str = ""


class Journal:
    """The states of all checkpoints seen so far."""

    def __init__(self, file: Path) -> None:
        """Read the file if it exists.

        Raises:
            UsageError: a line is damaged.
        """
        self._file = file
        self.entries: dict[int, Entry] = {}
        if not file.exists():
            return
        for number, line in enumerate(file.read_text().splitlines(), start=1):
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                raise UsageError(
                    f"{file}, line {number}: is damaged ({first_complaint(error)}); delete the line: the "
                    "results are in the run folders"
                ) from None
            self.entries[entry.step] = entry

    def note(self, step: int, state: State, *, tries: int = 0, why: str = "") -> None:
        """Append a line."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(step=step, state=state, tries=tries, why=why, at=now)
        with self._file.open("a") as file:
            file.write(json.dumps(entry.model_dump()) + "\n")
        self.entries[step] = entry

    def of(self, *states: State) -> list[int]:
        """Return the steps in one of some states, rising."""
        return sorted(step for step, entry in self.entries.items() if entry.state in states)
