"""The numbers of a recipe certificate: comparison, spreads, tasks, and the retrains that are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vla_eval.certificate.comparison import NOT_ACTING, NOT_TESTED, Level, graded
from vla_eval.certificate.evidence import RecipeEvidence
from vla_eval.certificate.model import Assay
from vla_eval.certificate.recipe.model import (
    RecipeComparison,
    RecipeSide,
    RecipeTask,
    Retrains,
)
from vla_eval.errors import RunFolderError
from vla_eval.judging.ledger import ArmEpisodes, Case
from vla_eval.judging.recipes import judge_recipes, on_states, task_names
from vla_eval.recipes import RecipePlan
from vla_eval.stats import SeedsOnStates, bet_p_above, recipe_power

__all__ = [
    "assay_of_recipe",
    "compare_recipes",
    "observed",
    "retrains",
    "sides",
    "tasks",
]

_POWER = 0.8
_FIVE_POINTS = 0.05
_MOST_SEEDS = 1000


def observed(evidence: RecipeEvidence, plan: RecipePlan) -> SeedsOnStates:
    """Return the two recipes on the states in which nothing is missing."""
    return _case(evidence, plan.candidate, "observed", paired=plan.design == "distilled")


def _case(
    evidence: RecipeEvidence, candidate: Sequence[str], case: Case, *, paired: bool
) -> SeedsOnStates:
    ours, theirs = (
        [evidence.arms[name] for name in side] for side in (candidate, evidence.roles.reference)
    )
    return _on_states(evidence, ours, theirs, case, paired=paired)


def _on_states(
    evidence: RecipeEvidence,
    ours: Sequence[ArmEpisodes],
    theirs: Sequence[ArmEpisodes],
    case: Case,
    *,
    paired: bool,
) -> SeedsOnStates:
    try:
        return on_states(evidence.keys, ours, theirs, paired=paired, case=case)
    except ValueError as error:
        raise RunFolderError(
            f"too few initial states have the results of all arms ({error}); repeat the run command to "
            "try the missing episodes again"
        ) from None


def compare_recipes(
    evidence: RecipeEvidence, candidate: Sequence[str], level: Level, *, paired: bool
) -> RecipeComparison:
    """Judge the arms of one recipe, or the control, against the reference recipe.

    The shown values are the observed ones. The verdict holds for every possible result of the missing
    and retried episodes.
    """
    seen, worst, best = (
        _case(evidence, candidate, case, paired=paired) for case in ("observed", "worst", "best")
    )
    judged = judge_recipes(worst, best, level.margin, level.alpha)
    variance = seen.variance
    return RecipeComparison(
        candidate=tuple(candidate),
        reference=evidence.roles.reference,
        difference=seen.difference,
        ci90=seen.interval(0.10),
        ci95=seen.interval(0.05),
        ci_judged=(worst.interval(2 * level.alpha)[0], best.interval(2 * level.alpha)[1]),
        ci90_seeds=seen.t_interval(0.10),
        standard_error=math.sqrt(variance.total),
        df=variance.df,
        states_se=math.sqrt(variance.states),
        training_se=math.sqrt(variance.training),
        p_worse=worst.p_above(-level.margin),
        p_seeds=seen.t_p_above(-level.margin),
        p_states=bet_p_above(seen.by_state, -level.margin, seen.weights),
        p_different=min(1.0, 2 * min(seen.p_above(0.0), seen.p_below(0.0))),
        verdict=judged.verdict,
        also=judged.also,
        observed_verdict=judge_recipes(seen, seen, level.margin, level.alpha).verdict,
    )


def sides(evidence: RecipeEvidence, plan: RecipePlan) -> tuple[RecipeSide, ...]:
    """Return the spread over training seeds of both recipes, and of their difference by seed."""
    seen = observed(evidence, plan)
    rows = {
        "candidate": (plan.candidate, seen.candidate),
        "reference": (plan.reference, seen.reference),
    }
    if plan.design != "independent":  # a frozen reference is the same for every seed
        rows["difference"] = (plan.candidate, seen.candidate - seen.reference)
    found = []
    for role, (arms, values) in rows.items():
        spread = seen.spread(values)
        means = tuple(float(mean) for mean in values @ seen.weights)
        found.append(
            RecipeSide.model_validate(
                {
                    "role": role,
                    "arms": arms,
                    "values": means,
                    "mean": sum(means) / len(means),
                    "sd": spread and spread.sd,
                    "sd_interval95": spread and spread.sd_interval,
                    "evaluation_sd": spread and spread.evaluation_sd,
                    "training_sd": spread and spread.training_sd,
                }
            )
        )
    return tuple(found)


def tasks(evidence: RecipeEvidence, plan: RecipePlan) -> tuple[RecipeTask, ...]:
    """Return each task's rates and difference."""
    seen, found = observed(evidence, plan), []
    for number, name in enumerate(task_names(evidence.keys)):
        own = seen.of_task(number)
        found.append(
            RecipeTask(
                task=name,
                states=len(own.tasks),
                candidate=float(own.candidate.mean()),
                reference=float(own.reference.mean()),
                difference=own.difference,
                ci90=own.interval(0.10),
            )
        )
    return tuple(found)


def assay_of_recipe(
    evidence: RecipeEvidence, control: RecipeComparison | None, level: Level
) -> Assay:
    """Grade the control against the reference recipe; its failures to act count as successes."""
    name = evidence.roles.control
    if control is None or name is None:
        return NOT_TESTED
    arm = evidence.arms[name]
    acting = {
        key: record.model_copy(update={"outcome": "success"})
        if record.reason in NOT_ACTING
        else record
        for key, record in arm.finals.items()
    }
    theirs = [evidence.arms[each] for each in evidence.roles.reference]
    harmless = ArmEpisodes(name, acting, arm.missing, arm.pending, arm.retried)
    best = _on_states(evidence, [harmless], theirs, "best", paired=False)
    reference = f"the recipe of {', '.join(evidence.roles.reference)}"
    return graded(name, reference, control.verdict, best.p_below(0.0), level.alpha)


def retrains(evidence: RecipeEvidence, plan: RecipePlan, level: Level) -> tuple[Retrains, ...]:
    """Return the training seeds a side for the judged margin, and for 5 points if that is larger."""
    seen = observed(evidence, plan)
    margins = [level.margin] + ([_FIVE_POINTS] if level.margin > _FIVE_POINTS else [])
    here = len(plan.candidate)
    found = []
    for margin in margins:
        enough = (
            k for k in range(2, _MOST_SEEDS + 1) if _power(seen, plan, k, margin, level) >= _POWER
        )
        found.append(
            Retrains(
                margin=margin,
                at_parity=_power(seen, plan, here, margin, level),
                seeds_for_80=next(enough, None),
            )
        )
    return tuple(found)


def _power(seen: SeedsOnStates, plan: RecipePlan, seeds: int, margin: float, level: Level) -> float:
    """Return the power with this many seeds a side, on these states, at the observed variances."""
    variance = seen.variance
    common = max(0.0, variance.states - variance.shared)
    scaled = max(variance.seeds, variance.shared) * len(plan.candidate) / seeds
    df = (2 if plan.design == "independent" else 1) * (seeds - 1)
    return recipe_power(common + scaled, df, margin=margin, alpha=level.alpha)
