"""Success by time: the curves F(t) of the arms, and how two arms differ along them.

F(t) is the share of an arm's episodes that had succeeded by time t. Nothing is censored before the time
limit T: an episode without success by t fails at t. So F(t) is a success rate with an earlier limit, and
the protocol's method for successes judges it.

Differences are shown at the protocol's times (``analysis.within_steps``), or at the quarters of T. Their
simultaneous intervals hold at all of these times at once (Bonferroni); pointwise ones at each by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from vla_eval.catalog import control_hz
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.measures import time_limits
from vla_eval.judging.methods import judging
from vla_eval.judging.rates import rate_interval
from vla_eval.keys import EpisodeKey
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.stats._numeric import Interval

__all__ = [
    "Curves",
    "Moment",
    "Within",
    "WithinArm",
    "curves_of",
    "differences_within",
    "moments",
    "solved_by",
]

_GRID = 60
"""Number of intervals of a drawn curve."""
_QUARTERS = (0.25, 0.5, 0.75, 1.0)

type Limits = Mapping[tuple[str, str], int]
"""Control steps by (suite, task)."""


@dataclass(frozen=True)
class Moment:
    """A time t in an episode."""

    label: str
    """The time in seconds, in control steps, or as a part of the time limit."""
    steps: Limits


@dataclass(frozen=True)
class WithinArm:
    """Successes of one arm within a time."""

    time: str
    solved: int
    n: int
    interval95: Interval
    """By the same rule as the interval of the arm's success rate; pointwise."""


@dataclass(frozen=True)
class Within:
    """Success of two arms within a time, first minus second, over their pairs."""

    time: str
    difference: float
    ci95: Interval
    """Pointwise."""
    simultaneous95: Interval
    """At all times of the comparison at once."""


@dataclass(frozen=True)
class Curves:
    """The curves F(t) of the arms of one run."""

    limit_steps: int | None
    """Time limit T in control steps; None: tasks have different limits."""
    control_hz: float | None
    """Control steps a second; None: unknown without a simulator, or tasks differ."""
    grid: tuple[float, ...]
    """Times as a fraction of T, ascending from 0 to 1."""
    solved: Mapping[str, tuple[float, ...]]
    """F at each time of the grid, by arm."""
    within: Mapping[str, tuple[WithinArm, ...]]
    """Successes within the protocol's times, by arm."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return asdict(self)


def curves_of(protocol: Protocol, arms: Iterable[ArmEpisodes]) -> Curves | None:
    """Return the curves of arms with results; None for a paused protocol, and without results."""
    ended = [arm for arm in arms if arm.n]
    if protocol.run.realtime is None or not ended:
        return None
    limits, times = time_limits(protocol), moments(protocol)
    grid = np.linspace(0, 1, _GRID + 1)
    return Curves(
        limit_steps=_common(limits.values()),
        control_hz=_common(_rates(protocol)),
        grid=tuple(grid.round(4).tolist()),
        solved={
            arm.name: tuple(solved_by(grid.tolist(), arm.finals.values(), limits)) for arm in ended
        },
        within={
            arm.name: tuple(
                WithinArm(time.label, cut.successes, cut.n, rate_interval(cut, protocol.analysis))
                for time in times
                for cut in [_until(arm, time.steps)]
            )
            for arm in ended
        },
    )


def solved_by(
    grid: Iterable[float], records: Iterable[EpisodeRecord], limits: Limits
) -> Iterable[float]:
    """Yield the share of episodes that had succeeded by each fraction of their time limit."""
    found = list(records)
    shares = [
        record.steps / limits[record.suite, record.task]
        for record in found
        if record.outcome == "success"
    ]
    for time in grid:
        yield sum(share <= time + 1e-9 for share in shares) / len(found)


def moments(protocol: Protocol) -> tuple[Moment, ...]:
    """Return the times at which arms are compared: the protocol's, or quarters of each task's limit."""
    limits = time_limits(protocol)
    rate = _common(_rates(protocol))
    declared = protocol.analysis.within_steps
    if declared is not None:
        return tuple(
            Moment(_named(steps, rate), dict.fromkeys(limits, steps)) for steps in declared
        )
    longest = _common(limits.values())
    return tuple(
        Moment(
            f"{share:.0%} of the limit" if longest is None else _named(steps[0], rate),
            dict(zip(limits, steps, strict=True)),
        )
        for share in _QUARTERS
        for steps in [[int(share * limit) for limit in limits.values()]]
    )


def differences_within(
    protocol: Protocol,
    keys: Sequence[EpisodeKey],
    ours: ArmEpisodes,
    theirs: ArmEpisodes,
    *,
    comparisons: int = 1,
) -> tuple[Within, ...]:
    """Return the differences of two arms at the protocol's times, first minus second.

    Args:
        protocol: the protocol, in virtual time.
        keys: the plan.
        ours: the first arm's episodes.
        theirs: the second arm's episodes.
        comparisons: number of pairs of arms that the simultaneous intervals cover.

    Returns:
        Nothing for a paused protocol, without pairs, and for a run whose size was decided on the way:
        its intervals hold for success at the limit alone.
    """
    analysis = protocol.analysis.model_copy(update={"measure": None})
    decided = analysis.stopping != "fixed" or analysis.resize is not None
    if protocol.run.realtime is None or decided:
        return ()
    times = moments(protocol)
    level = 0.05 / (len(times) * comparisons)
    found = []
    for time in times:
        pairing = ledger.pair(keys, _until(ours, time.steps), _until(theirs, time.steps))
        if not pairing.pairs:
            return ()
        method = judging(pairing.outcomes(), analysis)
        both = method.interval(0.05), method.interval(level)
        found.append(Within(time.label, method.difference, *both))
    return tuple(found)


def _until(arm: ArmEpisodes, steps: Limits) -> ArmEpisodes:
    """Return the episodes as they stood at a time: later successes are failures then."""
    late = {"outcome": "failure", "reason": "time_limit"}
    finals = {
        key: record.model_copy(update=late)
        if record.outcome == "success" and record.steps > steps[record.suite, record.task]
        else record
        for key, record in arm.finals.items()
    }
    return replace(arm, finals=finals)


def _rates(protocol: Protocol) -> list[float | None]:
    return [block.control_hz or control_hz(block.suite) for block in protocol.blocks]


def _named(steps: int, rate_hz: float | None) -> str:
    return f"{steps} ticks" if rate_hz is None else f"{steps / rate_hz:.1f} s"


def _common[T](values: Iterable[T]) -> T | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None
