"""Error rates and coverage by simulation; seeds are fixed, limits are observed ± 3 standard errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from bars import Bar
from eprocess import Bets
from scipy.special import expit

from vla_eval.stats import (
    Checkpoints,
    Decision,
    SequentialPlan,
    compare_methods,
    compare_with_frozen,
    tango_p_noninferior,
)

MARGIN = 0.05


def bars() -> Iterator[Bar]:
    """Yield all bars of this module."""
    yield from training_seeds()
    yield from sequential()
    yield from betting()


def training_seeds(reps: int = 10_000) -> Iterator[Bar]:
    """Coverage over training seeds: 10 tasks, 20 episodes each; both recipes are the same."""
    tasks = np.log(np.linspace(0.65, 0.98, 10) / (1 - np.linspace(0.65, 0.98, 10)))
    for k in (2, 3, 5):
        for sd in (0.0, 0.2, 0.4):  # on the logit scale: 0, 2.3 and 4.6 points of success
            rng = np.random.default_rng(40 + k)
            shift = rng.normal(0, sd, (reps, 2, k, 1))
            counts = rng.binomial(20, expit(tasks + shift))
            plain = floored = 0
            for new, old in counts:
                arms = Checkpoints.of(new, 20), Checkpoints.of(old, 20)
                plain += _holds(compare_methods(*arms, floor=False).interval())
                floored += _holds(compare_methods(*arms).interval())
            label = f"K = {k}, SD {sd} (logit)"
            yield Bar(f"coverage, pooled t, {label}", plain / reps, low=0.94, high=0.96)
            yield Bar(f"coverage, pooled t with floor, {label}", floored / reps, low=0.94)
            if sd == 0.4:
                boot = _bootstrap_coverage(counts[:2000].sum(axis=3) / 200, rng)
                yield Bar(f"coverage, cluster bootstrap, {label}", boot, low=0.90, control=True)
                yield _frozen(counts, k, sd, rng)


def _frozen(counts: np.ndarray, k: int, sd: float, rng: np.random.Generator) -> Bar:
    """One teacher of the typical quality, evaluated once, against K students."""
    tasks = np.log(np.linspace(0.65, 0.98, 10) / (1 - np.linspace(0.65, 0.98, 10)))
    truth = float(np.mean([_expected(task, sd) for task in tasks]) - np.mean(expit(tasks)))
    covered = 0
    for new, _ in counts:
        teacher = Checkpoints.of(rng.binomial(20, expit(tasks))[None, :], 20)
        low, high = compare_with_frozen(Checkpoints.of(new, 20), teacher).interval()
        covered += low <= truth <= high
    return Bar(f"coverage, one frozen teacher, K = {k}", covered / len(counts), low=0.93)


def _expected(logit: float, sd: float) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    return float(weights @ expit(logit + sd * nodes) / weights.sum())


def _holds(interval: tuple[float, float]) -> bool:
    return interval[0] <= 0 <= interval[1]


def _bootstrap_coverage(means: np.ndarray, rng: np.random.Generator) -> float:
    """Percentile bootstrap over checkpoints, as papers do it."""
    _, _, k = means.shape
    covered = 0
    for new, old in means:
        draws = rng.integers(0, k, (2, 1000, k))
        differences = new[draws[0]].mean(axis=1) - old[draws[1]].mean(axis=1)
        low, high = np.quantile(differences, (0.025, 0.975))
        covered += low <= 0 <= high
    return covered / len(means)


def sequential(reps: int = 20_000) -> Iterator[Bar]:
    """Five looks: the error, and the pairs at parity as a share of fixed N."""
    for rho, fixed in ((0.0, 626), (0.3, 447), (0.6, 274)):
        null, parity = _probabilities(0.9, -MARGIN, rho), _probabilities(0.9, 0.0, rho)
        plan = replace(SequentialPlan.from_fixed(fixed, MARGIN), futility=False)
        error, _ = _run_plan(plan, null, reps)
        power, pairs = _run_plan(plan, parity, reps)
        label = f"correlation {rho}"
        yield Bar(f"error, five looks, {label}", error, low=0.042, high=0.054)
        yield Bar(f"pairs at parity / fixed N, {label}", pairs / fixed, low=0.72, high=0.78)
        yield Bar(f"power, five looks, {label}", power, low=0.885)
        plan = replace(plan, futility=True)
        error, _ = _run_plan(plan, null, reps)
        power, pairs = _run_plan(plan, parity, reps)
        yield Bar(f"error with futility, {label}", error, high=0.054)
        yield Bar(f"pairs at parity with futility, {label}", pairs / fixed, high=0.78)
        yield Bar(f"power with futility, {label}", power, low=0.875)
    plan = SequentialPlan.from_fixed(626, MARGIN)
    peeking, _ = _run_plan(plan, _probabilities(0.9, -MARGIN, 0.0), 4000, bound=1.645)
    yield Bar("error, five looks at 1.645 each", peeking, high=0.054, control=True)


def _probabilities(p: float, difference: float, rho: float) -> tuple[float, float]:
    q = p + difference
    both = p * q + rho * math.sqrt(p * (1 - p) * q * (1 - q))
    return q - both, p - both


def _run_plan(
    plan: SequentialPlan, chances: tuple[float, float], reps: int, bound: float | None = None
) -> tuple[float, float]:
    """Return the share of certificates and the mean number of pairs."""
    rng = np.random.default_rng(60)
    steps = np.diff((0, *plan.sizes))
    p10, p01 = chances
    draws = np.stack([rng.multinomial(n, (p10, p01, 1 - p10 - p01), reps) for n in steps], axis=1)
    certified = pairs = 0
    for path in draws.cumsum(axis=1):
        for look, (n10, n01, _) in enumerate(path, start=1):
            size = plan.sizes[look - 1]
            if bound is not None:
                done = tango_p_noninferior(n10, n01, size, margin=plan.margin) <= 0.05
                decision = Decision.CERTIFY if done else Decision.CONTINUE
                decision = Decision.EXHAUSTED if look == plan.looks and not done else decision
            else:
                decision = plan.decide(look, int(n10), int(n01))
            if decision is not Decision.CONTINUE:
                certified += decision is Decision.CERTIFY
                pairs += size
                break
    return certified / reps, pairs / reps


def betting(reps: int = 5000, length: int = 2000) -> Iterator[Bar]:
    """Under the null wealth reaches 20 in at most 5 % of the runs, however long one looks."""
    for rho in (0.0, 0.6):
        rng = np.random.default_rng(70)
        p10, p01 = _probabilities(0.9, -MARGIN, rho)
        bets, reached = Bets(MARGIN, design=0.266), 0
        for _ in range(reps):
            d = rng.choice((1, -1, 0), length, p=(p10, p01, 1 - p10 - p01))
            reached += bets.path(d).max() >= math.log(20)
        yield Bar(f"error, bets over {length} looks, correlation {rho}", reached / reps, high=0.056)
    rng = np.random.default_rng(71)
    p10, p01 = _probabilities(0.9, -MARGIN, 0.0)
    counts = rng.multinomial(20, (p10, p01, 1 - p10 - p01), (1000, length // 20)).cumsum(axis=1)
    peeked = np.mean([_ever_passes(path) for path in counts])
    yield Bar("error, a fixed test after every 20 pairs", float(peeked), high=0.056, control=True)


def _ever_passes(path: np.ndarray) -> bool:
    from vla_eval.stats import tango_z

    return any(
        tango_z(n10, n01, 20 * look, -MARGIN) >= 1.645
        for look, (n10, n01, _) in enumerate(path, start=1)
    )
