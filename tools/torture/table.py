"""The results of a torture, and their page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["BAD", "Row", "page"]

BAD = {
    "traceback": "a traceback, or an exception that is none of ours",
    "hang": "longer than the part allows, 10 s where it says nothing else",
    "memory": "more than 1 GB",
    "exit code": "another exit code than the documented one",
    "difference": "a result that differs from the undisturbed one, or bad input that was taken",
    "left over": "a process, socket, temporary file or shared memory that nobody removed",
}
"""Forbidden results, with their meaning."""


@dataclass
class Row:
    """One kind of trouble, tried many times."""

    what: str
    """The trouble, in a few words."""
    tried: int = 0
    """Number of trials."""
    bad: Counter[str] = field(default_factory=Counter)
    """Counts of the forbidden results, by the keys of `BAD`."""
    seen: str = ""
    """The other results, in a few words with figures."""
    examples: list[str] = field(default_factory=list)
    """How to reproduce a forbidden result: the seed, the input, the last line."""

    def add(self, bad: str | None, example: str = "") -> None:
        """Count one trial and its forbidden result, if any."""
        self.tried += 1
        if bad is not None:
            self.bad[bad] += 1
            self.examples.append(f"{bad}: {example}")

    def line(self) -> str:
        """Return the row as one line of a terminal."""
        bad = ", ".join(f"{times} × {name}" for name, times in sorted(self.bad.items()))
        return f"{self.tried:>7}  {bad or 'nothing bad':<24} {self.what}"


def page(parts: dict[str, tuple[str, list[Row]]], about: str) -> str:
    """Return the page of the documentation.

    Args:
        parts: title to a sentence and the rows of that part.
        about: one line on how it was run: seed, machine, time.
    """
    lines = [
        "# Robustness",
        "",
        "<!-- Written by `.venv/bin/python tools/torture --page docs/robustness.md`; do not edit. -->",
        "",
        "`make torture` kills, interrupts, starves and lies to every part that meets the world, and counts",
        "what must never happen:",
        "",
        *(f"- **{name}**: {meaning};" for name, meaning in BAD.items()),
        "",
        "A short form of it is part of `make test`. What may be trusted at all, and what runs code, is said in",
        "[trust.md](trust.md).",
        "",
        about,
        "",
    ]
    for title, (sentence, rows) in parts.items():
        lines += [f"## {title}", "", sentence, "", *_table(rows), ""]
    return "\n".join(lines)


def _table(rows: Iterable[Row]) -> list[str]:
    head = ["what", "tried", *BAD, "instead"]
    body = [
        [row.what, f"{row.tried:,}", *(str(row.bad[name]) for name in BAD), row.seen]
        for row in rows
    ]
    align = ["---", *["--:"] * (len(BAD) + 1), "---"]
    return ["| " + " | ".join(cells) + " |" for cells in (head, align, *body)]
