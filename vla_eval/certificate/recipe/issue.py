"""Issuing a certificate about two recipes, from admitted evidence and by the protocol's plan."""

from __future__ import annotations

from vla_eval.bounds import check_margin
from vla_eval.certificate.anchors import Anchors
from vla_eval.certificate.comparison import Level
from vla_eval.certificate.evidence import RecipeEvidence
from vla_eval.certificate.flags import about_anchors, about_arms, about_records, in_order
from vla_eval.certificate.issue import arm_result, frame, refuse_trained_on
from vla_eval.certificate.model import Assay, Role
from vla_eval.certificate.recipe.compare import (
    assay_of_recipe,
    compare_recipes,
    retrains,
    sides,
    tasks,
)
from vla_eval.certificate.recipe.model import RecipeCertificate, RecipeComparison, RecipeSide
from vla_eval.certificate.recipe.seeds import refuse_copies, unlike_data
from vla_eval.claims.registration import Registration, check
from vla_eval.errors import UsageError
from vla_eval.judging.roles import RecipeRoles
from vla_eval.recipes import RecipePlan
from vla_eval.released import standing
from vla_eval.stats import Flag, is_ceiling, is_floor

__all__ = ["issue_recipe"]


def issue_recipe(
    evidence: RecipeEvidence,
    *,
    margin: float | None = None,
    registration: Registration | None = None,
    attempt: int = 1,
) -> RecipeCertificate:
    """Judge admitted evidence about two recipes.

    Args:
        evidence: the admitted episodes.
        margin: replaces the protocol's margin; the certificate is then flagged as post hoc.
        registration: the declaration made before the first episode, if any.
        attempt: number of this recipe among those tried on these states with this reference.

    Raises:
        RunFolderError: the arms of a recipe are no different training seeds, or the evidence contradicts
            the registration.
        ProtocolError: the protocol differs from the released one with its name and version.
    """
    analysis, roles, protocol = evidence.protocol.analysis, evidence.roles, evidence.protocol
    plan = _plan(evidence)
    anchors = Anchors(standing(protocol), registration, attempt)
    if registration is not None:
        check(registration, evidence.header, roles, evidence.first_attempt_at)
    refuse_copies(evidence)
    refuse_trained_on(evidence)
    level = Level(
        check_margin(analysis.margin if margin is None else margin), anchors.alpha(analysis.alpha)
    )
    comparison = compare_recipes(evidence, plan.candidate, level, paired=plan.design == "distilled")
    control = (
        compare_recipes(evidence, (roles.control,), level, paired=False) if roles.control else None
    )
    assay = assay_of_recipe(evidence, control, level)
    spreads = sides(evidence, plan)
    raised = _flags(evidence, plan, spreads, assay, anchors, level.margin)
    shared = frame(evidence, level, anchors, raised)
    states = len({(key.suite, key.task, key.init_state) for key in evidence.keys})
    return RecipeCertificate(
        claim=_claim(plan, level, shared["what_ran"]),
        verdict=comparison.verdict,
        sentence=_sentence(evidence, comparison, level),
        design=plan.design,
        **shared,
        states=states,
        repeats=len(evidence.keys) // states,
        comparison=comparison,
        sides=spreads,
        tasks=tasks(evidence, plan),
        control=control,
        assay=assay,
        retrains=retrains(evidence, plan, level),
        arms=tuple(arm_result(evidence, name, _role(roles, name)) for name in roles.names),
    )


def _plan(evidence: RecipeEvidence) -> RecipePlan:
    plan = evidence.protocol.analysis.recipe
    if plan is None:
        raise UsageError(f"{evidence.protocol.label} is not about recipes")
    return plan


def _role(roles: RecipeRoles, name: str) -> Role:
    if name in roles.candidate:
        return "candidate"
    return "reference" if name in roles.reference else "negative control"


def _flags(
    evidence: RecipeEvidence,
    plan: RecipePlan,
    spreads: tuple[RecipeSide, ...],
    assay: Assay,
    anchors: Anchors,
    margin: float,
) -> dict[Flag, str]:
    rate = next(side.mean for side in spreads if side.role == "reference")
    run = evidence.protocol.run
    repeats = len(run.env_seeds) * len(run.policy_seeds)
    raised = {
        **about_arms(evidence),
        **about_records(evidence),
        **about_anchors(evidence, anchors, margin),
        Flag.SINGLE_CHECKPOINT: f"reference {plan.reference[0]}"
        if plan.design == "frozen"
        else None,
        Flag.UNLIKE_SEEDS: unlike_data(evidence),
        Flag.CEILING: "" if is_ceiling(rate, margin=margin) else None,
        Flag.FLOOR: "" if is_floor(rate, margin=margin) else None,
        Flag.CLUSTERED: f"{repeats} repeats" if repeats > 1 else None,
    }
    return in_order(raised, assay)


def _claim(plan: RecipePlan, level: Level, ran: str) -> str:
    reference = {
        "distilled": "the recipe of their own teachers {names}",
        "frozen": "the one frozen checkpoint {names}",
        "independent": "the recipe of {names}",
    }[plan.design].format(names=", ".join(plan.reference))
    return (
        f"the recipe of {', '.join(plan.candidate)} is not worse than {reference} by "
        f"{100 * level.margin:g} points or more, over training seeds and initial states: {ran}"
    )


def _sentence(evidence: RecipeEvidence, comparison: RecipeComparison, level: Level) -> str:
    low, high = (f"{100 * limit:+.1f}" for limit in comparison.ci_judged)
    doubt = any(arm.missing or arm.retried for arm in evidence.arms.values())
    cases = ", whatever the missing and retried episodes were" if doubt else ""
    return (
        f"{comparison.verdict.sentence} (Recipes, over {len(comparison.candidate)} training seeds: "
        f"difference {100 * comparison.difference:+.1f} points, "
        f"{100 * (1 - 2 * level.alpha):.3g} % interval [{low}, {high}]{cases}, margin "
        f"{100 * level.margin:g} points.)"
    )
