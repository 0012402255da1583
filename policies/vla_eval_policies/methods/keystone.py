"""KeyStone: samples K chunks for an observation, and executes one that is close to many others.

Dai et al., arXiv 2605.08638. It works on top of any sampler. With K chunks as points::

    m      = the medoid, argmin of summed distances
    spread = |mean − x_m| / median of the distances of pairs
    spread < τ: take m (one mode).  Otherwise k-means with C clusters: the largest one's medoid

The guard depends on the dimension as much as on the modes: for isotropic Gaussian samples in many
dimensions the ratio tends to √((1 − 1/K)/2), 0.66 for K = 8, and never falls below τ = 0.3. So the
rate of the guard is reported. One call costs K samples in each pass: NFE is K × n, not n.

The paper has K = 16, C = 2 and τ = 0.3 for SmolVLA and π0.5; Drift-VLA has K = 8, C = 4 for SmolVLA.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Option

from vla_eval_policies.methods.method import TrainingCost

__all__ = ["KeyStone", "Selection"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """The selected candidate, and the reason."""

    index: int
    spread: float
    unimodal: bool
    """Whether the guard fired, so that the medoid of all candidates was selected."""


class KeyStone(BaseModel):
    """Selects one of K candidate chunks."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    samples: int = Option(default=8, ge=1, le=1024)
    """K, the number of chunks sampled for each executed chunk."""
    clusters: int = Option(default=2, ge=1, le=1024)
    """C, the number of clusters of k-means; the medoid of the largest is executed."""
    guard: float = Option(default=0.3, ge=0.0)
    """τ, limit of the spread, below which all samples count as one mode."""

    def cost(self, inner: TrainingCost) -> TrainingCost:
        """Return the cost of a chunk: the inner sampler's passes, with K samples in each pass."""
        return TrainingCost(
            prefix=inner.prefix, passes=inner.passes, batch=inner.batch * self.samples
        )

    def select(self, candidates: NDArray[np.floating]) -> Selection:
        """Select one of the chunks (K, executed steps, dimensions), without random numbers."""
        points = candidates.reshape(len(candidates), -1).astype(np.float64)
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        medoid = int(distances.sum(1).argmin())
        pairs = distances[np.triu_indices(len(points), 1)]
        typical = float(np.median(pairs)) if len(pairs) else 0.0
        spread = float(np.linalg.norm(points.mean(0) - points[medoid])) / (typical + 1e-8)
        if spread < self.guard or len(points) <= self.clusters:
            return Selection(medoid, spread, unimodal=True)
        labels = _k_means(points, self.clusters)
        largest = np.flatnonzero(labels == np.bincount(labels).argmax())
        within = distances[np.ix_(largest, largest)].sum(1)
        return Selection(int(largest[within.argmin()]), spread, unimodal=False)


def _k_means(points: Points, clusters: int, iterations: int = 10) -> NDArray[np.intp]:
    """Return each point's cluster (K,); the first points are the first centres."""
    centres = points[:clusters].copy()
    for _ in range(iterations):
        labels = _nearest(points, centres)
        moved = np.array(
            [
                points[labels == i].mean(0) if (labels == i).any() else centres[i]
                for i in range(clusters)
            ]
        )
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _nearest(points, centres)


def _nearest(points: Points, centres: Points) -> NDArray[np.intp]:
    nearest: NDArray[np.intp] = np.linalg.norm(points[:, None] - centres[None], axis=-1).argmin(1)
    return nearest
