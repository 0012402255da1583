"""Anchors: evidence that a claim is older than its results.

A run folder can be rewritten completely, so nothing in it proves when its protocol was chosen. Three
things outside the folder do: the lock of released protocols, a registration made before the first
episode, and the ledger of uses, which counts the tried candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_eval.claims.registration import Registration
from vla_eval.released import Standing
from vla_eval.stats import attempt_alpha

__all__ = ["Anchors"]


@dataclass(frozen=True)
class Anchors:
    """Knowledge about a run from outside its folder."""

    standing: Standing
    registration: Registration | None = None
    attempt: int = 1
    """Number of this candidate among those tried on these states with this reference, from 1."""

    def alpha(self, planned: float) -> float:
        """Return the level: the protocol's for the first candidate, 6α/(π² m²) for the m-th."""
        return planned if self.attempt == 1 else attempt_alpha(self.attempt, alpha=planned)
