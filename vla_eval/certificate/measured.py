"""What a certificate says about a measure that is not success: means, power, times to success."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vla_eval.certificate.comparison import Level
from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import (
    ArmMean,
    Comparison,
    MeanPower,
    Measured,
    RestrictedTime,
)
from vla_eval.judging.curves import solved_by
from vla_eval.judging.means import Means, mean_of
from vla_eval.judging.measures import Worth, time_limits, worth_of
from vla_eval.judging.methods import judging
from vla_eval.protocol import Protocol
from vla_eval.stats import power_of_means, states_for_power

__all__ = ["measured"]

_GRID = 60
"""Number of intervals of the curve of solved episodes."""


def measured(evidence: Evidence, comparison: Comparison, level: Level) -> Measured | None:
    """Return means, power and times of the protocol's measure; None if it is success.

    Args:
        evidence: the admitted episodes.
        comparison: candidate and reference, judged by the measure.
        level: margin and level of the verdict.
    """
    protocol = evidence.protocol
    name, worth = protocol.analysis.measure, worth_of(protocol)
    if name is None or worth is None:
        return None
    arms = {
        arm.name: ArmMean(mean=mean, ci95=limits)
        for arm in evidence.arms.values()
        for mean, limits in [mean_of(arm, worth, protocol.analysis)]
    }
    means = [(arm, found.mean) for arm, found in arms.items()]
    return Measured(
        name=name,
        arms=arms,
        power=_power(evidence, worth, level),
        time=_time(evidence, comparison, means) if name == "time-to-success" else None,
    )


def _power(evidence: Evidence, worth: Worth, level: Level) -> MeanPower:
    roles = evidence.roles
    pairing = evidence.pairing(roles.candidate, roles.reference)
    method = judging(pairing.outcomes("observed", worth), evidence.protocol.analysis)
    if not isinstance(method, Means):
        raise TypeError("a measure is judged by means")
    data = method.data
    # At parity: scores are as often better as worse; times keep their spread about the mean.
    parity = np.append(data.units, -data.units) if data.exact else data.units - data.difference
    units = np.clip(parity, -1, 1)
    states = len({(key.suite, key.task, key.init_state) for key in evidence.keys})
    levels = {"margin": level.margin, "alpha": level.alpha}
    return MeanPower(
        states_planned=states,
        spread=data.spread,
        at_parity=power_of_means(units, states, **levels, exact=data.exact),
        states_for_80=states_for_power(units, **levels, exact=data.exact),
    )


def _time(
    evidence: Evidence, comparison: Comparison, means: Iterable[tuple[str, float]]
) -> RestrictedTime:
    limits = time_limits(evidence.protocol)
    limit = _common(limits.values())
    grid = np.linspace(0, 1, _GRID + 1)
    low, high = comparison.ci95
    return RestrictedTime(
        limit_steps=limit,
        control_hz=control_rate(evidence.protocol),
        grid=tuple(np.round(grid, 4).tolist()),
        solved={
            name: tuple(solved_by(grid.tolist(), arm.finals.values(), limits))
            for name, arm in evidence.arms.items()
        },
        # What is judged is time saved, as a fraction of the limit.
        mean_steps=None if limit is None else {name: limit * (1 - mean) for name, mean in means},
        difference_steps=None if limit is None else -limit * comparison.difference,
        ci95_steps=None if limit is None else (-limit * high, -limit * low),
    )


def control_rate(protocol: Protocol) -> float | None:
    """Return the control steps a second of all blocks; None if they differ, or if one gives none."""
    rates = {block.control_hz for block in protocol.blocks}
    return rates.pop() if len(rates) == 1 else None


def _common(limits: Iterable[int]) -> int | None:
    different = set(limits)
    return different.pop() if len(different) == 1 else None
