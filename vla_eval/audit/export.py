"""An audit for machines."""

from __future__ import annotations

from typing import Any

from vla_eval.audit.results import AtMargin, Audit, Audited, ClaimComparison

__all__ = ["to_json"]


def to_json(audit: Audit) -> dict[str, Any]:
    """Return the form that scripts rely on; rates and differences are fractions."""
    return {
        "title": audit.file.title,
        "margins": list(audit.file.margins),
        "alpha": audit.file.alpha,
        "post_hoc": True,
        "findings": {finding.value: count for finding, count in audit.counts().items()},
        "claims": [_claim(audited, audit) for audited in audit.claims],
    }


def _claim(audited: Audited, audit: Audit) -> dict[str, Any]:
    claim = audited.claim
    source = audit.file.sources[claim.source]
    return {
        "id": claim.id,
        "kind": claim.kind,
        "finding": audited.finding.value,
        "sentence": audited.sentence,
        "says": claim.says,
        "source": {"name": claim.source, **source.model_dump(exclude_none=True)},
        "where": claim.where,
        "note": claim.note,
        "details": list(audited.details),
        "flags": [flag.value for flag in audited.flags],
        "comparison": None if audited.comparison is None else _comparison(audited.comparison),
        "numbers": audited.numbers,
    }


def _comparison(comparison: ClaimComparison) -> dict[str, Any]:
    value: dict[str, Any] = {
        "candidate": comparison.names[0],
        "reference": comparison.names[1],
        "counts": None if comparison.counts is None else list(comparison.counts),
        "difference": comparison.difference,
        "ci90": list(comparison.ci90),
        "ci95": list(comparison.ci95),
        "at": [_at(at) for at in comparison.at],
        "episodes_needed_per_arm": comparison.needed,
    }
    if comparison.envelope is not None:
        value["tango90"] = {
            "nested": list(comparison.envelope.nested),
            "disjoint": list(comparison.envelope.disjoint),
        }
    if comparison.heterogeneity is not None:
        unequal = comparison.heterogeneity
        value["heterogeneity"] = {"q": unequal.q, "df": unequal.df, "p": unequal.p}
    if comparison.stratified90 is not None:
        value["stratified90"] = list(comparison.stratified90)
    if comparison.seeds is not None:
        seeds = comparison.seeds
        value["df"] = comparison.df
        value["training_seeds"] = {
            "sd": seeds.sd,
            "sd95": list(seeds.sd95),
            "binomial_sd": seeds.binomial_sd,
            "training_sd": seeds.training_sd,
        }
    return value


def _at(at: AtMargin) -> dict[str, Any]:
    return {
        "margin": at.margin,
        "verdict": at.judgement.verdict.value,
        "also": [verdict.value for verdict in at.judgement.also],
        "verdict_at_half_alpha": at.strict.verdict.value,
        "p_noninferior": at.p_noninferior,
        "holds_under_pairings": None if at.pairing is None else at.pairing.value,
        "p_noninferior_exact": None if at.p_exact is None else list(at.p_exact),
    }
