"""Two success rates: verdicts at the margins, the pairing envelope, GRIM, needed episodes."""

from __future__ import annotations

import math

from vla_eval.audit.assertions import find
from vla_eval.audit.results import (
    AtMargin,
    Audited,
    ClaimComparison,
    ClaimFinding,
    Envelope,
    PrintedSpread,
    TaskComparison,
)
from vla_eval.audit.schema import ClaimsFile, Rate, RatesClaim
from vla_eval.audit.scores import scores_sentence
from vla_eval.drawing import words
from vla_eval.stats import (
    AssumedPairing,
    Flag,
    Heterogeneity,
    PairedCase,
    PairingEnvelope,
    Spread,
    exact_p_noninferior,
    grim_counts,
    heterogeneity,
    is_ceiling,
    judge_independent,
    miettinen_nurminen_interval,
    miettinen_nurminen_p_noninferior,
    newcombe_disagreement,
    pairing_envelope,
    pairs_by_formula,
    spread_kind,
    stratified_independent_interval,
)

__all__ = ["audit_rates"]

_DISAGREEMENT = 0.005
"""Largest accepted difference between Newcombe's interval and Miettinen and Nurminen's."""


def audit_rates(claim: RatesClaim, file: ClaimsFile) -> Audited:
    """Judge two success rates as unpaired counts, because pairs are not published.

    Args:
        claim: the claim.
        file: the file with its margins, its alpha and its negative control.
    """
    comparison = _compare(claim, file)
    passing = _passing_control(claim, file)
    flags = _flags(claim, comparison, file, control_passes=passing)
    finding, sentence = find(claim.asserts, comparison)
    if finding is ClaimFinding.SUPPORTED and passing:
        sentence += "; but a policy that should fail passes too, so this is weak evidence"
    details = _details(claim, comparison, file)
    if claim.halves:
        details += (scores_sentence(claim, comparison, finding, margin=file.margins[0]),)
    return Audited(claim, finding, f"{sentence}.", details, flags, comparison)


def _compare(claim: RatesClaim, file: ClaimsFile) -> ClaimComparison:
    ours, theirs = claim.candidate, claim.reference
    counts = (ours.count, ours.n, theirs.count, theirs.n)
    envelope = _envelope(claim)
    # Exact tests are slow, and only the sentences of parity claims mention pairings.
    judged = envelope if claim.asserts in ("parity", "nothing") else None
    strata = [
        (task.candidate.count, task.candidate.n, task.reference.count, task.reference.n)
        for task in claim.tasks
    ]
    return ClaimComparison(
        names=(ours.name, theirs.name),
        counts=counts,
        difference=ours.rate - theirs.rate,
        ci90=miettinen_nurminen_interval(*counts, alpha=0.10),
        ci95=miettinen_nurminen_interval(*counts, alpha=0.05 / claim.picked_from),
        picked_from=claim.picked_from,
        at=tuple(_at(counts, margin, file.alpha, judged) for margin in file.margins),
        envelope=None
        if envelope is None
        else Envelope(envelope.nested.interval(alpha=0.1), envelope.disjoint.interval(alpha=0.1)),
        spreads=tuple(_spread(rate) for rate in (ours, theirs) if rate.spread is not None),
        needed=_needed(theirs.rate, file),
        tasks=tuple(
            TaskComparison(
                task.name,
                task.candidate.rate - task.reference.rate,
                miettinen_nurminen_interval(*stratum, alpha=0.10),
            )
            for task, stratum in zip(claim.tasks, strata, strict=True)
        ),
        heterogeneity=_heterogeneity(claim),
        stratified90=stratified_independent_interval(strata, alpha=0.10) if strata else None,
    )


def _envelope(claim: RatesClaim) -> PairingEnvelope | None:
    """Return the extreme pairings if both arms may have run the same episodes, else None."""
    ours, theirs = claim.candidate, claim.reference
    whole = len(ours.counts) == len(theirs.counts) == 1
    if not (claim.same_episodes and whole and ours.n == theirs.n):
        return None
    return pairing_envelope(ours.counts[0], theirs.counts[0], ours.n)


def _at(
    counts: tuple[float, int, float, int],
    margin: float,
    alpha: float,
    envelope: PairingEnvelope | None,
) -> AtMargin:
    pairing, exact = _paired(envelope, margin, alpha) if envelope is not None else (None, None)
    return AtMargin(
        margin=margin,
        judgement=judge_independent(*counts, margin=margin, alpha=alpha),
        strict=judge_independent(*counts, margin=margin, alpha=alpha / 2),
        p_noninferior=miettinen_nurminen_p_noninferior(*counts, margin=margin),
        pairing=pairing,
        p_exact=exact,
    )


def _paired(
    envelope: PairingEnvelope, margin: float, alpha: float
) -> tuple[AssumedPairing, tuple[float, float]]:
    """Return the pairings under which the candidate is not inferior, and both extreme exact p-values.

    The same as `PairingEnvelope.judge`, without the exact tests of the other verdicts.
    """
    exact, passes = [], []
    for table in (envelope.nested, envelope.disjoint):
        p = exact_p_noninferior(table.n10, table.n01, table.n, margin=margin)
        exact.append(p)
        passes.append(table.interval(alpha=2 * alpha)[0] > -margin and p <= alpha)
    pairing = (
        AssumedPairing.ANY
        if passes[1]
        else AssumedPairing.FAVOURABLE
        if passes[0]
        else AssumedPairing.NONE
    )
    return pairing, (exact[0], exact[1])


def _spread(rate: Rate) -> PrintedSpread:
    printed = float(rate.spread or 0) / 100
    error = math.sqrt(rate.rate * (1 - rate.rate) / rate.n)
    return PrintedSpread(rate.name, printed, spread_kind(rate.rate, printed, rate.n), error)


