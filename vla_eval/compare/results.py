"""Results of a comparison of many policies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vla_eval.judging.curves import Curves, Within
from vla_eval.judging.virtual import VirtualArm
from vla_eval.protocol import Protocol
from vla_eval.stats import PairedTable
from vla_eval.summary.model import protocol_json

__all__ = ["PairResult", "RankedArm", "Ranking"]

type Interval = tuple[float, float]


@dataclass(frozen=True)
class RankedArm:
    """One policy."""

    name: str
    spec: str
    folders: tuple[str, ...]
    n: int
    successes: int
    wilson95: Interval
    """Wilson's 95 % interval; if initial states repeat, from effective counts."""
    vif: float | None
    """Variance inflation by repeats of initial states; None without repeats."""
    missing: int
    """Planned episodes without a result."""
    mean_score: float
    infer_ms: float | None
    """Median inference time, without the first inference of each episode; in virtual time the declared one."""
    infer_ms_p95: float | None
    nfe: float | None
    """Function evaluations per inference."""
    letters: str
    """Letters of the policy; two policies with a common letter do not differ significantly."""
    pareto: bool | None
    """Whether no other policy is both as successful and as fast; None without times."""
    tasks: dict[str, tuple[int, int]]
    """``suite/task`` to (successes, episodes)."""
    virtual: VirtualArm | None = None
    """Delays and stalls; None unless the protocol runs in virtual time."""

    @property
    def rate(self) -> float:
        """Success rate."""
        return self.successes / self.n


@dataclass(frozen=True)
class PairResult:
    """Two policies; the first has the higher success rate."""

    first: str
    second: str
    table: PairedTable | None
    """Counts of pairs; None if the episodes could not be paired."""
    unpaired_because: str
    method: str
    difference: float
    """Success rate of the first minus that of the second."""
    ci95: Interval
    simultaneous95: Interval
    """Interval of level 1 − 0.05/m, for m pairs of policies (Bonferroni)."""
    p: float
    """Two-sided p-value of "they succeed equally often"."""
    p_holm: float
    """p-value adjusted so that the probability of any false difference among all pairs is at most alpha."""
    q_bh: float
    """q-value for screening: a share of q of the differences found at level q is false."""
    differ: bool
    """Whether ``p_holm`` is below alpha."""
    heterogeneity_p: float | None
    """p-value of "the difference is the same on all tasks"."""
    within: tuple[Within, ...] = ()
    """Differences of successes by time, with intervals that hold for all pairs and times at once; empty
    unless the protocol runs in virtual time and the episodes are paired."""


@dataclass(frozen=True)
class Ranking:
    """All policies, best first, and all pairs of them."""

    protocol: Protocol
    alpha: float
    planned: int
    """Planned episodes per arm."""
    arms: tuple[RankedArm, ...]
    pairs: tuple[PairResult, ...]
    cochran: tuple[float, float] | None
    """Cochran's Q over all policies and its p-value; None if episodes repeat or are unpaired."""
    tasks: tuple[str, ...]
    warnings: tuple[str, ...]
    curves: Curves | None = None
    """Successes by time; None unless the protocol runs in virtual time."""

    def pair(self, one: str, other: str) -> PairResult:
        """Return the result of two policies, named in any order."""
        return next(pair for pair in self.pairs if {pair.first, pair.second} == {one, other})

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return {
            "protocol": protocol_json(self.protocol, self.planned),
            "post_hoc": True,
            "alpha": self.alpha,
            "warnings": list(self.warnings),
            "arms": [_arm_json(arm) for arm in self.arms],
            "pairs": [_pair_json(pair) for pair in self.pairs],
            "cochran_q": (
                None
                if self.cochran is None
                else {"statistic": self.cochran[0], "p": self.cochran[1]}
            ),
            **({} if self.curves is None else {"curves": self.curves.to_json()}),
        }


def _arm_json(arm: RankedArm) -> dict[str, Any]:
    return {
        "name": arm.name,
        "spec": arm.spec,
        "folders": list(arm.folders),
        "n": arm.n,
        "successes": arm.successes,
        "rate": arm.rate,
        "wilson95": list(arm.wilson95),
        "vif": arm.vif,
        "missing": arm.missing,
        "mean_score": arm.mean_score,
        "infer_ms": {"p50": arm.infer_ms, "p95": arm.infer_ms_p95},
        "nfe_per_inference": arm.nfe,
        "letters": arm.letters,
        "pareto": arm.pareto,
        "tasks": {name: {"successes": x, "n": n} for name, (x, n) in arm.tasks.items()},
        **({} if arm.virtual is None else {"realtime": arm.virtual.to_json()}),
    }


def _pair_json(pair: PairResult) -> dict[str, Any]:
    table = pair.table
    return {
        "first": pair.first,
        "second": pair.second,
        "paired": table is not None,
        "unpaired_because": pair.unpaired_because or None,
        "table": table and {"n11": table.n11, "n10": table.n10, "n01": table.n01, "n00": table.n00},
        "method": pair.method,
        "difference": pair.difference,
        "ci95": list(pair.ci95),
        "simultaneous95": list(pair.simultaneous95),
        "p": pair.p,
        "p_holm": pair.p_holm,
        "q_bh": pair.q_bh,
        "differ": pair.differ,
        "heterogeneity_p": pair.heterogeneity_p,
        **({"within": [asdict(each) for each in pair.within]} if pair.within else {}),
    }
