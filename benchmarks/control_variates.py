"""What a control variate, the difficulty of states in other runs, would save in pairs.

    python benchmarks/control_variates.py

An adjustment by a covariate that is known beforehand saves the share r² of the pairs, where r is its
correlation with the difference of the two arms in a state. Here that is computed for every pair of arms of
the committed runs, with the mean success of all other arms in the same state as the covariate, and by
simulation. It is adjusted for the r² that chance gives, 1/(n − 1). The last line is the error of the
adjusted test at the margin, one-sided at 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common.script import parser, run
from scipy.special import expit

from vla_eval.judging.ledger import won
from vla_eval.runs.folder import RunFolder

HERE = Path(__file__).parent
RUNS = (
    *(HERE / "results" / "one_step").iterdir(),
    *(HERE.parent / "docs" / "certificates").iterdir(),
)
Z90 = 1.6448536269514722


def main() -> None:
    """Print the savings, and the error of the adjusted test."""
    parser(__doc__).parse_args()
    print(f"{'committed run':24} pairs of arms  median r²  largest r²")
    for folder in sorted(RUNS):
        found = [saved for _, _, saved in savings(folder)]
        if found:
            middle, most = np.median(found), np.max(found)
            print(f"{folder.name:24} {len(found):13}  {middle:8.1%}  {most:9.1%}")
    print("\nsimulated, arms at 90 % or the candidate 5 points worse, states of SD 2 (logit)")
    for gap in (0.0, 0.05):
        print(f"  difference {-100 * gap:g} points: r² {simulated(gap):.1%}")
    print(f"\nerror of the adjusted test, 100 pairs, 10 points, no pair won: {error():.1%}")


def savings(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Yield the adjusted r² of every two arms of a run with at least three arms."""
    records = RunFolder.open(folder).records().final
    arms = sorted({arm for arm, _ in records})
    keys = [key for arm, key in records if arm == arms[0]]
    if len(arms) < 3:
        return
    outcomes = {arm: np.array([won(records[arm, key]) for key in keys], float) for arm in arms}
    tasks = np.array([key.task for key in keys])
    for ours, theirs in combinations(arms, 2):
        others = np.mean([outcomes[arm] for arm in arms if arm not in (ours, theirs)], axis=0)
        yield ours, theirs, adjusted_r2(outcomes[ours] - outcomes[theirs], others, tasks)


def adjusted_r2(
    difference: npt.NDArray[np.float64],
    covariate: npt.NDArray[np.float64],
    tasks: npt.NDArray[np.float64],
) -> float:
    """Return r² within tasks, less what chance gives; 0 where one of the two never varies."""
    x, y = (centred(values, tasks) for values in (covariate, difference))
    if not x.any() or not y.any():
        return 0.0
    return max(0.0, float((x @ y) ** 2 / (x @ x) / (y @ y)) - 1 / (len(x) - 1))


def centred(
    values: npt.NDArray[np.float64], tasks: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the values without the mean of their task."""
    result = values.astype(float)
    for task in np.unique(tasks):
        result[tasks == task] -= result[tasks == task].mean()
    return result


def simulated(gap: float, states: int = 400_000) -> float:
    """Return r² with the true difficulty, which no run measures better."""
    rng = np.random.default_rng(3)
    difficulty = rng.normal(0, 2, states)
    rates = [expit(intercept(rate) + difficulty) for rate in (0.9 - gap, 0.9)]
    ours, theirs = (rng.random(states) < rate for rate in rates)
    return float(np.corrcoef(ours * 1.0 - theirs, rates[1])[0, 1] ** 2)


def intercept(rate: float) -> float:
    """Return the logit at which states of SD 2 succeed at this rate on average."""
    from scipy.optimize import brentq

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def excess(logit: float) -> float:
        return float(weights @ expit(logit + 2 * nodes) / weights.sum()) - rate

    return float(brentq(excess, -20, 20))


def error(repetitions: int = 20_000, pairs: int = 100, margin: float = 0.10) -> float:
    """Return how often the regression-adjusted test certifies a candidate worse by the margin."""
    rng = np.random.default_rng(4)
    difference = np.where(rng.random((repetitions, pairs)) < margin, -1.0, 0.0)
    covariate = rng.random((repetitions, pairs)) < 0.9
    x = covariate - covariate.mean(axis=1, keepdims=True)
    y = difference - difference.mean(axis=1, keepdims=True)
    slope = (x * y).sum(axis=1) / np.maximum((x * x).sum(axis=1), 1e-12)
    left = ((y - slope[:, None] * x) ** 2).sum(axis=1) / (pairs - 2)
    # The mean of the covariate is that of the states, which are fixed: nothing is left to adjust there.
    z = (difference.mean(axis=1) + margin) / np.sqrt(np.maximum(left, 1e-12) / pairs)
    return float((z >= Z90).mean())


if __name__ == "__main__":
    run(main)
