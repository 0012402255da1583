"""Verdicts and flags: closed sets whose members each have a sentence.

A verdict is a function of an interval of level 1 − 2 alpha, a margin, and one-sided tests that keep
their level (guards). It never states "no difference": a wide interval is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from vla_eval.stats._numeric import Interval
from vla_eval.stats.clusters import ClusteredPairs, ClusterTest
from vla_eval.stats.exact import exact_p_above
from vla_eval.stats.independent import miettinen_nurminen_interval
from vla_eval.stats.paired import PairedTable

__all__ = [
    "Flag",
    "Guards",
    "Judgement",
    "Verdict",
    "is_ceiling",
    "is_floor",
    "judge",
    "judge_clustered",
    "judge_independent",
    "judge_paired",
]


class _Said(StrEnum):
    """A word with its sentence."""

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member


class Verdict(_Said):
    """Result of a comparison at its margin."""

    SUPERIOR = "superior", "The candidate succeeds more often than the reference."
    EQUIVALENT = "equivalent", "The success rates differ by less than the margin, both ways."
    NON_INFERIOR = "non-inferior", "The candidate is not worse than the reference by the margin."
    INFERIOR = "inferior", "The candidate is worse than the reference by more than the margin."
    WORSE = "worse", "The candidate succeeds less often than the reference."
    WITHHELD = (
        "withheld",
        "The claim holds over all tasks, but a task is shown to be worse by more than its margin.",
    )
    INCONCLUSIVE = "inconclusive", "These episodes decide neither for nor against the claim."


class Flag(_Said):
    """Information that a reader needs beside the verdict."""

    POST_HOC = (
        "post-hoc",
        "The margin is not the protocol's: it was given with the results at hand.",
    )
    UNPAIRED = "unpaired", "The arms did not run the same episodes."
    CEILING = (
        "ceiling",
        "The reference fails less often than the margin: a candidate that doubled its failures could pass.",
    )
    FLOOR = (
        "floor",
        "The reference succeeds less often than the margin: a candidate that never succeeds could pass.",
    )
    NO_ASSAY_SENSITIVITY = (
        "no-assay-sensitivity",
        "A policy that is known to be bad passed too, so passing is weak evidence.",
    )
    SENSITIVITY_NOT_SHOWN = (
        "assay-sensitivity-not-shown",
        "The negative control did not pass, but it is not shown to be worse than the reference.",
    )
    NOT_TESTED_SENSITIVITY = (
        "assay-sensitivity-not-tested",
        "No negative control ran: it is unknown whether a bad policy would have passed.",
    )
    SINGLE_CHECKPOINT = "single-checkpoint", "One training seed says nothing about the recipe."
    UNLIKE_SEEDS = (
        "unlike-seeds",
        "Training seeds of one recipe learned from other demonstrations, so these vary with the seed.",
    )
    CLUSTERED = (
        "clustered",
        "Initial states were repeated: states are the evidence, repeats only refine each of them.",
    )
    ATTRITION = (
        "attrition",
        "Some planned episodes are missing; the verdict holds whatever they would have been.",
    )
    RETRIED = (
        "retried",
        "Some results came after an attempt that was lost while the policy ran: counted at their worst.",
    )
    REUSED_HOLDOUT = (
        "reused-holdout",
        "Other candidates were certified on these states with this reference before; alpha is smaller.",
    )
    PICKED_CANDIDATE = (
        "picked-candidate",
        "The run holds other arms that could have been the candidate, and nothing declared which one is.",
    )
    HETEROGENEOUS = (
        "heterogeneous",
        "The difference is not the same on all tasks; read them singly.",
    )
    TASK_WORSE = (
        "task-worse",
        "On a task the candidate is shown to be worse by more than the protocol's task margin.",
    )
    GRIM_FAIL = "grim-fail", "A reported rate is no fraction of its number of episodes."
    SMALL_SAMPLE = "small-sample", "Two methods of computing the interval differ noticeably."
    STAND_INS = (
        "stand-in-assets",
        "Episodes ran on stand-in assets: fit for tests, and no result of the benchmark's.",
    )
    DECLARED_POLICY = (
        "declared-policy",
        "A server did not say which policy it serves; who it is, its user declared.",
    )
    DECLARED_LATENCY = (
        "declared-latency",
        "Latencies are declared, or published for another machine, and not measured on this one.",
    )
    NAIVE_ASYNC = (
        "naive-async",
        "A late chunk replaces the queue, and the policies do not know which actions run meanwhile.",
    )
    NO_JITTER = "no-jitter", "Every inference takes the same time; real ones vary."
    UNHASHED_WEIGHTS = (
        "unhashed-weights",
        "No hash covers a policy's weights: nobody can tell whether all episodes had the same.",
    )
    UNHASHED_SPEC = (
        "unhashed-spec",
        "The run was made by an earlier version, which did not hash the policies' specs.",
    )
    PRIVILEGED = "privileged", "A policy reads the simulator's state instead of pictures."
    SELF_COMPARISON = "self-comparison", "Candidate and reference are the same policy."
    TRAINED_ON_UNKNOWN = (
        "trained-on-unknown",
        "Nobody knows whether a policy was trained in the states that it was judged in.",
    )
    DEVELOPMENT_STATES = (
        "development-states",
        "Some states are meant for development and for choosing checkpoints, not for certificates.",
    )
    BATCHED = (
        "batched",
        "Observations were inferred together; the last bits of actions can depend on that.",
    )
    STOPPED_BY_HAND = (
        "stopped-by-hand",
        "The run was ended between two looks; it is judged at the last one, whose interval allows it.",
    )
    MODIFIED = (
        "modified-protocol",
        "The protocol was changed on the command line: it is not the one of that name.",
    )
    UNRELEASED_PROTOCOL = (
        "unreleased-protocol",
        "No lock of released protocols knows this one: nothing shows that it was not written to fit.",
    )
    UNREGISTERED = (
        "unregistered",
        "Nothing shows that protocol, policies and roles were declared before the first episode.",
    )


@dataclass(frozen=True)
class Judgement:
    """The strongest verdict, and other verdicts that hold too."""

    verdict: Verdict
    also: tuple[Verdict, ...] = ()
    """Weaker or additional verdicts that hold too, such as WORSE beside NON_INFERIOR."""

    @property
    def noninferior(self) -> bool:
        """Whether the claim "not worse by the margin" holds."""
        holds = (Verdict.SUPERIOR, Verdict.EQUIVALENT, Verdict.NON_INFERIOR)
        return self.verdict in holds


@dataclass(frozen=True)
class Guards:
    """One-sided claims about the difference that are shown by tests that keep their level."""

    above_minus_margin: bool = True
    """Whether "the difference is above −margin" is shown."""
    below_margin: bool = True
    """Whether "the difference is below +margin" is shown."""
    above_zero: bool = True
    below_minus_margin: bool = True
    below_zero: bool = True

    @classmethod
    def of(
        cls,
        p_above: Callable[[float], float],
        p_below: Callable[[float], float],
        *,
        margin: float,
        alpha: float,
    ) -> Guards:
        """Apply tests of level alpha.

        Args:
            p_above: p-value of "the difference is Δ or less".
            p_below: p-value of "the difference is Δ or more".
            margin: above 0.
            alpha: one-sided.
        """
        return cls(
            above_minus_margin=p_above(-margin) <= alpha,
            below_margin=p_below(margin) <= alpha,
            above_zero=p_above(0.0) <= alpha,
            below_minus_margin=p_below(-margin) <= alpha,
            below_zero=p_below(0.0) <= alpha,
        )


_UNGUARDED = Guards()


def judge(interval: Interval, margin: float, *, guards: Guards = _UNGUARDED) -> Judgement:
    """Return the verdict on an interval of level 1 − 2 alpha.

    SUPERIOR: lower limit above 0. EQUIVALENT: both limits inside ±margin. NON_INFERIOR: lower limit
    above −margin. INFERIOR: upper limit below −margin. WORSE: upper limit below 0. From
    non-inferior to superior is a closed test: alpha is not divided.

    Args:
        interval: (lower, upper) for candidate minus reference.
        margin: above 0.
        guards: claims that the tests show; a verdict also needs the claims that it implies.

    Raises:
        ValueError: the margin is outside (0, 1).
    """
    if not 0 < margin < 1:
        raise ValueError(f"margin {margin} is not in (0, 1)")
    lower, upper = interval
    noninferior = lower > -margin and guards.above_minus_margin
    holds = {
        Verdict.SUPERIOR: lower > 0 and noninferior and guards.above_zero,
        Verdict.EQUIVALENT: noninferior and upper < margin and guards.below_margin,
        Verdict.NON_INFERIOR: noninferior,
        Verdict.INFERIOR: upper < -margin and guards.below_minus_margin,
    }
    verdicts = [verdict for verdict, held in holds.items() if held]
    # Superior and equivalent both imply non-inferior, which is then left out.
    verdicts = [
        verdict for verdict in verdicts if verdict is not Verdict.NON_INFERIOR or len(verdicts) == 1
    ]
    strongest = verdicts[0] if verdicts else Verdict.INCONCLUSIVE
    worse = upper < 0 and guards.below_zero and strongest is not Verdict.INFERIOR
    return Judgement(strongest, (*verdicts[1:], *((Verdict.WORSE,) if worse else ())))


def judge_paired(table: PairedTable, *, margin: float, alpha: float = 0.05) -> Judgement:
    """Return the verdict on paired counts: Tango's interval, and the exact test as a guard.

    The guard covers every verdict: Tango's score alone is slightly liberal if few pairs are discordant,
    up to 8.7 % for INFERIOR (30 pairs, 10 points).

    Args:
        table: counts of pairs.
        margin: above 0.
        alpha: one-sided.
    """
    guards = _exact_guards(table.n10, table.n01, table.n, margin=margin, alpha=alpha)
    return judge(table.interval(alpha=2 * alpha), margin, guards=guards)


def _exact_guards(n10: int, n01: int, n: int, *, margin: float, alpha: float) -> Guards:
    return Guards.of(
        lambda delta: exact_p_above(n10, n01, n, delta=delta),
        lambda delta: exact_p_above(n01, n10, n, delta=-delta),
        margin=margin,
        alpha=alpha,
    )


def judge_clustered(
    data: ClusteredPairs, *, margin: float, alpha: float = 0.05, test: ClusterTest = "both"
) -> Judgement:
    """Return the verdict on clustered pairs, valid for any dependence of a state's repeats.

    Args:
        data: counts of each cluster.
        margin: above 0.
        alpha: one-sided.
        test: see `vla_eval.stats.clusters`.
    """
    guards = Guards.of(
        lambda delta: data.p_above(delta, test=test),
        lambda delta: data.p_below(delta, test=test),
        margin=margin,
        alpha=alpha,
    )
    return judge(data.interval(alpha=2 * alpha, test=test), margin, guards=guards)


def is_ceiling(p_reference: float, *, margin: float) -> bool:
    """Whether the reference fails so rarely that the margin exceeds all its failures."""
    return margin > 1 - p_reference


def is_floor(p_reference: float, *, margin: float) -> bool:
    """Whether the reference succeeds so rarely that the margin exceeds all its successes."""
    return margin > p_reference


def judge_independent(
    x1: float, n1: int, x2: float, n2: int, *, margin: float, alpha: float = 0.05
) -> Judgement:
    """Return the verdict on two rates from different episodes, by Miettinen and Nurminen."""
    return judge(miettinen_nurminen_interval(x1, n1, x2, n2, alpha=2 * alpha), margin)
