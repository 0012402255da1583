"""Amdahl's law for action generation: one chunk takes T(N) = p + e N milliseconds.

p is what every chunk pays once (images, instruction, state, the key-value cache: the prefix), e is
one function evaluation of the action expert, N their number. So fewer evaluations can make a chunk
faster by T(N1) / T(N2) at most, whatever the method (Amdahl 1967, AFIPS 30:483).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.stats._numeric import Array, Interval, z_quantile

__all__ = ["AmdahlFit", "amdahl_fit", "prefix_for_speedup"]


@dataclass(frozen=True)
class AmdahlFit:
    """The line through latencies at different numbers of function evaluations."""

    prefix_ms: float
    """p: what does not depend on the number of evaluations."""
    step_ms: float
    """e: one evaluation."""
    covariance: Array | None
    """(2, 2) of (p, e); None where two latencies determine the line and no error is known."""
    df: float
    """Degrees of freedom of the errors; infinite where they were given."""
    residual_ms: float
    """Root mean square distance of the latencies from the line."""

    def latency_ms(self, nfe: float) -> float:
        """Return p + e N."""
        return self.prefix_ms + self.step_ms * nfe

    def speedup(self, slow: float, fast: float = 1) -> float:
        """Return T(slow) / T(fast), both in function evaluations; fast = 0 is a free solver.

        Infinite where nothing is left of the faster one (a prefix of 0, or below by noise).
        """
        left = self.latency_ms(fast)
        return self.latency_ms(slow) / left if left > 0 else math.inf

    def prefix_interval(self, *, alpha: float = 0.05) -> Interval | None:
        """Return the two-sided interval of p, or None where no error is known."""
        return self._interval(0, self.prefix_ms, alpha)

    def step_interval(self, *, alpha: float = 0.05) -> Interval | None:
        """Return the two-sided interval of e, or None where no error is known."""
        return self._interval(1, self.step_ms, alpha)

    def speedup_interval(
        self, slow: float, fast: float = 1, *, alpha: float = 0.05
    ) -> Interval | None:
        """Return Fieller's interval of T(slow) / T(fast), or None where no error is known.

        Fieller 1954 (Journal of the Royal Statistical Society B 16:175): all r with
        (T(slow) − r T(fast))² ≤ q² Var(T(slow) − r T(fast)). Where T(fast) itself may be 0 the upper
        limit is infinite.

        Args:
            slow: evaluations of the slower sampler.
            fast: of the faster one.
            alpha: two-sided.
        """
        if self.covariance is None:
            return None
        q2 = _quantile(1 - alpha / 2, self.df) ** 2
        top, bottom = np.array([1.0, slow]), np.array([1.0, fast])
        a, b = self.latency_ms(slow), self.latency_ms(fast)
        vaa, vab, vbb = (
            float(left @ self.covariance @ right)
            for left, right in ((top, top), (top, bottom), (bottom, bottom))
        )
        leading, middle, constant = b * b - q2 * vbb, a * b - q2 * vab, a * a - q2 * vaa
        root = math.sqrt(max(0.0, middle * middle - leading * constant))
        if leading <= 0 or b <= 0:
            # T(fast) is not told from 0, so no ratio is too large; of the roots the positive one.
            lower = constant / (middle + root) if middle + root > 0 else 0.0
            return max(0.0, lower), math.inf
        return max(0.0, (middle - root) / leading), (middle + root) / leading

    def _interval(self, index: int, value: float, alpha: float) -> Interval | None:
        if self.covariance is None:
            return None
        error = math.sqrt(max(0.0, float(self.covariance[index, index])))
        half = _quantile(1 - alpha / 2, self.df) * error
        return value - half, value + half


def amdahl_fit(
    nfe: npt.ArrayLike, latency_ms: npt.ArrayLike, *, error_ms: npt.ArrayLike | None = None
) -> AmdahlFit:
    """Fit T(N) = p + e N by least squares.

    With errors of the latencies the fit is weighted and its intervals are normal; without, they
    come from the scatter around the line by Student's t, which needs three latencies. Through two
    latencies without errors the line is determined, and nobody knows how well.

    Args:
        nfe: (k,) function evaluations of one chunk, at least two different ones.
        latency_ms: (k,) the latencies, of the same model on the same machine, all counting the same
            (preprocessing, prefix); best the median of each process run.
        error_ms: (k,) standard errors of the latencies, if they are known.

    Raises:
        ValueError: different lengths, fewer than two different numbers of evaluations, latencies
            or errors that are not positive and finite.
    """
    n, t = np.asarray(nfe, dtype=np.float64), np.asarray(latency_ms, dtype=np.float64)
    errors = None if error_ms is None else np.asarray(error_ms, dtype=np.float64)
    if n.ndim != 1 or n.shape != t.shape or (errors is not None and errors.shape != n.shape):
        raise ValueError("as many latencies (and errors) as numbers of evaluations expected")
    if len(np.unique(n)) < 2 or np.any(n < 0):
        raise ValueError("latencies at two different numbers of evaluations expected")
    for each in (t,) if errors is None else (t, errors):
        if not np.all(np.isfinite(each)) or np.any(each <= 0):
            raise ValueError("latencies and their errors must be positive and finite")
    weights = np.ones_like(t) if errors is None else errors**-2.0
    design = np.stack([np.ones_like(n), n], axis=1)
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    p, e = (float(each) for each in inverse @ (design.T @ (weights * t)))
    residuals = t - p - e * n
    df = t.size - 2
    covariance: Array | None = None
    if errors is not None:
        covariance = np.asarray(inverse, dtype=np.float64)
    elif df > 0:
        covariance = np.asarray(inverse * float(residuals @ residuals) / df, dtype=np.float64)
    freedom = float(df) if errors is None else math.inf
    return AmdahlFit(p, e, covariance, freedom, math.sqrt(float(np.mean(residuals**2))))


def prefix_for_speedup(speedup: float, *, slow: float = 10, fast: float = 1) -> float:
    """Return the p/e at which going from slow to fast evaluations gives exactly this speed-up.

    From (p + slow e) / (p + fast e) = r: p/e = (slow − r fast) / (r − 1). A method can reach r only on
    a model whose prefix is that short, or shorter; below 0 no prefix is short enough.

    Raises:
        ValueError: a speed-up of 1 or less.
    """
    if speedup <= 1:
        raise ValueError(f"{speedup:g} is no speed-up")
    return (slow - speedup * fast) / (speedup - 1)


def _quantile(p: float, df: float) -> float:
    if math.isinf(df):
        return z_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(df, p))
