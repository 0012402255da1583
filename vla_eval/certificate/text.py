"""The certificate in words, at most 80 columns wide."""

from __future__ import annotations

from vla_eval.certificate.model import Certificate, Comparison
from vla_eval.terminal import fold

__all__ = ["certificate_text"]


def certificate_text(certificate: Certificate) -> str:
    """Return the verdict first, then what it rests on."""
    comparison = certificate.comparison
    lines = [
        f"{comparison.verdict.upper()}: {certificate.sentence}",
        f"claim: {certificate.claim}",
        "",
        *_pairs(comparison),
        (
            f"p(non-inferior) {comparison.p_noninferior:.2g}, exact "
            f"{comparison.p_noninferior_exact:.2g}, at alpha {certificate.alpha:g}"
        ),
        "",
        *(_arm_line(certificate, position) for position in range(len(certificate.arms))),
        *_control(certificate),
    ]
    if certificate.latency_ratio is not None:
        lines.append(
            f"one inference: {certificate.latency_ratio:.1f} times as fast (medians of this run; "
            "descriptive)"
        )
    lines.append("")
    lines += [f"! {flag.upper()}: {flag.sentence}" for flag in certificate.flags]
    lines.append(
        f"protocol {certificate.protocol} {certificate.protocol_sha256[:12]} · "
        f"records {certificate.records_sha256[:12]}"
    )
    return "\n".join(part for line in lines for part in fold(line))


def _pairs(comparison: Comparison) -> list[str]:
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
            f"difference {comparison.difference:+.1%}, Tango 90 % "
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
