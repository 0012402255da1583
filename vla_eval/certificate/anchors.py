"""Anchors: what ties a claim to the time before its results.

A run folder can be written anew from the first byte, so that nothing in it shows when its protocol was
chosen. Three things outside of it do: the lock of released protocols, a registration that was made
before the first episode, and the ledger of uses, which counts the candidates that were tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_eval.claims.registration import Registration
from vla_eval.released import Standing
from vla_eval.stats import attempt_alpha

__all__ = ["Anchors"]


@dataclass(frozen=True)
class Anchors:
    """What is known of a run besides its folder."""

    standing: Standing
    registration: Registration | None = None
    attempt: int = 1
    """Which candidate this is on these states with this reference."""

    def alpha(self, planned: float) -> float:
        """Return the level: the protocol's for the first candidate, 6α/(π² m²) for the m-th."""
        return planned if self.attempt == 1 else attempt_alpha(self.attempt, alpha=planned)
