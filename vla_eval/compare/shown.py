"""What a finished run could have shown: the power of its size, not of its result.

Only what an analysis may not learn from enters: how many pairs there are, the reference's rate, how
often the arms disagree, how far repeats of states count. Computing power at the observed difference
("observed power") would only repeat the p-value, so the candidate is taken to be at parity.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vla_eval.compare.gather import Entry, Field
from vla_eval.compare.pairwise import clustered_pairs, count, pairing
from vla_eval.errors import UsageError
from vla_eval.stats import (
    PairedCase,
    PairedTable,
    pairs_by_formula,
    pairs_needed,
    power_paired,
    smallest_margin,
)
from vla_eval.stats._numeric import z_quantile

__all__ = ["Shown", "what_it_could_show"]

_EXACT_UP_TO = 300
"""Pairs for which the search over the exact test takes some seconds at most."""


@dataclass(frozen=True)
class Shown:
    """What these pairs can certify."""

    candidate: str
    reference: str
    pairs: int
    vif: float
    """Variance inflation by repeats of initial states; 1 without."""
    effective_pairs: int
    """Pairs over the variance inflation."""
    reference_rate: float
    discordance: float
    """Share of the pairs in which exactly one arm succeeded."""
    correlation: float
    """Of the outcomes; 0 where an arm never varies, and where it is negative."""
    margin: float
    alpha: float
    target: float
    """The power asked for."""
    power: float
    """Chance that a candidate at parity is certified at the margin."""
    smallest_margin: float | None
    """Certified with the power asked for, at parity; None where not even 50 points are."""
    pairs_needed: int
    """For the margin, at parity, with the power asked for."""
    exact: bool
    """Whether these three include the exact test, which costs a few per cent more pairs."""
    detectable: float
    """True difference that would be found different from 0 with the power asked for (formula)."""

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return asdict(self)


def what_it_could_show(
    field: Field,
    candidate: str,
    reference: str,
    *,
    margin: float | None = None,
    alpha: float | None = None,
    power: float = 0.8,
) -> Shown:
    """Return what the pairs of two arms can certify.

    Args:
        field: the arms of a run.
        candidate: name of an arm.
        reference: name of another.
        margin: default the protocol's.
        alpha: one-sided; default the protocol's.
        power: to be reached.

    Raises:
        UsageError: the arms cannot be paired.
    """
    entries = {entry.name: entry for entry in field.entries}
    margin = field.protocol.analysis.margin if margin is None else margin
    alpha = field.protocol.analysis.alpha if alpha is None else alpha
    table, vif = _pairs(field, entries[candidate], entries[reference])
    n = max(1, math.floor(table.n / vif))
    # Half a success keeps the rate inside (0, 1), where a power can be computed.
    rate = min(max((table.n11 + table.n01) / table.n, 0.5 / table.n), 1 - 0.5 / table.n)
    correlation = min(max(0.0, table.correlation or 0.0), 0.99)
    case = PairedCase(rate, 0.0, correlation)
    needed = pairs_by_formula(case, margin=margin, alpha=alpha, power=power)
    exact = max(n, needed) <= _EXACT_UP_TO
    if exact:
        needed = pairs_needed(case, margin=margin, alpha=alpha, power=power, guard=True)
    try:
        smallest: float | None = smallest_margin(n, case, alpha=alpha, power=power, guard=exact)
    except ValueError:
        smallest = None
    return Shown(
        candidate=candidate,
        reference=reference,
        pairs=table.n,
        vif=vif,
        effective_pairs=n,
        reference_rate=rate,
        discordance=table.discordance,
        correlation=correlation,
        margin=margin,
        alpha=alpha,
        target=power,
        power=power_paired(n, case, margin=margin, alpha=alpha, guard=exact),
        smallest_margin=smallest,
        pairs_needed=math.ceil(needed * vif),
        exact=exact,
        detectable=(z_quantile(1 - alpha) + z_quantile(power))
        * math.sqrt(max(table.discordance, 1 / table.n) / n),
    )


def _pairs(field: Field, ours: Entry, theirs: Entry) -> tuple[PairedTable, float]:
    records, reason = pairing(field.keys, ours, theirs)
    if reason:
        raise UsageError(
            f"'{ours.name}' and '{theirs.name}' are not paired ({reason}); for unpaired arms give "
            "rates: vlaeval power --p RATE --episodes N"
        )
    clusters = clustered_pairs(records) if field.protocol.analysis.cluster != "none" else None
    return count(records), 1.0 if clusters is None else clusters.vif
