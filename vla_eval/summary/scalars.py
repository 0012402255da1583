"""Names of the numbers that trackers get; a rate never goes without its interval."""

from __future__ import annotations

from vla_eval.judging.paired_file import PairedResult
from vla_eval.stats._numeric import Interval
from vla_eval.summary.model import ArmSummary, Pair

__all__ = ["arm_scalars", "pair_scalars", "paired_scalars", "rate_scalars"]


def rate_scalars(
    place: str, successes: int, n: int, missing: int, interval: Interval
) -> dict[str, float]:
    """Return a success rate with its interval and counts; nothing without an episode.

    Args:
        place: the suite, or suite/task.
        successes: number of successes.
        n: number of episodes that ended in success or failure.
        missing: number of episodes with errors only.
        interval: interval of the rate.
    """
    if not n:
        return {}
    head = f"eval/{place}"
    return {
        f"{head}/success_rate": successes / n,
        f"{head}/success_rate_low": interval[0],
        f"{head}/success_rate_high": interval[1],
        f"{head}/successes": float(successes),
        f"{head}/n": float(n),
        f"{head}/missing": float(missing),
    }


def arm_scalars(suite: str, arm: ArmSummary) -> dict[str, float]:
    """Return one arm's numbers: over all tasks, by task, and the time of an inference."""
    found = rate_scalars(suite, arm.successes, arm.n, arm.errors, arm.wilson95)
    if len(arm.tasks) > 1:
        for name, task in arm.tasks.items():
            found |= rate_scalars(name, task.successes, task.n, 0, task.wilson95)
    if arm.infer_ms_p50 is not None:
        found["time/infer_p50_ms"] = arm.infer_ms_p50
    return found


def pair_scalars(pair: Pair) -> dict[str, float]:
    """Return the paired difference of two arms of one run, at 95 %; nothing without a pair."""
    if pair.method is None:
        return {}
    return _difference(pair.reference, pair.method.difference, pair.method.interval(0.05))


def paired_scalars(paired: PairedResult) -> dict[str, float]:
    """Return the paired difference to a frozen run."""
    return _difference("reference", paired.difference, paired.interval) if paired.pairs else {}


def _difference(reference: str, difference: float, interval: Interval) -> dict[str, float]:
    head = f"paired/{reference}/difference"
    return {head: difference, f"{head}_low": interval[0], f"{head}_high": interval[1]}
