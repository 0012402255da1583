"""Writing the reports beside their certificate."""

from __future__ import annotations

from pathlib import Path

from vla_eval.certificate import Certificate, Evidence
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.certificate.page.view import Strips
from vla_eval.files.atomic import write_atomically

__all__ = ["report_names", "write_reports"]


def write_reports(
    certificate: Certificate,
    evidence: Evidence,
    run: Path,
    file: Path,
    strips: Strips | None = None,
) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md`` beside a certificate; return their paths.

    If the certificate is not named ``certificate.json``, the reports are named after it.

    Args:
        certificate: certificate issued from this evidence.
        evidence: the records behind it.
        run: the run folder, as the user typed it: it is part of the commands in the report.
        file: the certificate's file.
        strips: pictures of discordant episodes, for the page.

    Raises:
        StorageError: the reports cannot be written.
    """
    page, summary = report_names(file)
    html = html_report(certificate, evidence, run=run, file=file, strips=strips)
    write_atomically(page, html)
    write_atomically(summary, markdown_report(certificate))
    return page, summary


def report_names(file: Path) -> tuple[Path, Path]:
    """Return the paths of the page and of the Markdown for a certificate's file."""
    stem = "report" if file.name == "certificate.json" else f"{file.stem}.report"
    return file.with_name(f"{stem}.html"), file.with_name(f"{stem}.md")
