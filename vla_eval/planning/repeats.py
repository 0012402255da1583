"""What repeats of initial states are worth: the power of the tests by states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_eval.errors import UsageError
from vla_eval.planning.pairs import EXACT_UP_TO, GUARD_UP_TO, paired_case
from vla_eval.stats import CLUSTER_TESTS, minimum_states, power_clustered, power_paired

__all__ = ["CORRELATION", "ICCS", "size_of_repeats"]

ICCS = (0.0, 0.5, 1.0)
"""Shares of the states whose repeats are copies of one another, where nobody names one."""
CORRELATION = 0.3
"""Of the arms on one episode, where only one is shown."""
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
    """Return what repeated states show, as ``vlaeval power --states K --repeats M --json`` prints it.

    The power of the three tests stands beside that of as many episodes without repeats.

    Args:
        states: K different initial states.
        repeats: M episodes of every state and arm.
        p: success rate of the reference.
        difference: what is expected, candidate minus reference.
        correlation: between the arms on the same episode.
        iccs: shares of states whose repeats are copies.
        margin: how much worse is still good enough, as a fraction.
        alpha: one-sided level.

    Raises:
        UsageError: no two arms can be like that, or the design is too large or none.
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
        found = power_clustered(states, repeats, case, icc=icc, margin=margin, alpha=alpha)
        powers = {test: found.of(test) for test in CLUSTER_TESTS}
        rows.append({"icc": icc, "power": powers, "standard_error": found.standard_error})
    pairs = states * repeats
    apart = None
    if pairs <= EXACT_UP_TO:
        guard = pairs <= GUARD_UP_TO
        apart = power_paired(pairs, case, margin=margin, alpha=alpha, guard=guard)
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
        "without_repeats": {"states": pairs, "power": apart},
    }
