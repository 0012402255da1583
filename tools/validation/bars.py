"""A bar: what was observed, between which limits it must lie, and controls that must not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """One line of the table."""

    what: str
    observed: float
    low: float = 0.0
    high: float = 1.0
    control: bool = False
    """A deliberately wrong method, on which the same limits must be broken."""

    @property
    def kept(self) -> bool:
        """Whether the observation lies between the limits."""
        return self.low <= self.observed <= self.high

    @property
    def passed(self) -> bool:
        """Whether this is as it should be: kept, or broken by a control."""
        return self.kept != self.control

    def line(self) -> str:
        """Return the line of the table."""
        state = ("caught" if self.control else "ok") if self.passed else "FAIL"
        limits = f"{100 * self.low:6.2f} ... {100 * self.high:6.2f}"
        return f"{state:6} {100 * self.observed:8.3f} %  {limits}  {self.what}"
