"""Several candidates of one run, each against the reference: Holm's levels over the candidates.

Eight candidates at the margin, each certified at 5 %, give a false certificate in up to a third of the
runs. In a family the claim "not worse by the margin" of the candidate with the j-th smallest p-value of k
needs alpha/(k − j + 1), so the chance of any false certificate is at most alpha. All other words
(equivalent, superior, inferior, worse, the guard rail) need alpha/k.
"""

from __future__ import annotations

from vla_eval.certificate.comparison import Level, cases
from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.parts import Family
from vla_eval.stats import holm_levels

__all__ = ["family_of"]


def family_of(evidence: Evidence, level: Level) -> Family | None:
    """Return the family of the candidate; None if it is judged alone.

    Args:
        evidence: the records of all candidates.
        level: margin, and the level of the whole family.
    """
    roles = evidence.roles
    if not roles.others:
        return None
    members = {roles.candidate, *roles.others}
    names = tuple(arm.name for arm in evidence.header.arms if arm.name in members)
    p_worse = {name: cases(evidence, name)[1].p_above(-level.margin) for name in names}
    levels = dict(zip(names, holm_levels(list(p_worse.values()), alpha=level.alpha), strict=True))
    return Family(
        candidates=names,
        declared=evidence.protocol.analysis.candidates is not None,
        alpha=level.alpha,
        p_worse=p_worse,
        level=levels[roles.candidate],
        level_others=level.alpha / len(names),
    )
