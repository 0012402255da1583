"""The highest of K success rates is too high: the selection bias of "the best checkpoint"."""

from __future__ import annotations

import numpy as np

from vla_eval.stats._numeric import Array

__all__ = ["expected_excess"]

_PERMUTATIONS = 400


def expected_excess(wins: Array, *, seed: int = 0) -> float:
    """Return by how much the highest rate exceeds its true value on average if all K are equally good.

    If so, their outcomes on one state are exchangeable, whether the state is easy or hard. So this is the
    mean of max_k p_k − mean_k p_k over permutations of the checkpoints within each state, which has no
    bias. If some checkpoints are truly better, the excess is smaller.

    Args:
        wins: (K, n) success of each checkpoint on each state, 0 or 1.
        seed: of the permutations.

    Returns:
        A difference of rates, 0 or more; 0 for one checkpoint.
    """
    if len(wins) < 2:
        return 0.0
    rng = np.random.default_rng(seed)
    highest = [rng.permuted(wins, axis=0).mean(axis=1).max() for _ in range(_PERMUTATIONS)]
    return float(np.mean(highest) - wins.mean())
