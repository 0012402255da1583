"""Recipes over training seeds: Student's t on checkpoints, and separate noise floors."""

from __future__ import annotations

import math

import numpy as np

from vla_eval.audit.assertions import find
from vla_eval.audit.results import (
    AtMargin,
    Audited,
    ClaimComparison,
    ClaimFinding,
    SeedSpread,
)
from vla_eval.audit.schema import ClaimsFile, PrintedSeeds, SeedsClaim, SpanClaim
from vla_eval.stats import (
    Checkpoints,
    SeedInference,
    compare_distilled,
    compare_methods,
    compare_with_frozen,
    judge,
    noise_floor,
)

__all__ = ["audit_seeds", "audit_span"]

_DESIGNS = {
    "independent": compare_methods,
    "frozen-reference": compare_with_frozen,
    "paired": compare_distilled,
}


def audit_seeds(claim: SeedsClaim, file: ClaimsFile) -> Audited:
    """Judge a recipe by its checkpoints; see `vla_eval.stats.seeds` for the three designs."""
    ours, theirs = _checkpoints(claim.candidate), _checkpoints(claim.reference)
    inference = _DESIGNS[claim.design](ours, theirs)
    comparison = ClaimComparison(
        names=(claim.candidate.name, claim.reference.name),
        counts=None,
        difference=inference.difference,
        ci90=inference.interval(alpha=0.10),
        ci95=inference.interval(),
        at=tuple(_at(inference, margin, file.alpha) for margin in file.margins),
        df=inference.df,
        seeds=_spread(ours) if ours.k > 1 else None,
    )
    finding, sentence = find(claim.asserts, comparison)
    details = [_who(claim, inference)]
    if comparison.seeds is not None:
        details.append(_spread_sentence(claim.candidate, comparison.seeds))
    return Audited(claim, finding, f"{sentence}.", tuple(details), (), comparison)


_SHOWN_BELOW = 0.05
"""Level of the test whether the episodes explain a spread."""


def audit_span(claim: SpanClaim) -> Audited:
    """Judge whether training seeds spread wider than their episodes explain, by χ² with K − 1 df.

    Under "the seeds do not matter" (K − 1) s²/w is about χ², with s² the variance of the checkpoints'
    rates and w the binomial variance of one.
    """
    from scipy.special import chdtrc

    printed = claim.checkpoints
    checkpoints = _checkpoints(printed)
    spread, df = _spread(checkpoints), checkpoints.k - 1
    p = float(chdtrc(df, df * (spread.sd / spread.binomial_sd) ** 2))
    percents = [float(percent) for percent in printed.percents]
    span = (
        f"a span of {max(percents) - min(percents):.1f} points over {checkpoints.k} checkpoints of "
        f"{printed.n} episodes (p = {p:.2g})"
    )
    training = f"beside the episodes' {100 * spread.binomial_sd:.1f} points the training seed has "
    shown = p <= _SHOWN_BELOW
    sentence = (
        f"Wider than the episodes explain: {span}."
        if shown
        else f"Not shown to be wider than the episodes explain: {span}."
    )
    numbers = {"sd": spread.sd, "sd95": list(spread.sd95), "binomial_sd": spread.binomial_sd}
    return Audited(
        claim,
        ClaimFinding.SUPPORTED if shown else ClaimFinding.UNRESOLVED,
        sentence,
        (
            _spread_sentence(printed, spread),
            f"As an estimate, {training}{100 * spread.training_sd:.1f}.",
        ),
        numbers={**numbers, "training_sd": spread.training_sd, "p": p},
    )


def _checkpoints(seeds: PrintedSeeds) -> Checkpoints:
    return Checkpoints.of([float(percent) * seeds.n / 100 for percent in seeds.percents], seeds.n)


def _at(inference: SeedInference, margin: float, alpha: float) -> AtMargin:
    return AtMargin(
        margin=margin,
        judgement=judge(inference.interval(alpha=2 * alpha), margin),
        strict=judge(inference.interval(alpha=alpha), margin),
        p_noninferior=inference.p_noninferior(margin=margin),
    )


def _spread(checkpoints: Checkpoints) -> SeedSpread:
    from scipy.special import stdtrit

    floor = noise_floor(checkpoints)
    error = floor.sd / math.sqrt(checkpoints.k)
    half = float(stdtrit(checkpoints.k - 1, 0.975)) * error
    return SeedSpread(floor.sd, floor.sd_interval, floor.binomial_sd, floor.training_sd, half)


def _who(claim: SeedsClaim, inference: SeedInference) -> str:
    candidates, references = len(claim.candidate.percents), len(claim.reference.percents)
    against = {
        "independent": f"{references} of the reference",
        "frozen-reference": "one reference checkpoint, and about that one only",
        "paired": "as many of the reference, pair by pair",
    }[claim.design]
    return (
        f"{candidates} checkpoints against {against}: Student's t with {inference.df:.1f} degrees of "
        "freedom, variance not below the binomial's."
    )


def _spread_sentence(seeds: PrintedSeeds, spread: SeedSpread) -> str:
    low, high = (100 * limit for limit in spread.sd95)
    mean = np.mean([float(percent) for percent in seeds.percents])
    return (
        f"{seeds.name}: mean {mean:.1f} %, standard deviation over training seeds "
        f"{100 * spread.sd:.1f} points (95 % {low:.1f} to {high:.1f}), of which the episodes "
        f"explain {100 * spread.binomial_sd:.1f}; the mean is known to "
        f"±{100 * spread.half95:.1f} points."
    )
