"""The table of rooms, on a terminal and on the page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from results import Mutant, Result

__all__ = ["HEADING", "Row", "add_to_page", "described", "table"]

HEADING = "## Faults planted in the code"
"""Everything on the page from this line on is written here."""
_WIDEST = 150


@dataclass
class Row:
    """The mutants of one room."""

    room: str
    modules: int
    target: float
    equivalent: int = 0
    cut_short: bool = False
    """Whether the time was over before all were tried."""
    done: list[tuple[Mutant, Result]] = field(default_factory=list)

    def add(self, mutant: Mutant, result: Result) -> None:
        """Count a mutant."""
        self.done.append((mutant, result))

    def count(self, outcome: str) -> int:
        """Return how many mutants had this outcome."""
        return sum(result.outcome == outcome for _, result in self.done)

    @property
    def lived(self) -> int:
        """Number of mutants that no test noticed."""
        return sum(result.lived for _, result in self.done)

    @property
    def share(self) -> float:
        """Noticed ones of those that are not equivalent, in percent."""
        return 100 * (len(self.done) - self.lived) / max(1, len(self.done))


def described(mutant: Mutant, result: Result) -> str:
    """Return a mutant in three lines."""
    was, became = mutant.was[:_WIDEST], mutant.became[:_WIDEST]
    return f"{mutant.module}:{mutant.line} {result.outcome}\n    - {was}\n    + {became}"


def table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    head = [
        "room",
        "modules",
        "mutants",
        "equivalent",
        "noticed",
        "timed out",
        "lived",
        "share",
        "target",
    ]
    body = [
        [
            row.room + (" (cut short)" if row.cut_short else ""),
            str(row.modules),
            str(len(row.done) + row.equivalent),
            str(row.equivalent),
            str(row.count("noticed")),
            str(row.count("timed out")),
            str(row.lived),
            f"{row.share:.1f} %",
            f"{row.target:.0f} %",
        ]
        for row in rows
    ]
    align = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, align, *body))


def add_to_page(page: Path, rows: Sequence[Row], about: str) -> None:
    """Write the section of the documentation's page anew; what stands before it stays."""
    before = page.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    text = f"""{before}

{HEADING}

<!-- Written by `make mutants FLAGS="--page docs/robustness.md"`; do not edit. -->

`make mutants` plants one small fault at a time, a flipped comparison, a constant off by one, a dropped call or
condition, swapped arguments, and runs the tests that call the function, in their own process or in one that they
start. A fault that no test notices lives. The equivalent ones change nothing that anybody can see;
`tools/mutants/equivalent.toml` gives the reason of each. The share is of the others. {about}

{table(rows)}
"""
    page.write_text(text, encoding="utf-8")
