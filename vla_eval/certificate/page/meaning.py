"""Meaning of a verdict, for the page."""

from __future__ import annotations

from typing import Literal

from vla_eval.certificate import Certificate
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.stats import Flag, Judgement, Verdict

__all__ = ["signs", "standins"]


def signs(verdict: Verdict) -> Literal["holds", "refuted", "open"]:
    """Return the meaning of a verdict for the claim."""
    if Judgement(verdict).noninferior:
        return "holds"
    return "refuted" if verdict in (Verdict.INFERIOR, Verdict.WITHHELD) else "open"


def standins(certificate: Certificate | RecipeCertificate) -> bool:
    """Return whether any episode ran on stand-in assets."""
    return Flag.STAND_INS in certificate.flags
