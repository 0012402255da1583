"""Wall times of inferences: one rule for their selection and summary, for all readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_eval.record import EpisodeRecord

__all__ = ["Floats", "Inferences", "inference_ms", "phase_seconds", "quantile"]

Floats = npt.NDArray[np.float64]


def inference_ms(records: Iterable[EpisodeRecord]) -> list[float]:
    """Return the times of all inferences except each episode's first, which may include warm-up."""
    return [ms for record in records for ms in record.timing.infer_ms[1:]]


def quantile(values: Sequence[float] | npt.NDArray[np.float64], q: float) -> float | None:
    """Return the q-quantile, interpolated as NumPy does by default; None without values."""
    return float(np.quantile(values, q)) if np.size(values) else None


@dataclass(frozen=True)
class Inferences:
    """Times of one arm's inferences, without each episode's first, which may include warm-up."""

    total_ms: Floats
    prefix_ms: float | None
    """Median time of the prefix, if the policy reports it."""
    denoise_ms: float | None
    """Median time of the solver, if the policy reports it."""
    step_ms: float | None
    """Median time of one function evaluation, if the policy reports the solver's time."""

    @classmethod
    def of(cls, records: Sequence[EpisodeRecord]) -> Inferences:
        """Collect the inferences of an arm."""
        total = inference_ms(records)
        prefix = [ms for record in records for ms in record.timing.prefix_ms[1:]]
        denoise = [ms for record in records for ms in record.timing.denoise_ms[1:]]
        inferences = sum(record.inferences for record in records)
        nfe = sum(record.nfe for record in records) / max(1, inferences)
        solver = _median(denoise)
        step = solver / nfe if solver is not None and nfe > 0 else None
        return cls(np.array(total, dtype=np.float64), _median(prefix), solver, step)

    def quantile(self, q: float) -> float | None:
        """Return the q-quantile of the total times in ms; None without inferences."""
        return quantile(self.total_ms, q)


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if any(values) else None


def phase_seconds(records: Iterable[EpisodeRecord]) -> dict[str, float]:
    """Return the wall times of the phases of episodes in s, summed."""
    totals = dict.fromkeys(("build", "reset", "advance", "observe", "infer", "wall"), 0.0)
    for record in records:
        for name in totals:
            totals[name] += getattr(record.timing, f"{name}_s")
    return {name: round(total, 3) for name, total in totals.items()}
