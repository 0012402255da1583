"""The result of an evaluation during training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_eval.evaluation.reference import Compared, Reference
from vla_eval.files.atomic import write_atomically
from vla_eval.stats import Standing
from vla_eval.stats._numeric import Interval

__all__ = ["FILE", "Evaluation", "PairedResult"]

FILE = "evaluation.json"
"""Name of the file in a run folder that holds the comparison with a run elsewhere."""


@dataclass(frozen=True)
class PairedResult:
    """The comparison with the reference; every number holds at any time, however the run was stopped."""

    reference: str
    """Folder of the reference's run."""
    arm: str
    reference_sha256: str
    """Hash of the reference's identity."""
    pairs: int
    n10: int
    """Pairs that only the evaluated policy won."""
    n01: int
    """Pairs that only the reference won."""
    difference: float
    interval: Interval
    """At level 1 − 2 alpha; for all rounds together."""
    margin: float
    alpha: float
    e_worse: float
    """e-value against "not worse than the reference"."""
    e_not_worse: float
    """e-value against "worse by the margin or more"."""
    standing: Standing

    @classmethod
    def of(cls, reference: Reference, compared: Compared) -> PairedResult:
        """Put a comparison into numbers."""
        table, anytime = compared.table, compared.difference
        return cls(
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
        )


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
        if self.rate is None:
            return {}
        head = f"eval/{self.suite}"
        found = {
            f"{head}/success_rate": self.rate,
            f"{head}/success_rate_low": self.interval[0],
            f"{head}/success_rate_high": self.interval[1],
            f"{head}/n": float(self.n),
            f"{head}/successes": float(self.successes),
            f"{head}/missing": float(self.missing),
        }
        if self.paired is not None:
            found |= {
                "paired/reference/difference": self.paired.difference,
                "paired/reference/difference_low": self.paired.interval[0],
                "paired/reference/difference_high": self.paired.interval[1],
            }
        return found

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


def write_comparison(folder: Path, step: int | None, paired: PairedResult | None) -> None:
    """Write the comparison beside the records, for readers of the run folder."""
    content: dict[str, Any] = {"format": 1, "step": step}
    if paired is not None:
        content["paired"] = paired.__dict__
    write_atomically(folder / FILE, json.dumps(content, indent=1, allow_nan=False) + "\n")
