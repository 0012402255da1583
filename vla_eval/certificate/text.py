"""The certificate in words, at most 80 columns wide."""

from __future__ import annotations

from vla_eval.certificate.model import Certificate, Comparison
from vla_eval.terminal import fold

_ENOUGH = 5
"""Process runs from which on a latency interval deserves trust."""

__all__ = ["certificate_text", "latency_words"]


def certificate_text(certificate: Certificate) -> str:
    """Return the verdict first, then what it rests on."""
    comparison = certificate.comparison
    lines = [
        f"{comparison.verdict.upper()}: {certificate.sentence}",
        f"claim: {certificate.claim}",
        "",
        *_pairs(comparison, "repeated" if certificate.sequential else "Tango"),
        _p_values(certificate),
        *([certificate.sequential.sentence] if certificate.sequential else []),
        "",
        *(_arm_line(certificate, position) for position in range(len(certificate.arms))),
        *_control(certificate),
    ]
    if certificate.latency_ratio is not None:
        lines.append(f"one inference: {latency_words(certificate)}")
    lines.append("")
    lines += [f"! {flag.upper()}: {flag.sentence}" for flag in certificate.flags]
    lines.append(
        f"protocol {certificate.protocol} {certificate.protocol_sha256[:12]} · "
        f"records {certificate.records_sha256[:12]}"
    )
    return "\n".join(part for line in lines for part in fold(line))


def _p_values(certificate: Certificate) -> str:
    comparison, sequential = certificate.comparison, certificate.sequential
    if sequential:
        return (
            f"p(non-inferior) {comparison.p_noninferior:.3g}, exact "
            f"{comparison.p_noninferior_exact:.3g}, level {sequential.looks[-1].level:.3g} at this look"
        )
    return (
        f"p(non-inferior) {comparison.p_noninferior:.2g}, exact "
        f"{comparison.p_noninferior_exact:.2g}, at alpha {certificate.alpha:g}"
    )


def latency_words(certificate: Certificate) -> str:
    """Say how much faster the candidate is, with an interval where process runs give one."""
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


def _pairs(comparison: Comparison, method: str) -> list[str]:
    repeats = (
        [
            f"repeats of {comparison.clusters} initial states; variance inflation {comparison.vif:.2f}"
        ]
        if comparison.clusters is not None
        else []
    )
    total = comparison.n11 + comparison.n10 + comparison.n01 + comparison.n00
    return [
        (
            f"{total} pairs: both succeed {comparison.n11}, only {comparison.candidate} "
            f"{comparison.n10}, only {comparison.reference} {comparison.n01}, neither {comparison.n00}"
        ),
        (
            f"difference {comparison.difference:+.1%}, {method} 90 % "
            f"[{comparison.ci90[0]:+.1%}, {comparison.ci90[1]:+.1%}], 95 % "
            f"[{comparison.ci95[0]:+.1%}, {comparison.ci95[1]:+.1%}]"
        ),
        *repeats,
    ]


def _arm_line(certificate: Certificate, position: int) -> str:
    arm = certificate.arms[position]
    low, high = arm.wilson95
    missing = f", {arm.missing} missing" if arm.missing else ""
    return (
        f"{arm.role} {arm.name}: {arm.successes}/{arm.n} [{low:.1%}, {high:.1%}], "
        f"mean score {arm.mean_score:.3f}, NFE {arm.nfe_per_inference:g}{missing}"
    )


def _control(certificate: Certificate) -> list[str]:
    control = certificate.control
    if control is None:
        return []
    return [
        (
            f"negative control {control.candidate} in the candidate's place: {control.verdict} "
            f"(difference {control.difference:+.1%})"
        )
    ]
