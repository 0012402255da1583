"""The certificate of two recipes in words, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Iterator

from vla_eval.certificate.model import ArmResult
from vla_eval.certificate.recipe.model import (
    RecipeCertificate,
    RecipeComparison,
    RecipeSide,
    Retrains,
)
from vla_eval.drawing.terminal import folded
from vla_eval.summary.text import points

__all__ = [
    "RETRAINS_NOTE",
    "flag_lines",
    "p_words",
    "parts_words",
    "recipe_text",
    "retrains_words",
    "run_words",
    "scope_words",
    "side_words",
]


RETRAINS_NOTE = (
    "(Student's t by formula, at the observed spreads, of which so few seeds know little; the test by "
    "state takes more initial states where few outcomes differ)"
)
"""What the numbers of retrains leave out."""


def recipe_text(certificate: RecipeCertificate) -> str:
    """Return the verdict, followed by its evidence."""
    comparison = certificate.comparison
    lines = [
        f"{comparison.verdict.upper()}, {scope_words(certificate)}: {certificate.sentence}",
        *(f"also {verdict.upper()}: {verdict.sentence}" for verdict in comparison.also),
        f"claim: {certificate.claim}",
        f"control: {certificate.assay.sentence}",
        "",
        _difference(comparison),
        parts_words(certificate),
        p_words(certificate),
        *_observed(comparison),
        "",
        *(side_words(side) for side in certificate.sides),
        *_secondary(certificate),
        "",
        *(retrains_words(certificate, each) for each in certificate.retrains),
        RETRAINS_NOTE,
        "",
        *(_arm(arm) for arm in certificate.arms),
        *_control(certificate),
        run_words(certificate),
        "",
        *(f"! {line}" for line in flag_lines(certificate)),
        (
            f"protocol {certificate.protocol} {certificate.protocol_sha256[:12]} · "
            f"records {certificate.records_sha256[:12]}"
        ),
    ]
    return folded(lines)


def scope_words(certificate: RecipeCertificate) -> str:
    """Return the scope: whether both recipes are meant, or one against a frozen checkpoint."""
    ours, theirs = certificate.seeds
    seeds = f"{ours}" if ours == theirs else f"{ours} and {theirs}"
    return {
        "distilled": f"scope recipe ({seeds} training seeds a side, student with own teacher)",
        "frozen": f"scope recipe ({ours} training seeds against one frozen checkpoint)",
        "independent": f"scope recipe ({seeds} independent training seeds a side)",
    }[certificate.design]


def flag_lines(certificate: RecipeCertificate) -> Iterator[str]:
    """Yield each flag with its sentence and its detail."""
    for flag in certificate.flags:
        detail = certificate.details.get(flag.value)
        yield f"{flag.upper()}: {flag.sentence}" + (f" ({detail})" if detail else "")


def _difference(comparison: RecipeComparison) -> str:
    low90, high90, low95, high95 = map(points, (*comparison.ci90, *comparison.ci95))
    return (
        f"difference {points(comparison.difference)} points; over seeds and states 90 % [{low90}, "
        f"{high90}], 95 % [{low95}, {high95}]"
    )


def parts_words(certificate: RecipeCertificate) -> str:
    """Return the standard error in its parts: initial states, and training seeds."""
    comparison = certificate.comparison
    states, training, error = (
        f"{100 * part:.1f}"
        for part in (comparison.states_se, comparison.training_se, comparison.standard_error)
    )
    return (
        f"standard error {error} points, Student's t with {comparison.df:.3g} degrees of freedom: "
        f"evaluation noise {states} ({certificate.states} initial states, shared by all seeds), "
        f"training-seed noise {training} beside it"
    )


def p_words(certificate: RecipeCertificate) -> str:
    """Return the p-value of "worse by the margin or more" with both its tests and its level."""
    comparison = certificate.comparison
    return (
        f'p-value of "worse by {100 * certificate.margin:g} points or more": '
        f"{comparison.p_worse:.3g} (the larger of two tests: over seeds and states "
        f"{comparison.p_seeds:.3g}, by state for these checkpoints {comparison.p_states:.3g}), "
        f"needs {certificate.alpha:.3g}"
    )


def _observed(comparison: RecipeComparison) -> Iterator[str]:
    if comparison.observed_verdict is not comparison.verdict:
        yield (
            f"of the states with all results alone it would be {comparison.observed_verdict}; "
            "missing and retried episodes are counted at their worst"
        )


def side_words(side: RecipeSide) -> str:
    """Return the spread over training seeds, apart from that of the episodes."""
    if side.role == "difference":
        name, values = "difference by seed", " / ".join(map(points, side.values))
    else:
        name, values = side.role, " / ".join(f"{value:.1%}" for value in side.values)
    if side.sd is None or side.sd_interval95 is None:
        return f"{name}: {values}; one checkpoint, so its training-seed noise is unknown"
    low, high = (f"{100 * limit:.1f}" for limit in side.sd_interval95)
    return (
        f"{name}: {values}; SD over seeds {100 * side.sd:.1f} points (95 % {low} to {high}); the "
        f"episodes alone give {100 * (side.evaluation_sd or 0):.1f}, training adds "
        f"{100 * (side.training_sd or 0):.1f}"
    )


def _secondary(certificate: RecipeCertificate) -> Iterator[str]:
    """Yield the secondary results that the protocol asks for; they carry no claim."""
    if "success rate by task" in certificate.secondary and len(certificate.tasks) > 1:
        yield from _task_words(certificate)
    if "mean score" in certificate.secondary:
        scores = ", ".join(f"{arm.name} {arm.mean_score:.3f}" for arm in certificate.arms)
        yield f"mean score: {scores}"


def _task_words(certificate: RecipeCertificate) -> Iterator[str]:
    """Yield each task's difference."""
    for task in certificate.tasks:
        low, high = (points(limit) for limit in task.ci90)
        yield (
            f"{task.task}: {task.candidate:.1%} against {task.reference:.1%}, "
            f"{points(task.difference)} points, 90 % [{low}, {high}]"
        )


