"""Amdahl's law for action generation: one chunk takes T(N) = p + e N milliseconds.

p is the time of the prefix, which every chunk needs once (images, instruction, state, the key-value
cache). e is the time of one function evaluation of the action expert, and N their number. So fewer
evaluations make a chunk faster by T(N1) / T(N2) at most, with any method (Amdahl 1967, AFIPS 30:483).
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
    """p: time that does not depend on the number of evaluations."""
    step_ms: float
    """e: time of one evaluation."""
    covariance: Array | None
    """Covariance matrix of (p, e), (2, 2); None if two latencies determine the line and no error is
    known."""
    df: float
    """Degrees of freedom of the errors; infinite if the errors were given."""
    residual_ms: float
    """Root mean square distance of the latencies from the line."""

    def latency_ms(self, nfe: float) -> float:
        """Return p + e N."""
        return self.prefix_ms + self.step_ms * nfe

    def speedup(self, slow: float, fast: float = 1) -> float:
        """Return T(slow) / T(fast), both in function evaluations; fast = 0 is a free solver.

        Infinite if T(fast) is 0 or less (a prefix of 0, or below 0 by noise).
        """
        left = self.latency_ms(fast)
        return self.latency_ms(slow) / left if left > 0 else math.inf

    def prefix_interval(self, *, alpha: float = 0.05) -> Interval | None:
        """Return the two-sided interval of p, or None if no error is known."""
        return self._interval(0, self.prefix_ms, alpha)

    def step_interval(self, *, alpha: float = 0.05) -> Interval | None:
        """Return the two-sided interval of e, or None if no error is known."""
        return self._interval(1, self.step_ms, alpha)

    def speedup_interval(
        self, slow: float, fast: float = 1, *, alpha: float = 0.05
    ) -> Interval | None:
        """Return Fieller's interval of T(slow) / T(fast), or None if no error is known.

        Fieller 1954 (Journal of the Royal Statistical Society B 16:175): all r with
        (T(slow) − r T(fast))² ≤ q² Var(T(slow) − r T(fast)). If T(fast) itself may be 0, the upper
        limit is infinite.

        Args:
            slow: evaluations of the slower sampler.
            fast: evaluations of the faster sampler.
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
            # T(fast) may be 0, so no ratio is too large; the lower limit is the positive root.
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

    If the latencies have errors, the fit is weighted and its intervals are normal. Otherwise the
    intervals come from the scatter around the line by Student's t, which needs three latencies. Two
    latencies without errors determine the line, but its error is unknown.

    Args:
        nfe: (k,) function evaluations of one chunk, at least two different numbers.
        latency_ms: (k,) latencies of the same model on the same machine, which all include the same
            parts (preprocessing, prefix); best the median of each process run.
        error_ms: (k,) standard errors of the latencies, if they are known.

    Raises:
        ValueError: the lengths differ, there are fewer than two different numbers of evaluations, or
            latencies or errors are not positive and finite.
    """
    n, t = np.asarray(nfe, dtype=np.float64), np.asarray(latency_ms, dtype=np.float64)
    errors = None if error_ms is None else np.asarray(error_ms, dtype=np.float64)
    if n.ndim != 1 or n.shape != t.shape or (errors is not None and errors.shape != n.shape):
        raise ValueError("as many latencies (and errors) as numbers of evaluations expected")
    if len(np.unique(n)) < 2 or np.any(n < 0):
        raise ValueError("latencies at two different numbers of evaluations expected")
    for values in (t,) if errors is None else (t, errors):
        if not np.all(np.isfinite(values)) or np.any(values <= 0):
            raise ValueError("latencies and their errors must be positive and finite")
    weights = np.ones_like(t) if errors is None else errors**-2.0
    design = np.stack([np.ones_like(n), n], axis=1)
    inverse = np.linalg.inv(design.T @ (weights[:, None] * design))
    p, e = (float(value) for value in inverse @ (design.T @ (weights * t)))
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
    """Return the p/e at which ``fast`` instead of ``slow`` evaluations give exactly this speed-up.

    From (p + slow e) / (p + fast e) = r: p/e = (slow − r fast) / (r − 1). A method reaches r only on a
    model with a p/e of at most this; if it is below 0, no prefix is short enough.

    Raises:
        ValueError: the speed-up is 1 or less.
    """
    if speedup <= 1:
        raise ValueError(f"{speedup:g} is no speed-up")
    return (slow - speedup * fast) / (speedup - 1)


def _quantile(p: float, df: float) -> float:
    if math.isinf(df):
        return z_quantile(p)
    from scipy.special import stdtrit

    return float(stdtrit(df, p))
