"""The report of a recipe certificate: one HTML file that works offline, and Markdown for a pull request."""

from __future__ import annotations

import shlex
from pathlib import Path

from markupsafe import Markup

from vla_eval.certificate.evidence import RecipeEvidence
from vla_eval.certificate.page.commands import run_command
from vla_eval.certificate.page.figures import draw_interval
from vla_eval.certificate.page.files import report_names
from vla_eval.certificate.page.markdown import SIGNS
from vla_eval.certificate.page.meaning import signs, standins
from vla_eval.certificate.recipe.model import RecipeCertificate, RecipeSide
from vla_eval.certificate.recipe.text import (
    RETRAINS_NOTE,
    flag_lines,
    p_words,
    parts_words,
    retrains_words,
    run_words,
    scope_words,
)
from vla_eval.drawing.svg import NARROW, WIDE
from vla_eval.drawing.templating import render
from vla_eval.drawing.words import interval, points
from vla_eval.files.atomic import write_atomically
from vla_eval.files.plain import code, markdown
from vla_eval.runs.folder import identity_sha256

__all__ = ["recipe_html", "recipe_markdown", "write_recipe_reports"]


def write_recipe_reports(
    certificate: RecipeCertificate, evidence: RecipeEvidence, run: Path, file: Path
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md`` beside a certificate; return their paths.

    Args:
        certificate: certificate issued from this evidence.
        evidence: the records behind it.
        run: the run folder, as the user typed it.
        file: the certificate's file.

    Raises:
        StorageError: the reports cannot be written.
    """
    page, summary = report_names(file)
    write_atomically(page, recipe_html(certificate, evidence, run=run, file=file))
    write_atomically(summary, recipe_markdown(certificate))
    return page, summary


def recipe_html(
    certificate: RecipeCertificate, evidence: RecipeEvidence, *, run: Path, file: Path
) -> str:
    """Return the page; equal certificates and records give equal bytes."""
    drawn = "".join(draw_interval(certificate, width) for width in (WIDE, NARROW))
    hashes = {
        "protocol": certificate.protocol_sha256,
        "records": certificate.records_sha256,
        "timings": certificate.timings_sha256,
    }
    for arm in certificate.arms:
        hashes[f"policy of {arm.name}"] = identity_sha256(arm.identity)
        hashes[f"weights of {arm.name}"] = str(arm.identity.get("weights_sha256"))
    return render(
        "recipe.html.j2",
        Path(__file__).parent / "templates",
        certificate=certificate,
        comparison=certificate.comparison,
        protocol=evidence.protocol,
        meaning=signs(certificate.verdict),
        standins=standins(certificate),
        scope=scope_words(certificate),
        figure=Markup(drawn),  # noqa: S704 - matplotlib escapes the labels that it writes
        parts=parts_words(certificate),
        p_words=p_words(certificate),
        retrains=[retrains_words(certificate, each) for each in certificate.retrains],
        retrains_note=RETRAINS_NOTE,
        run_words=run_words(certificate),
        commands=_commands(certificate, evidence, run, file),
        hashes=hashes,
    )


def _commands(
    certificate: RecipeCertificate, evidence: RecipeEvidence, run: Path, file: Path
) -> list[str]:
    commit = certificate.versions.get("commit", "").removesuffix("+dirty")
    post_hoc = certificate.margin_reason == "given after the fact"
    margin = ["--margin", f"{certificate.margin:g}"] if post_hoc else []
    return [
        *([shlex.join(["git", "checkout", commit])] if commit else []),
        run_command(evidence.header, "runs/again"),
        shlex.join(["vlaeval", "certify", "runs/again", *margin]),
        shlex.join(["vlaeval", "verify", str(file), str(run)]),
    ]


def recipe_markdown(certificate: RecipeCertificate) -> str:
    """Return the certificate as GitHub's Markdown."""
    comparison = certificate.comparison
    lines = [
        f"### {SIGNS[signs(certificate.verdict)]} Recipe: {comparison.verdict}",
        "",
        f"{markdown(scope_words(certificate)).capitalize()}. {markdown(certificate.sentence)}",
        "",
        f"Claim: {markdown(certificate.claim)}",
        "",
        markdown(certificate.assay.sentence),
        "",
        "| side | by training seed | SD over seeds (95 %) | episodes alone | training adds |",
        "|---|---|---|---|---|",
        *(_side(side) for side in certificate.sides),
        "",
        (
            f"Difference {points(comparison.difference)} points, 95 % {interval(comparison.ci95)}; "
            f"{markdown(parts_words(certificate))}."
        ),
        "",
        f"{markdown(p_words(certificate))}.",
        "",
        *(f"- {markdown(retrains_words(certificate, each))}." for each in certificate.retrains),
        "",
        f"{markdown(RETRAINS_NOTE)}.",
        "",
        f"{markdown(run_words(certificate))}.",
        "",
        *(f"- {markdown(line)}" for line in flag_lines(certificate)),
        "",
        (
            f"Protocol {code(certificate.protocol)} {code(certificate.protocol_sha256[:12])}, records "
            f"{code(certificate.records_sha256[:12])}. Recompute it with "
            "`vlaeval verify certificate.json RUN`."
        ),
    ]
    return "\n".join(lines) + "\n"


def _side(side: RecipeSide) -> str:
    if side.role == "difference":
        values = " / ".join(points(value) for value in side.values)
    else:
        values = " / ".join(f"{value:.1%}" for value in side.values)
    if side.sd is None or side.sd_interval95 is None:
        return f"| {side.role} | {values} | unknown | | |"
    low, high = (f"{100 * limit:.1f}" for limit in side.sd_interval95)
    return (
        f"| {side.role} | {values} | {100 * side.sd:.1f} ({low} to {high}) | "
        f"{100 * (side.evaluation_sd or 0):.1f} | {100 * (side.training_sd or 0):.1f} |"
    )
