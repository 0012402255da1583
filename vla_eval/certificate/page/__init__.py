"""The report of a certificate: one HTML file that works offline, and Markdown for a pull request."""

from vla_eval.certificate.page.files import write_reports

__all__ = ["write_reports"]
