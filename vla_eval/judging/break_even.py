"""Break-even: the delays of the reference at which it keeps up with the candidate, and where it no longer does.

The candidate has one delay. The reference ran at each delay of a declared grid, over the same episodes. Two
fixed sequences of tests, in an order that the protocol fixes:

- from the smallest delay up, "the reference is worse by the margin or more";
- from the largest delay down, "the candidate is not better".

Each ends at the first test that does not reject, at half of the protocol's alpha. So the chance that any of
the statements is false is at most alpha. Nothing is assumed about the delays between those of the grid,
and nothing about the course over the delay: success need not fall as the delay grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vla_eval.analysis import BreakEven
from vla_eval.errors import RunFolderError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes, Case, Pairing
from vla_eval.judging.measures import measure_of, worth_of
from vla_eval.judging.methods import judging
from vla_eval.keys import EpisodeKey
from vla_eval.protocol import Protocol
from vla_eval.stats import fixed_sequence
from vla_eval.stats._numeric import Interval

__all__ = ["AtDelay", "Bracket", "bracket"]


@dataclass(frozen=True)
class AtDelay:
    """Candidate against reference, at one delay of the reference."""

    ticks: int
    pairs: int
    difference: float
    """Candidate minus reference, by the protocol's measure."""
    ci95: Interval
    """Pointwise."""
    p_superior: float
    """p-value of "the candidate is not better", with missing episodes against the candidate."""
    p_not_worse: float
    """p-value of "the reference is worse by the margin or more", with missing episodes against it."""


@dataclass(frozen=True)
class Bracket:
    """What the two sequences of tests show."""

    declared: BreakEven
    margin: float
    alpha: float
    """Chance that any of the statements is false, at most."""
    delays: tuple[AtDelay, ...]
    """By delay of the reference, rising."""
    not_worse_to: int | None
    """The reference is not worse by the margin at each declared delay up to this one; None: not shown."""
    superior_from: int | None
    """The candidate is better at each declared delay from this one on; None: not shown."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return {**asdict(self), "declared": self.declared.model_dump(mode="json")}

    def sentences(self, protocol: Protocol, rate_hz: float) -> list[str]:
        """Return what is shown, in sentences.

        Args:
            protocol: the protocol of any delay.
            rate_hz: control rate in Hz.
        """
        names, words = self.declared, measure_of(protocol)
        reference = names.reference
        margin = f"{100 * self.margin:g} {words.unit}"
        at = f"break-even, {names.candidate} at {names.candidate_ticks} control steps of delay: "
        kept_up = f"at no declared delay from the smallest up is {reference} shown to be not {words.worse} by {margin}"
        if self.not_worse_to is not None:
            kept_up = (
                f"{reference} is not {words.worse} by {margin} or more at each declared delay up to "
                f"{self.not_worse_to} control steps, {_ms(self.not_worse_to, rate_hz)}"
            )
        better = (
            f"at no declared delay from the largest down is it shown to be better than {reference}"
        )
        if self.superior_from is not None:
            better = (
                f"it is better than {reference} at each declared delay from {self.superior_from} control "
                f"steps on, {_ms(self.superior_from, rate_hz)}"
            )
        error = f"with an error of at most {100 * self.alpha:g} % together (fixed sequences)"
        return [at + kept_up, at + better, f"both hold {error}, at the declared delays alone"]


def bracket(
    protocol: Protocol,
    keys: Sequence[EpisodeKey],
    candidate: ArmEpisodes,
    references: Mapping[int, ArmEpisodes],
) -> Bracket:
    """Judge the break-even that a protocol declares.

    Args:
        protocol: the protocol of any delay; its ``analysis.break_even`` is declared.
        keys: the plan, which is the same at all delays.
        candidate: the candidate's episodes at its delay.
        references: the reference's episodes, by delay in control steps.

    Raises:
        RunFolderError: the episodes of a delay are no pairs with the candidate's.
    """
    analysis, declared = protocol.analysis, protocol.analysis.break_even
    if declared is None:
        raise ValueError("the protocol declares no break-even")
    delays = [
        _at_delay(protocol, ticks, ledger.pair(keys, candidate, references[ticks]))
        for ticks in declared.reference_ticks
    ]
    half = analysis.alpha / 2
    kept_up = fixed_sequence([each.p_not_worse for each in delays], alpha=half)
    beaten = fixed_sequence([each.p_superior for each in reversed(delays)], alpha=half)
    return Bracket(
        declared,
        analysis.margin,
        analysis.alpha,
        tuple(delays),
        not_worse_to=delays[kept_up - 1].ticks if kept_up else None,
        superior_from=delays[-beaten].ticks if beaten else None,
    )


def _at_delay(protocol: Protocol, ticks: int, pairing: Pairing) -> AtDelay:
    if pairing.objection:
        raise RunFolderError(f"break-even, {ticks} control steps: {pairing.objection}")
    analysis, worth = protocol.analysis, worth_of(protocol)
    cases: tuple[Case, ...] = ("observed", "worst", "best")
    observed, worst, best = (judging(pairing.outcomes(case, worth), analysis) for case in cases)
    return AtDelay(
        ticks,
        len(pairing.pairs),
        observed.difference,
        observed.interval(0.05),
        p_superior=worst.p_above(0.0),
        p_not_worse=best.p_below(analysis.margin),
    )


def _ms(ticks: int, rate_hz: float) -> str:
    """Return the latencies whose delay is this many control steps."""
    if ticks == 0:
        return "no latency"
    return f"above {1e3 * (ticks - 1) / rate_hz:.0f} and up to {1e3 * ticks / rate_hz:.0f} ms"
