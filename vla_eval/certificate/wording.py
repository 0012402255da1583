"""Words for what a certificate judges: success rates, scores, or times to success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vla_eval.certificate.model import Certificate, Comparison, Measured, RestrictedTime
from vla_eval.judging.measures import MEASURES, Measure
from vla_eval.stats import Flag, Verdict

if TYPE_CHECKING:
    from vla_eval.certificate.recipe.model import RecipeCertificate

__all__ = ["Words"]


@dataclass(frozen=True)
class Words:
    """The words of one certificate's measure."""

    measured: Measured | None
    """None: success."""

    @classmethod
    def of(cls, certificate: Certificate | RecipeCertificate) -> Words:
        """Return the words of a certificate; a recipe is judged by its successes."""
        return cls(certificate.measured if isinstance(certificate, Certificate) else None)

    @property
    def measure(self) -> Measure:
        """The measure."""
        return MEASURES[self.measured.name if self.measured else "success"]

    @property
    def _time(self) -> RestrictedTime | None:
        return self.measured.time if self.measured else None

    def says(self, word: Verdict | Flag) -> str:
        """Return the sentence of a verdict or of a flag."""
        return self.measure.says(word)

    @cached_property
    def _scale(self) -> tuple[float, int, str]:
        """Factor from a fraction of the range to the shown unit, decimals, and the unit."""
        time = self._time
        if time is None:
            return 100.0, 1, self.measure.unit
        if time.limit_steps is None:
            return 100.0, 1, "points of each task's time limit"
        if time.control_hz is None:
            return float(time.limit_steps), 1, "control steps"
        return time.limit_steps / time.control_hz, 2, "s"

    @property
    def unit(self) -> str:
        """Unit of a shown difference: ``points``, ``points of score``, ``s``."""
        return self._scale[2]

    def shown(self, value: float) -> float:
        """Return a fraction of the measure's range in the shown unit."""
        return self._scale[0] * value

    def number(self, value: float) -> str:
        """Return a difference with its sign, without its unit: ``-1.1``."""
        return f"{self.shown(value):+.{self._scale[1]}f}"

    def span(self, limits: tuple[float, float]) -> str:
        """Return an interval without its unit: ``[-2.6, +2.6]``."""
        return f"[{self.number(limits[0])}, {self.number(limits[1])}]"

    def typeset(self, value: float) -> str:
        """Return a difference as pages show it: ``−1.1``, and ``0.0`` without a sign."""
        text = self.number(value).replace("-", "−")
        return text if text.strip("+−0.") else text[1:]

    def typeset_span(self, limits: tuple[float, float]) -> str:
        """Return an interval as pages show it."""
        return f"[{self.typeset(limits[0])}, {self.typeset(limits[1])}]"

    def margin(self, value: float) -> str:
        """Return a margin: ``10 points``."""
        return f"{self.shown(value):g} {self.unit}"

    @property
    def margin_meaning(self) -> str:
        """What the margin allows."""
        match self.measure.name:
            case "success":
                return "How many points of success rate the candidate may be worse"
            case "score":
                return "How many hundredths of the score the candidate's mean may be lower"
            case "time-to-success":
                return (
                    "How many hundredths of the time limit the candidate may be slower on average"
                )

    def test(self, comparison: Comparison) -> str:
        """Return the name of the test behind a comparison's p-values."""
        if self.measured is not None:
            return "bets and exact test" if self.measured.name == "score" else "bets"
        return comparison.test

    def mean(self, arm: str) -> tuple[str, str]:
        """Return an arm's mean of the measure, and its 95 % interval; not for success."""
        if self.measured is None:
            raise ValueError("success has a rate, with its own interval")
        found, time = self.measured.arms[arm], self._time
        if time is None:
            return f"{found.mean:.3f}", f"[{found.ci95[0]:.3f}, {found.ci95[1]:.3f}]"
        # The value of an episode is the time saved; what is read is the time taken.
        mean, low, high = (
            f"{self.shown(1 - value):.{self._scale[1]}f}"
            for value in (found.mean, found.ci95[1], found.ci95[0])
        )
        return f"{mean} {self.unit}", f"[{low}, {high}]"

    @property
    def mean_name(self) -> str:
        """Name of the mean of one arm; not for success."""
        time = self._time
        return (
            "mean score"
            if time is None
            else f"mean time to success (a failure counts {self._limit})"
        )

    @property
    def _limit(self) -> str:
        time = self._time
        if time is None or time.limit_steps is None:
            return "the whole time limit"
        return f"{self.shown(1.0):g} {self.unit}"

    def mean_lines(self) -> Iterator[str]:
        """Yield a sentence on the means of the arms; none for success."""
        if self.measured is not None:
            means = (f"{arm} {' '.join(self.mean(arm))}" for arm in self.measured.arms)
            yield f"{self.mean_name}, 95 %: {', '.join(means)}"
