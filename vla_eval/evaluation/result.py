"""The result of an evaluation during training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_eval.evaluation.reference import Compared, Reference
from vla_eval.judging.paired_file import PairedResult
from vla_eval.stats import Standing
from vla_eval.stats._numeric import Interval
from vla_eval.summary.scalars import paired_scalars, rate_scalars

__all__ = ["Evaluation", "paired_with"]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found; it never supports a claim, which needs a certificate."""

    step: int | None
    """Training step, if there is one."""
    folder: Path
    """The run folder: records, protocol and policy, for `vlaeval report`."""
    suite: str
    successes: int
    n: int
    """Number of episodes that ended in success or failure."""
    missing: int
    """Number of episodes with errors only."""
    interval: Interval
    """Wilson's 95 % interval of the success rate."""
    paired: PairedResult | None
    """None without a reference."""
    seconds: float
    """Wall time of this call."""
    error: str = ""
    """Reason why the evaluation stopped early; empty if it did not."""

    @property
    def rate(self) -> float | None:
        """Success rate; None without an episode."""
        return self.successes / self.n if self.n else None

    @property
    def standing(self) -> Standing:
        """What is known about the policy and its reference; "not yet" without one."""
        return Standing.NOT_YET if self.paired is None else self.paired.standing

    def scalars(self) -> dict[str, float]:
        """Return numbers for a tracker, each rate with both ends of its interval."""
        arm = rate_scalars(self.suite, self.successes, self.n, self.missing, self.interval)
        return arm | (paired_scalars(self.paired) if self.paired is not None else {})

    def __str__(self) -> str:
        at = "" if self.step is None else f"step {self.step}: "
        low, high = self.interval
        text = f"{at}{self.successes}/{self.n} succeeded, 95 % [{low:.2f}, {high:.2f}]"
        if self.missing:
            text += f", {self.missing} missing"
        if self.paired is not None:
            low, high = self.paired.interval
            text += (
                f"; difference to the reference {100 * self.paired.difference:+.1f} points "
                f"[{100 * low:+.1f}, {100 * high:+.1f}]: {self.paired.standing}"
            )
        return f"{text}; {self.error}" if self.error else text


def paired_with(reference: Reference, compared: Compared) -> PairedResult:
    """Put a comparison into numbers."""
    table, anytime = compared.table, compared.difference
    return PairedResult(
        reference=str(reference.folder),
        arm=reference.arm,
        reference_sha256=reference.policy_sha256,
        pairs=table.n,
        n10=table.n10,
        n01=table.n01,
        difference=table.difference if table.n else 0.0,
        interval=anytime.interval,
        margin=anytime.margin,
        alpha=anytime.alpha,
        e_worse=anytime.e_worse,
        e_not_worse=anytime.e_not_worse,
        standing=anytime.standing,
        lost=compared.lost,
    )
