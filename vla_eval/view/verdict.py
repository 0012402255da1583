"""The certificate of a run, as the viewer shows it on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_eval.certificate.model import Certificate
from vla_eval.certificate.page.meaning import signs
from vla_eval.certificate.verify import read_any
from vla_eval.errors import VlaEvalError
from vla_eval.view.gather import ShownRun

__all__ = ["verdict_of"]


def verdict_of(runs: Sequence[ShownRun]) -> dict[str, Any] | None:
    """Return the first run's certificate in a few fields; None without one.

    The certificate is shown as it stands: `vlaeval verify` checks it.
    """
    for number, run in enumerate(runs):
        file = run.path / "certificate.json"
        if not file.is_file():
            continue
        try:
            certificate = read_any(file)
        except VlaEvalError as error:
            return {"run": number, "word": "", "sentence": str(error), "standing": "refuted"}
        shown = {
            "run": number,
            "word": str(certificate.verdict),
            "sentence": certificate.sentence,
            "standing": signs(certificate.verdict),
            "outdated": certificate.protocol_sha256 != run.header.protocol_sha256,
        }
        if isinstance(certificate, Certificate):
            comparison = certificate.comparison
            shown |= {"candidate": comparison.candidate, "reference": comparison.reference}
        return shown
    return None
