"""Judging method for the pairs of a resized run."""

from __future__ import annotations

from dataclasses import dataclass

from vla_eval.judging.methods import TangoExact
from vla_eval.stats import ResizeRule, exact_p_above_resized

__all__ = ["Resized"]


@dataclass(frozen=True)
class Resized(TangoExact):
    """Method for independent pairs whose number was set after the first of them."""

    rule: ResizeRule

    def p_above(self, delta: float) -> float:
        """Apply the exact test of the two-stage design."""
        table = self.table
        return exact_p_above_resized(self.rule, table.n10, table.n01, table.n, delta=delta)

    def p_below(self, delta: float) -> float:
        """Apply the exact test of the design with the arms exchanged; the rule does not tell them apart."""
        table = self.table
        return exact_p_above_resized(self.rule, table.n01, table.n10, table.n, delta=-delta)
