"""Value of repeated initial states: the power of the tests by states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_eval.errors import UsageError
from vla_eval.planning.pairs import EXACT_UP_TO, GUARD_UP_TO, paired_case
from vla_eval.stats import CLUSTER_TESTS, minimum_states, power_clustered, power_paired

__all__ = ["CORRELATION", "ICCS", "size_of_repeats"]

ICCS = (0.0, 0.5, 1.0)
"""Default shares of the states whose repeats are copies of one another."""
CORRELATION = 0.3
"""Default correlation of the arms on one episode, if only one is shown."""
_STATES_UP_TO = 2000
_REPEATS_UP_TO = 100


def size_of_repeats(
    states: int,
    repeats: int,
    p: float,
    *,
    difference: float = 0.0,
    correlation: float = CORRELATION,
    iccs: Sequence[float] = ICCS,
    margin: float = 0.05,
    alpha: float = 0.05,
) -> dict[str, Any]:
    """Return the power of repeated states, as ``vlaeval power --states K --repeats M --json`` prints it.

    The result has the power of the three tests, and the power of as many episodes without repeats.

    Args:
        states: K different initial states.
        repeats: M episodes of every state and arm.
        p: success rate of the reference.
        difference: expected difference, candidate minus reference.
        correlation: correlation of the arms on the same episode.
        iccs: shares of states whose repeats are copies.
        margin: largest accepted loss, as a fraction.
        alpha: one-sided level.

    Raises:
        UsageError: these values are impossible, or the design is empty or too large.
    """
    for name, value, top in (
        ("states", states, _STATES_UP_TO),
        ("repeats", repeats, _REPEATS_UP_TO),
    ):
        if not 1 <= value <= top:
            raise UsageError(f"--{name} {value}: expected 1 to {top}")
    for icc in iccs:
        if not 0 <= icc <= 1:
            raise UsageError(f"--icc {icc:g}: expected a number from 0 to 1")
    case = paired_case(p, difference, correlation, margin)
    rows = []
    for icc in iccs:
        result = power_clustered(states, repeats, case, icc=icc, margin=margin, alpha=alpha)
        powers = {test: result.of(test) for test in CLUSTER_TESTS}
        rows.append({"icc": icc, "power": powers, "standard_error": result.standard_error})
    pairs = states * repeats
    independent = None
    if pairs <= EXACT_UP_TO:
        guard = pairs <= GUARD_UP_TO
        independent = power_paired(pairs, case, margin=margin, alpha=alpha, guard=guard)
    return {
        "margin": margin,
        "alpha": alpha,
        "p_reference": case.p_reference,
        "difference": case.difference,
        "correlation": case.correlation,
        "states": states,
        "repeats": repeats,
        "pairs": pairs,
        "minimum_states": {
            test: minimum_states(margin, alpha=alpha, test=test) for test in CLUSTER_TESTS
        },
        "repeated": rows,
        "without_repeats": {"states": pairs, "power": independent},
    }
