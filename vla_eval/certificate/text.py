"""The certificate in words, at most 80 columns wide, for readers without a statistics book."""

from __future__ import annotations

from collections.abc import Iterator

from vla_eval.certificate.model import ArmResult, Certificate, Comparison
from vla_eval.certificate.virtual import virtual_lines
from vla_eval.certificate.wording import Words
from vla_eval.drawing.terminal import folded

_ENOUGH = 5
"""Fewest process runs for a reliable latency interval."""

__all__ = [
    "certificate_text",
    "flag_lines",
    "latency_words",
    "p_words",
    "part_lines",
    "run_words",
    "secondary_lines",
]


def certificate_text(certificate: Certificate) -> str:
    """Return the verdict, followed by its evidence."""
    comparison, words = certificate.comparison, Words.of(certificate)
    lines = [
        f"{certificate.verdict.upper()}: {certificate.sentence}",
        *(f"also {verdict.upper()}: {words.says(verdict)}" for verdict in comparison.also),
        f"claim: {certificate.claim}",
        f"control: {certificate.assay.sentence}",
        "",
        *_pairs(comparison, words),
        *words.mean_lines(),
        p_words(certificate),
        *virtual_lines(certificate.virtual, words),
        *([certificate.sequential.sentence] if certificate.sequential else []),
        *([certificate.resized.sentence] if certificate.resized else []),
        *part_lines(certificate),
        "",
        *(_arm_line(arm) for arm in certificate.arms),
        *_control(certificate),
        run_words(certificate),
        *secondary_lines(certificate),
        "",
        *(f"! {line}" for line in flag_lines(certificate)),
        (
            f"protocol {certificate.protocol} {certificate.protocol_sha256[:12]} · "
            f"records {certificate.records_sha256[:12]}"
        ),
    ]
    return folded(lines)


def part_lines(certificate: Certificate) -> Iterator[str]:
    """Yield the sentences about parts that only some protocols ask for."""
    if certificate.runs:
        values = ", ".join(f"{run.e_value:.3g} ({run.pairs} pairs)" for run in certificate.runs)
        yield (
            f"{len(certificate.runs)} runs, whose e-values are multiplied: {values}; 1/product is the "
            "p-value, also if a result decided on the next run"
        )
    for part in (certificate.guard_rail, certificate.family):
        if part is not None:
            yield part.sentence


def flag_lines(certificate: Certificate) -> Iterator[str]:
    """Yield each flag with its sentence and its detail."""
    words = Words.of(certificate)
    for flag in certificate.flags:
        detail = certificate.details.get(flag.value)
        yield f"{flag.upper()}: {words.says(flag)}" + (f" ({detail})" if detail else "")


def p_words(certificate: Certificate) -> str:
    """Return the p-value of "worse by the margin or more" in words, with its test and level."""
    comparison, sequential = certificate.comparison, certificate.sequential
    words = Words.of(certificate)
    test = words.test(comparison)
    test += " over all sizes that the rule could set" if certificate.resized else ""
    score = "" if comparison.p_score is None else f"; Tango's score alone {comparison.p_score:.3g}"
    needed = (
        f"needs {sequential.looks[-1].level:.3g} at this look"
        if sequential
        else f"needs {certificate.alpha:.3g}"
    )
    return (
        f'p-value of "{words.measure.worse} by {words.margin(certificate.margin)} or more": '
        f"{comparison.p_worse:.3g} ({test}{score}), {needed}"
    )


def latency_words(certificate: Certificate) -> str:
    """Return the candidate's speed-up in words, with an interval if there are several process runs."""
    faster = f"{certificate.latency_ratio:.1f} times as fast"
    if not certificate.latency_ratios:
        return f"{faster} (medians; one process run: no interval)"
    median = certificate.latency_ratios[0]
    low, high = 1 / median.interval95[1], 1 / median.interval95[0]
    few = ", too few to trust" if median.runs < _ENOUGH else ""
    return (
        f"{1 / median.ratio:.2f} times as fast, 95 % [{low:.2f}, {high:.2f}] from {median.runs} "
        f"process runs{few}"
    )


def run_words(certificate: Certificate) -> str:
    """Return the number of attempts and of calls in words."""
    attempts = ", ".join(
        f"{arm.name} {arm.attempts} attempts of {arm.n + arm.missing} episodes"
        + (f" ({arm.retried} retried)" if arm.retried else "")
        for arm in certificate.arms
    )
    calls = "one call" if certificate.sessions == 1 else f"{certificate.sessions} calls"
    which = f"; candidate {certificate.attempt} on these states" if certificate.attempt > 1 else ""
    return f"{attempts}; {calls} of vlaeval run{which}"


def secondary_lines(certificate: Certificate) -> Iterator[str]:
    """Yield the secondary results that the protocol asks for; they carry no claim."""
    comparison, arms = certificate.comparison, certificate.arms
    words = Words.of(certificate)
    for result in certificate.secondary:
        match result:
            case "latency" if certificate.latency_ratio is not None:
                yield f"one inference: {latency_words(certificate)}"
            case "mean score":
                yield "mean score: " + ", ".join(f"{arm.name} {arm.mean_score:.3f}" for arm in arms)
            case "mean score by task" if len(comparison.tasks) > 1:
                for task in comparison.tasks:
                    scores = (f"{arm.name} {arm.mean_score_by_task[task.task]:.3f}" for arm in arms)
                    yield f"mean score, {task.task}: {', '.join(scores)}"
            case "tasks like these" if certificate.tasks_like_these is not None:
                yield certificate.tasks_like_these.sentence
            case "success rate by task" if len(comparison.tasks) > 1:
                for task in comparison.tasks:
                    shown = f"{words.number(task.difference)} {words.unit}"
                    yield f"{task.task}: {shown}, 90 % {words.span(task.ci90)}"


def _pairs(comparison: Comparison, words: Words) -> Iterator[str]:
    yield (
        f"{comparison.n} pairs: both succeed {comparison.n11}, only {comparison.candidate} "
        f"{comparison.n10}, only {comparison.reference} {comparison.n01}, neither {comparison.n00}"
    )
    yield (
        f"{words.measure.difference} {words.number(comparison.difference)} {words.unit}; "
        f"{comparison.method} 90 % {words.span(comparison.ci90)}, 95 % {words.span(comparison.ci95)}"
    )
    if comparison.clusters is not None:
        yield (
            f"{comparison.clusters} initial states with repeats, which are not independent: judged by "
            f"state (variance {comparison.vif:.2f} times that of independent pairs)"
        )
    if comparison.observed_verdict is not comparison.verdict:
        yield (
            f"of the episodes that have a result alone it would be {comparison.observed_verdict}; "
            "missing and retried ones are counted at their worst"
        )


def _arm_line(arm: ArmResult) -> str:
    low, high = arm.wilson95
    missing = f", {arm.missing} missing" if arm.missing else ""
    return (
        f"{arm.role} {arm.name}: {arm.successes}/{arm.n} [{low:.1%}, {high:.1%}], "
        f"NFE {arm.nfe_per_inference:g}{missing}"
    )


def _control(certificate: Certificate) -> Iterator[str]:
    control = certificate.control
    if control is not None:
        words = Words.of(certificate)
        yield (
            f"negative control {control.candidate} in the candidate's place: {control.verdict} "
            f"({words.number(control.difference)} {words.unit}, 90 % {words.span(control.ci90)})"
        )
