"""The shape of a sink, and how a text names one: ``NAME[:TARGET][?option=value&…]``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

from vla_eval.errors import UsageError, did_you_mean

__all__ = [
    "Facts",
    "Sink",
    "SinkFactory",
    "SinkSpec",
    "Table",
    "find_factory",
    "make_sink",
    "take_options",
]

_GROUP = "vla_eval.sinks"

type Cell = str | int | float


@dataclass(frozen=True)
class Table:
    """A table for a tracker."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        rows = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


@dataclass(frozen=True)
class Facts:
    """What a sink learns about one arm of a run, or of a folder of runs, one for each training step."""

    identity: str
    """16 hex digits; the same each time this arm of this run is read."""
    arm: str
    group: str
    """Label of the protocol."""
    config: Mapping[str, str | int | float]
    points: tuple[tuple[int, Mapping[str, float]], ...]
    """(step, numbers by name), by rising step: training steps, or else episodes that have ended."""
    tables: tuple[Table, ...]
    """Tables of the last point."""
    report: str
    """The report of the last point as text."""
    videos: tuple[Path, ...]
    """Videos of the last point: failures, in a grid."""


class Sink(Protocol):
    """An open run in a tracker."""

    def point(self, step: int, numbers: Mapping[str, float]) -> None:
        """Send numbers; steps rise."""

    def finish(self, facts: Facts) -> None:
        """Send tables, report and videos, once, after the last point."""

    def close(self) -> None:
        """Close the run, after an error too."""


@runtime_checkable
class SinkFactory(Protocol):
    """A class without arguments that the entry-point group ``vla_eval.sinks`` names."""

    help: str
    """One line for lists."""

    def __call__(self, target: str | None, options: Mapping[str, str], facts: Facts) -> Sink:
        """Open a run; a run of the same identity is replaced, or continued where that is impossible.

        Raises:
            MissingExtraError: the tracker is not installed.
            UsageError: an option or the target cannot be used.
        """


@dataclass(frozen=True)
class SinkSpec:
    """A parsed text."""

    kind: str
    target: str | None
    options: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> SinkSpec:
        """Split ``NAME[:TARGET][?option=value&…]``; raise UsageError if that fails."""
        head, _, query = text.partition("?")
        kind, _, target = head.partition(":")
        try:
            options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
        except ValueError:
            options = {}
            kind = ""
        if not kind:
            raise UsageError(
                f"'{text}' names no tracker: expected NAME[:TARGET][?option=value&…], for example "
                "tensorboard:runs/board or wandb:PROJECT?mode=offline"
            )
        return cls(kind, target or None, options)


def find_factory(text: str) -> tuple[SinkFactory, SinkSpec]:
    """Return the factory that a text names; raise UsageError if no installed package offers it."""
    spec = SinkSpec.parse(text)
    offers = {offer.name: offer for offer in entry_points(group=_GROUP)}
    if spec.kind not in offers:
        raise UsageError(f"no tracker is named '{spec.kind}'{did_you_mean(spec.kind, offers)}")
    factory: SinkFactory = offers[spec.kind].load()()
    return factory, spec


def make_sink(text: str, facts: Facts) -> Sink:
    """Open the tracker that a text names for one arm."""
    factory, spec = find_factory(text)
    return factory(spec.target, spec.options, facts)


def take_options(kind: str, options: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Return the options; raise UsageError for one that the tracker does not have."""
    for name in options:
        if name not in known:
            raise UsageError(f"{kind}: there is no option '{name}'{did_you_mean(name, known)}")
    return dict(options)
