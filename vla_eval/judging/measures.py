"""Measures: what an episode counts, from 0 to 1, and the words for it.

=================== =================================== =============================================
measure             value of an episode                 difference of two means
=================== =================================== =============================================
``success``         1 or 0                              success rate, in points
``score``           the environment's partial credit    mean score, in points (hundredths)
``time-to-success`` 1 − min(τ, T)/T                     time saved, in points (hundredths) of T
=================== =================================== =============================================

τ is the number of control steps to success, T the time limit. A failure counts as T: a mean over successes
alone would reward a policy that fails in the slow episodes. E min(τ, T) is the restricted mean time
(Royston and Parmar 2013, BMC Medical Research Methodology 13:152).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord
from vla_eval.stats import Flag, Verdict

__all__ = [
    "MEASURES",
    "Measure",
    "Worth",
    "measure_of",
    "steps_to_success",
    "time_limits",
    "worth_of",
]

Worth = Callable[[EpisodeRecord], float]
"""Value of a result in [0, 1]; higher is better."""


@dataclass(frozen=True)
class Measure:
    """A measure in words."""

    name: Literal["success", "score", "time-to-success"]
    difference: str
    """Name of a difference of two means."""
    unit: str
    """Unit of a difference, after a number of hundredths of the range."""
    worse: str
    """Adjective of a candidate with the lower mean."""
    axis: str
    """Label of an axis of differences, without the unit."""
    sentences: Mapping[str, str] = field(default_factory=dict)
    """Sentences of verdicts and flags in which the general ones speak of success, by their word."""

    def says(self, word: Verdict | Flag) -> str:
        """Return the sentence of a verdict or of a flag."""
        return self.sentences.get(word.value, word.sentence)


_SCORE = {
    Verdict.SUPERIOR.value: "The candidate has a higher mean score than the reference.",
    Verdict.EQUIVALENT.value: "The mean scores differ by less than the margin, both ways.",
    Verdict.WORSE.value: "The candidate has a lower mean score than the reference.",
    Flag.CEILING.value: (
        "The reference's mean score lacks less than the margin to 1: a candidate that lost twice as "
        "much could pass."
    ),
    Flag.FLOOR.value: (
        "The reference's mean score is below the margin: a candidate that never scores could pass."
    ),
}
_TIME = {
    Verdict.SUPERIOR.value: "The candidate needs less time to success than the reference.",
    Verdict.EQUIVALENT.value: (
        "The mean times to success differ by less than the margin, both ways."
    ),
    Verdict.NON_INFERIOR.value: "The candidate is not slower than the reference by the margin.",
    Verdict.INFERIOR.value: "The candidate is slower than the reference by more than the margin.",
    Verdict.WORSE.value: "The candidate needs more time to success than the reference.",
    Flag.CEILING.value: (
        "The reference needs less time than the margin: a candidate that took twice as long could "
        "pass."
    ),
    Flag.FLOOR.value: (
        "The reference saves less of the time limit than the margin: a candidate that never succeeds "
        "could pass."
    ),
}
MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure(
            "success",
            "difference",
            "points",
            "worse",
            "success rate, candidate minus reference",
        ),
        Measure(
            "score",
            "difference in mean score",
            "points of score",
            "worse",
            "mean score, candidate minus reference",
            _SCORE,
        ),
        Measure(
            "time-to-success",
            "time saved",
            "points of the time limit",
            "slower",
            "time saved, candidate minus reference",
            _TIME,
        ),
    )
}
"""Measures by name."""


def measure_of(protocol: Protocol) -> Measure:
    """Return the measure that a protocol judges."""
    return MEASURES[protocol.analysis.measure or "success"]


def worth_of(protocol: Protocol) -> Worth | None:
    """Return the value of a result by a protocol's measure; None if it is the success."""
    match protocol.analysis.measure:
        case None:
            return None
        case "score":
            return _score
        case "time-to-success":
            limits = time_limits(protocol)

            def saved(record: EpisodeRecord) -> float:
                limit = limits[record.suite, record.task]
                return 1 - steps_to_success(record, limit) / limit

            return saved


def _score(record: EpisodeRecord) -> float:
    return record.score


def steps_to_success(record: EpisodeRecord, limit: int) -> int:
    """Return min(τ, T) in control steps: the steps of a success, and the limit T of a failure."""
    return min(record.steps, limit) if record.outcome == "success" else limit


def time_limits(protocol: Protocol) -> dict[tuple[str, str], int]:
    """Return the time limit of each (suite, task), in control steps."""
    return {
        (block.suite, task): block.max_steps
        for block in protocol.blocks
        for task in block.task_names()
    }
