"""What the checkpoints evaluated so far show together: a curve, the best one, and how far to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_eval.drawing.terminal import folded, table
from vla_eval.evaluation.evaluate import ARM
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.paired_file import PairedResult, read_evaluation
from vla_eval.judging.rates import rate_interval
from vla_eval.plan import expand
from vla_eval.protocol import Protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import attempt_alpha, expected_excess
from vla_eval.stats._numeric import Interval

__all__ = ["Curve", "Point", "curve_text", "read_curve"]


@dataclass(frozen=True)
class Point:
    """One evaluated checkpoint."""

    step: int
    successes: int
    n: int
    missing: int
    interval: Interval
    """Wilson's 95 % interval, for this checkpoint alone."""
    paired: PairedResult | None
    wins: tuple[bool, ...]
    """Success on each state, in the plan's order; missing episodes count as failures."""

    @property
    def rate(self) -> float:
        """Success rate; 0 without an episode."""
        return self.successes / self.n if self.n else 0.0


@dataclass(frozen=True)
class Curve:
    """All evaluated checkpoints of one training."""

    protocol: Protocol
    points: tuple[Point, ...]
    """By rising step; at least one."""

    @property
    def best(self) -> Point:
        """The highest rate; the earliest of equal ones."""
        return max(self.points, key=lambda point: (point.rate, -point.step))

    @property
    def excess(self) -> float:
        """By how much the highest rate is too high on average if all are equally good."""
        return expected_excess(np.array([point.wins for point in self.points], np.float64))


def read_curve(out: Path, steps: Sequence[int]) -> Curve | None:
    """Read the evaluations of some steps; None if there are none."""
    points = []
    protocol = None
    for step in steps:
        folder = RunFolder.open(out / f"step-{step:09d}")
        protocol = folder.header.protocol
        keys = [episode.key for episode in expand(protocol)]
        arm = ArmEpisodes.of(folder.records(), ARM, keys)
        evaluation = read_evaluation(folder.path)
        marks = arm.marks()
        points.append(
            Point(
                step,
                arm.successes,
                arm.n,
                len(arm.missing),
                rate_interval(arm, protocol.analysis),
                None if evaluation is None else evaluation.paired,
                tuple(marks[key].won for key in keys),
            )
        )
    return Curve(protocol, tuple(points)) if protocol is not None else None


def curve_text(curve: Curve, *, states: str) -> str:
    """Return the table of the checkpoints, and what the best of them is worth.

    Args:
        curve: the checkpoints.
        states: ``development``, or ``any`` if the states may be those of a certificate.
    """
    rows = [["step", "success", "rate", "95 % Wilson", "difference to the reference"]]
    for point in curve.points:
        low, high = point.interval
        rows.append(
            [
                str(point.step),
                f"{point.successes}/{point.n}",
                f"{100 * point.rate:.1f}%",
                f"[{100 * low:.1f}%, {100 * high:.1f}%]",
                _paired(point.paired),
            ]
        )
    return "\n".join([*table(rows), "", folded([_worth(curve), _level(curve, states)])])


def _paired(paired: PairedResult | None) -> str:
    if paired is None:
        return "-"
    low, high = paired.interval
    return (
        f"{100 * paired.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]: {paired.standing}"
    )


def _worth(curve: Curve) -> str:
    best, count = curve.best, len(curve.points)
    if count == 1:
        return f"One checkpoint so far: step {best.step}."
    return (
        f"Highest of {count}: step {best.step} with {100 * best.rate:.1f} %. A highest rate is too high: by "
        f"{100 * curve.excess:.1f} points on average if all {count} are equally good, less if some are "
        "better. Its interval above knows nothing of the choice."
    )


def _level(curve: Curve, states: str) -> str:
    alpha, count = curve.protocol.analysis.alpha, len(curve.points)
    if states == "development":
        return (
            f"The choice was made on development states, so the chosen checkpoint can be certified once on "
            f"certification states at the whole level {alpha:g}."
        )
    level = attempt_alpha(count, alpha=alpha)
    return (
        f"These states may be those of a certificate: each of the {count} checkpoints has used them. A "
        f"certificate on the same states is left the level {level:.2g} (use {count}). Issued for the best of "
        f"them it is false with a chance of at most {count} times that, {count * level:.2g}, and the rate of "
        "the best is still too high; certify on other states."
    )
