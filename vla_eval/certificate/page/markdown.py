"""The certificate for a pull request: verdict, numbers, flags, hashes; a screenful."""

from __future__ import annotations

from vla_eval.certificate import Certificate
from vla_eval.certificate.model import ArmResult, Comparison
from vla_eval.certificate.page.meaning import signs, standins
from vla_eval.certificate.text import flag_lines, latency_words, p_words, part_lines, run_words
from vla_eval.certificate.virtual import virtual_lines
from vla_eval.certificate.wording import Words
from vla_eval.files.plain import code, markdown

__all__ = ["SIGNS", "markdown_report"]

SIGNS = {"holds": "✅", "refuted": "❌", "open": "❔"}


def markdown_report(certificate: Certificate) -> str:
    """Return the certificate as GitHub's Markdown."""
    comparison, words = certificate.comparison, Words.of(certificate)
    sign = SIGNS[signs(certificate.verdict)]
    lines = [f"### {sign} {_cell(comparison.candidate)}: {certificate.verdict}", ""]
    if standins(certificate):
        lines += ["> **Stand-in assets: fit for tests, and no result of the benchmark's.**", ""]
    lines += [
        markdown(certificate.sentence),
        "",
        f"Claim: {markdown(certificate.claim)}",
        "",
        markdown(certificate.assay.sentence),
        "",
        "| arm | role | success | 95 % Wilson | NFE | inference, median |",
        "|---|---|---|---|---|---|",
        *(_arm(arm) for arm in certificate.arms),
        "",
        _pairs(comparison, words),
        *(f"\n{_upper(markdown(line))}." for line in words.mean_lines()),
        "",
        f"{markdown(p_words(certificate))}.",
        "",
        f"{markdown(run_words(certificate))}.",
        "",
    ]
    if certificate.sequential:
        lines += [f"{markdown(certificate.sequential.sentence)}.", ""]
    lines += [f"{markdown(line)}.\n" for line in virtual_lines(certificate.virtual, words)]
    if certificate.resized:
        lines += [f"{markdown(certificate.resized.sentence)}.", ""]
    for sentence in part_lines(certificate):
        lines += [f"{markdown(sentence[:1].upper() + sentence[1:])}.", ""]
    if certificate.tasks_like_these is not None:
        lines += [f"Secondary: {markdown(certificate.tasks_like_these.sentence)}.", ""]
    if certificate.latency_ratio is not None and certificate.virtual is None:
        lines += [f"One inference: {latency_words(certificate)}.", ""]
    if certificate.control:
        control = certificate.control
        lines += [
            (
                f"Negative control {_cell(control.candidate)} in the candidate's place: "
                f"{control.verdict} ({words.typeset(control.difference)} {words.unit})."
            ),
            "",
        ]
    lines += [f"- {markdown(line)}" for line in flag_lines(certificate)]
    lines += ["", _hashes(certificate)]
    return "\n".join(lines) + "\n"


def _arm(arm: ArmResult) -> str:
    low, high = arm.wilson95
    latency = f"{arm.latency.p50_ms:.3g} ms" if arm.latency else "–"
    missing = f", {arm.missing} missing" if arm.missing else ""
    return (
        f"| {_cell(arm.name)} {code(arm.spec)} | {arm.role} | {arm.successes}/{arm.n}{missing} | "
        f"{low:.1%} to {high:.1%} | {arm.nfe_per_inference:g} | {latency} |"
    )


def _pairs(comparison: Comparison, words: Words) -> str:
    return (
        f"Pairs: both succeed {comparison.n11}, only {_cell(comparison.candidate)} "
        f"{comparison.n10}, only {_cell(comparison.reference)} {comparison.n01}, neither "
        f"{comparison.n00}. {_upper(words.measure.difference)} "
        f"{words.typeset(comparison.difference)} {words.unit}, {comparison.method} 95 % "
        f"{words.typeset_span(comparison.ci95)}."
    )


def _hashes(certificate: Certificate) -> str:
    return (
        f"Protocol {code(certificate.protocol)} {code(certificate.protocol_sha256[:12])}, records "
        f"{code(certificate.records_sha256[:12])}. Recompute it with "
        "`vlaeval verify certificate.json RUN`."
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    return f"**{markdown(text)}**"
