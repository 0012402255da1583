"""Certificates: one claim, one verdict; anybody can recompute them from the run folder."""

from vla_eval.certificate.evidence import Evidence, gather
from vla_eval.certificate.issue import issue
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.verify import verify
from vla_eval.judging.roles import Roles

__all__ = ["Certificate", "Evidence", "Roles", "gather", "issue", "verify"]