def _needed(rate: float, file: ClaimsFile) -> int | None:
    """Return the unpaired episodes per arm for parity at the reference's rate, by formula.

    The formula is that of uncorrelated pairs; None at 0 or 100 %.
    """
    if not 0 < rate < 1:
        return None
    return pairs_by_formula(PairedCase(rate), margin=file.margins[0], alpha=file.alpha)


def _heterogeneity(claim: RatesClaim) -> Heterogeneity | None:
    """Test whether tasks agree, with binomial variances; None if a task has no variance."""
    pairs = [(task.candidate, task.reference) for task in claim.tasks]
    variances = [sum(rate.rate * (1 - rate.rate) / rate.n for rate in pair) for pair in pairs]
    if len(pairs) < 2 or min(variances) <= 0:
        return None
    return heterogeneity([ours.rate - theirs.rate for ours, theirs in pairs], variances)


def _passing_control(claim: RatesClaim, file: ClaimsFile) -> bool | None:
    """Return whether the negative control passes too, which it should not; None without a control."""
    if claim.negative_control is None:
        return None
    control = file.claim(claim.negative_control)
    if not isinstance(control, RatesClaim):
        raise TypeError(f"{control.id} is no comparison; the schema lets none such through")
    ours, theirs = control.candidate, control.reference
    return judge_independent(
        ours.count, ours.n, theirs.count, theirs.n, margin=file.margins[0], alpha=file.alpha
    ).noninferior


def _flags(
    claim: RatesClaim, comparison: ClaimComparison, file: ClaimsFile, *, control_passes: bool | None
) -> tuple[Flag, ...]:
    counts = comparison.counts
    unequal = comparison.heterogeneity
    holds = {
        Flag.CEILING: is_ceiling(claim.reference.rate, margin=file.margins[0]),
        Flag.NO_ASSAY_SENSITIVITY: bool(control_passes),
        Flag.CLUSTERED: claim.pooled_seeds > 1,
        Flag.HETEROGENEOUS: unequal is not None and unequal.p < 0.05,
        Flag.GRIM_FAIL: bool(_failing(claim)),
        Flag.SMALL_SAMPLE: counts is not None and newcombe_disagreement(*counts) > _DISAGREEMENT,
    }
    return tuple(flag for flag, held in holds.items() if held)


def _details(claim: RatesClaim, comparison: ClaimComparison, file: ClaimsFile) -> tuple[str, ...]:
    details = [*_grim(claim), *_rounding(claim, file)]
    if comparison.envelope is not None:
        nested, disjoint = comparison.envelope.nested, comparison.envelope.disjoint
        details.append(
            f"Had the same episodes been paired: 90 % {words.interval(nested)} if the failures "
            f"coincide, {words.interval(disjoint)} if they do not."
        )
    details += [_spread_sentence(spread, claim.pooled_seeds) for spread in comparison.spreads]
    if claim.pooled_seeds > 1:
        details.append(
            f"The counts pool {claim.pooled_seeds} evaluation seeds of one checkpoint on the same "
            "initial states, so the interval is too narrow by an amount that only per-state "
            "results could tell."
        )
    unequal, strata = comparison.heterogeneity, comparison.stratified90
    if unequal is not None and strata is not None:
        details.append(
            f"Every task with equal weight: 90 % {words.interval(strata)}; the same difference on "
            f"all tasks: Q = {unequal.q:.2f}, p = {unequal.p:.3f}."
        )
    return tuple(details)


def _failing(claim: RatesClaim) -> list[str]:
    """Return the printed rates that are no fraction of their episodes, in halves where scores are."""
    rates = [claim.candidate, claim.reference]
    rates += [rate for task in claim.tasks for rate in (task.candidate, task.reference)]
    parts = 2 if claim.halves else 1
    return [
        f"{rate.percent} % of {rate.n}"
        for rate in rates
        if rate.percent is not None and not grim_counts(rate.percent, parts * rate.n)
    ]


def _grim(claim: RatesClaim) -> list[str]:
    failing = _failing(claim)
    if not failing:
        return []
    which = ", ".join(dict.fromkeys(failing))
    verb = "is" if len(failing) == 1 else "are"
    sentence = (
        f"GRIM: {which} {verb} no whole number of successes, but a mean of partial credit; the "
        "intervals are conservative for it."
    )
    return [sentence]


def _rounding(claim: RatesClaim, file: ClaimsFile) -> list[str]:
    """Return a sentence if the verdict depends on the rounding of a percentage."""
    ours, theirs = claim.candidate, claim.reference
    if not ours.counts or not theirs.counts or len(ours.counts) == len(theirs.counts) == 1:
        return []
    verdicts = [
        judge_independent(x1, ours.n, x2, theirs.n, margin=file.margins[0], alpha=file.alpha)
        for x1, x2 in (
            (ours.counts[0], theirs.counts[-1]),
            (ours.counts[-1], theirs.counts[0]),
        )
    ]
    if verdicts[0] == verdicts[1]:
        return []
    low, high = (judgement.verdict.value for judgement in verdicts)
    return [f"The printed digits leave several counts open, from {low} to {high}."]


def _spread_sentence(spread: PrintedSpread, seeds: int) -> str:
    shown = f"±{100 * spread.printed:.1f} ({spread.name})"
    error = 100 * spread.standard_error
    if seeds > 1:
        return (
            f"{shown}: over {seeds} evaluation seeds the binomial alone gives a standard deviation "
            f"of {error * math.sqrt(seeds):.1f} points, and a standard error of {error:.1f}; no "
            "training seed is in it."
        )
    kind = "none of them" if spread.kind is Spread.UNKNOWN else f"about a {spread.kind}"
    return f"{shown}: {kind}; the binomial standard error is {error:.1f} points."
