"""Trials of mutants: which tests each has to meet, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import Bench, Fault, sha
from results import Mutant, Result, Results
from tests_of import Known

__all__ = ["Deadline", "Trials"]


class Deadline(Exception):  # noqa: N818 - no error
    """The time is over."""


@dataclass(frozen=True)
class Trials:
    """The trials of a command."""

    root: Path
    known: Known
    results: Results
    deadline: float
    """When to stop, on the monotonic clock."""
    noticed: Counter[str] = field(default_factory=Counter)
    """How many mutants each test has noticed: those that notice most come first."""

    def of_module(
        self, mutants: Sequence[Mutant], files: Sequence[str], bench: Bench, *, budget_s: float
    ) -> Iterator[tuple[Mutant, Result]]:
        """Yield the results of one module's mutants; those that are known are not tried again.

        Args:
            mutants: faults of one module.
            files: files of tests that may concern it.
            bench: where they are tried.
            budget_s: processor time of the tests of one mutant, as they take without it.
        """
        packages = self.known.learn(files, bench)
        for mutant in mutants:
            if time.monotonic() > self.deadline:
                raise Deadline
            function = self.known.function(mutant.module, mutant.line, files)
            wanted = self.known.wanted(mutant.module, function, files, budget_s)
            result = self._before(mutant, wanted)
            if result is None:
                bench.warm(packages)
                bench.collect(files)
                packages = []
                result = self._tried(mutant, function, wanted, bench)
                self.results.add(result)
            yield mutant, result

    def _tried(
        self, mutant: Mutant, function: str | None, wanted: Sequence[str], bench: Bench
    ) -> Result:
        proof = self._proof(wanted)
        if not wanted:
            return Result(mutant.name, "no test", "", proof, 0.0)
        wanted = sorted(wanted, key=lambda name: -self.noticed[name])
        began = time.monotonic()
        longest_s = 5 + 3 * self.known.seconds(wanted)
        fault = Fault(mutant.module, function, mutant.code)
        answer = bench.trial(fault, wanted, longest_s)
        seconds = round(time.monotonic() - began, 2)
        if answer["code"] is None:
            return Result(mutant.name, "timed out", "", proof, seconds)
        if answer["code"] == 0:
            return Result(mutant.name, "survived", "", proof, seconds)
        by = (answer["failed"] or ["the process"])[0]
        self.noticed[by] += 1
        return Result(
            mutant.name, "noticed", by, self._proof([by]) if "::" in by else proof, seconds
        )

    def _before(self, mutant: Mutant, wanted: Sequence[str]) -> Result | None:
        """Return the earlier result, if the tests that it rests on are the same."""
        old = self.results.get(mutant)
        if old is None:
            return None
        rests_on = [old.by] if "::" in old.by else wanted
        return old if old.proof == self._proof(rests_on) else None

    def _proof(self, tests: Sequence[str]) -> str:
        return sha(*(part for name in sorted(tests) for part in (name, self.known.text(name))))
