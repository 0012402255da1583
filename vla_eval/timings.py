"""Wall times of inferences: which count, and how they are summed up. One rule for all readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from vla_eval.record import EpisodeRecord

__all__ = ["inference_ms", "quantile"]


def inference_ms(records: Iterable[EpisodeRecord]) -> list[float]:
    """Return the time of every inference but each episode's first, which may still warm up."""
    return [ms for record in records for ms in record.timing.infer_ms[1:]]


def quantile(values: Sequence[float] | npt.NDArray[np.float64], q: float) -> float | None:
    """Return the q-quantile, interpolated as NumPy does by default; None without values."""
    return float(np.quantile(values, q)) if np.size(values) else None