def retrains_words(certificate: RecipeCertificate, each: Retrains) -> str:
    """Return how many training seeds a side a margin takes."""
    ours, _ = certificate.seeds
    power = f"{each.at_parity:.0%}" if each.at_parity < 0.995 else "almost 100%"
    now = (
        f"at {100 * each.margin:g} points {ours} training seeds would certify a recipe at parity with "
        f"a chance of {power}"
    )
    if each.seeds_for_80 is None:
        need = "no number of seeds gives 80 % on these states: it takes more initial states"
    else:
        more = each.seeds_for_80 - ours
        retrains = f" ({more} more {'retrain' if more == 1 else 'retrains'})" if more > 0 else ""
        need = f"80 % takes about {each.seeds_for_80} training seeds a side{retrains}"
    nearly = ", so that is nearly uncertifiable here" if each.at_parity < 0.5 else ""
    return f"{now}{nearly}; {need}"


def _arm(arm: ArmResult) -> str:
    low, high = arm.wilson95
    missing = f", {arm.missing} missing" if arm.missing else ""
    return (
        f"{arm.role} {arm.name}: {arm.successes}/{arm.n} [{low:.1%}, {high:.1%}], "
        f"NFE {arm.nfe_per_inference:g}{missing}"
    )


def _control(certificate: RecipeCertificate) -> Iterator[str]:
    control = certificate.control
    if control is not None:
        low, high = map(points, control.ci90)
        yield (
            f"negative control {', '.join(control.candidate)} in the candidate's place: "
            f"{control.verdict} ({points(control.difference)} points, 90 % [{low}, {high}])"
        )


def run_words(certificate: RecipeCertificate) -> str:
    """Return the number of attempts and of calls in words."""
    attempts = sum(arm.attempts for arm in certificate.arms)
    planned = sum(arm.n + arm.missing for arm in certificate.arms)
    retried = sum(arm.retried for arm in certificate.arms)
    calls = "one call" if certificate.sessions == 1 else f"{certificate.sessions} calls"
    which = f"; recipe {certificate.attempt} on these states" if certificate.attempt > 1 else ""
    return (
        f"{attempts} attempts of {planned} episodes"
        + (f" ({retried} retried)" if retried else "")
        + f" by {len(certificate.arms)} arms; {calls} of vlaeval run{which}"
    )
