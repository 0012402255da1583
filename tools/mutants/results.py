"""Results of mutants, kept from one command to the next, and the list of equivalent ones."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import sha

__all__ = ["Mutant", "Result", "Results", "equivalents"]


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    module: str
    line: int
    was: str
    """The changed lines, with single spaces."""
    became: str
    code: str
    """The module's whole text with the fault."""

    @property
    def name(self) -> str:
        """A hash of the faulty text, which changes whenever the module does."""
        return sha(self.module, self.code)


@dataclass(frozen=True)
class Result:
    """What came of a mutant."""

    name: str
    outcome: str
    """noticed, timed out, survived or no test"""
    by: str
    """The test that noticed it."""
    proof: str
    """Hash of the tests that the outcome rests on."""
    seconds: float

    @property
    def lived(self) -> bool:
        """Whether no test noticed it."""
        return self.outcome in {"survived", "no test"}


class Results:
    """Results in a file of JSON lines; a later line of the same mutant counts."""

    def __init__(self, file: Path) -> None:
        self._file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._by_name = {entry["name"]: Result(**entry) for entry in map(json.loads, lines)}

    def get(self, mutant: Mutant) -> Result | None:
        """Return the last result of a mutant."""
        return self._by_name.get(mutant.name)

    def add(self, result: Result) -> None:
        """Keep a result; a killed command loses none that was added."""
        self._by_name[result.name] = result
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(asdict(result)) + "\n")


def equivalents(file: Path, mutants: Iterable[Mutant]) -> Mapping[str, str]:
    """Return the reasons of those mutants that are listed as equivalent, by the mutant's name."""
    listed: list[dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8")).get(
        "equivalent", []
    )
    reasons = {
        (entry["module"], " ".join(entry["was"].split()), " ".join(became.split())): entry["why"]
        for entry in listed
        for became in _several(entry["became"])
    }
    return {
        mutant.name: reasons[mutant.module, mutant.was, mutant.became]
        for mutant in mutants
        if (mutant.module, mutant.was, mutant.became) in reasons
    }


def _several(entry: str | list[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else entry
