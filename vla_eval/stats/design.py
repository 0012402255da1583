"""Planning by formula: the expected success rates, and the approximate number of episodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_eval.stats._numeric import z_quantile
from vla_eval.stats.exact import exact_p_noninferior

__all__ = [
    "PairedCase",
    "minimum_pairs",
    "minimum_pairs_exact",
    "pairs_by_discordance",
    "pairs_by_formula",
]

_CHECKED_UP_TO = 100
"""Numbers of pairs, of margins above 3 points, for which the exact test itself is asked."""


@dataclass(frozen=True)
class PairedCase:
    """Expected success rates of both arms, and the correlation of their outcomes."""

    p_reference: float
    difference: float = 0.0
    """Candidate minus reference."""
    correlation: float = 0.0
    """Correlation of the arms' outcomes on the same episode; 0 is as bad as unpaired."""

    def __post_init__(self) -> None:
        """Refuse impossible probabilities."""
        p = self.p_candidate
        if not (0 < self.p_reference < 1 and 0 <= p <= 1 and 0 <= self.correlation < 1):
            raise ValueError(
                f"success rates {self.p_reference:g} and {p:g} with correlation "
                f"{self.correlation:g} cannot be"
            )
        if min(self.p10, self.p01) < -1e-12:
            raise ValueError(
                f"a correlation of {self.correlation:g} is too high for success rates "
                f"{self.p_reference:g} and {p:g}"
            )

    @property
    def p_candidate(self) -> float:
        """Success rate of the candidate."""
        return self.p_reference + self.difference

    @property
    def p10(self) -> float:
        """Probability that only the candidate succeeds: p(1 − p)(1 − ρ) at parity."""
        return self.p_candidate - self._p11

    @property
    def p01(self) -> float:
        """Probability that only the reference succeeds."""
        return self.p_reference - self._p11

    @property
    def _p11(self) -> float:
        p, q = self.p_candidate, self.p_reference
        return p * q + self.correlation * math.sqrt(max(0.0, p * (1 - p) * q * (1 - q)))


def minimum_pairs(margin: float, *, alpha: float = 0.05) -> int:
    """Return the fewest pairs with which Tango's test can pass, if no pair is discordant.

    Then z(−δ) = √(N δ / (1 − δ)), so N ≥ z² (1 − δ)/δ.
    """
    return math.ceil(z_quantile(1 - alpha) ** 2 * (1 - margin) / margin - 1e-9)


def minimum_pairs_exact(margin: float, *, alpha: float = 0.05) -> int:
    """Return the fewest pairs with which a certificate is possible, if no pair is discordant.

    The exact p-value is then at least (1 − δ)^N, so N ≥ ln α / ln(1 − δ); Tango's test has to pass too. At
    large margins a few pairs more are needed: there the worst nuisance parameter is not 0.
    """
    exact = math.ceil(math.log(alpha) / math.log1p(-margin) - 1e-9)
    pairs = max(exact, minimum_pairs(margin, alpha=alpha))
    while pairs <= _CHECKED_UP_TO and exact_p_noninferior(0, 0, pairs, margin=margin) > alpha:
        pairs += 1
    return pairs


def pairs_by_formula(
    case: PairedCase, *, margin: float, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return the number of pairs by Liu, Hsueh, Hsieh and Chen's formula.

    Statistics in Medicine 21:231 (2002): N = [z_α √(2 q̄ + Δ0(1 − Δ0)) + z_β √(p10 + p01 − Δ1²)]²
    / (Δ1 − Δ0)², Δ0 = −margin, q̄ the restricted estimate at the true probabilities.

    Raises:
        ValueError: the expected difference is not above −margin.
    """
    gap = case.difference + margin
    if gap <= 0:
        raise ValueError(
            f"a candidate that is {-case.difference:g} worse is not within a margin of {margin:g}"
        )
    return _pairs(case.p10, case.p01, margin=margin, alpha=alpha, power=power)


def pairs_by_discordance(
    discordance: float, *, margin: float, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Return the pairs of a candidate at parity, by the same formula, from p10 + p01 alone."""
    half = discordance / 2
    return _pairs(half, half, margin=margin, alpha=alpha, power=power)


def _pairs(p10: float, p01: float, *, margin: float, alpha: float, power: float) -> int:
    gap = p10 - p01 + margin
    a, d = 2.0, -margin
    b = -p10 - p01 + (2 - p10 + p01) * d
    c = -p01 * d * (1 - d)
    q = (-b + math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a)
    null = math.sqrt(2 * q + d * (1 - d))
    true = math.sqrt(max(0.0, p10 + p01 - (p10 - p01) ** 2))
    return math.ceil(((z_quantile(1 - alpha) * null + z_quantile(power) * true) / gap) ** 2)
