"""Looks: when a sequential run may stop. A pure function of the protocol and of the records.

A protocol with ``analysis.stopping = "obrien-fleming-5"`` is run in five blocks, each balanced over
the tasks. When every arm has ended every episode of a block, the candidate is looked at: Tango's
score of all pairs so far against the bound of the look (Lan and DeMets' O'Brien–Fleming spending,
:mod:`vla_eval.stats.sequential`). The run stops when the bound is crossed and the exact test agrees
at the look's own level, and, from the second look on, when the estimate is below −margin (futility,
which costs no error). An episode without a result is no look: the machine's trouble neither
certifies nor refutes. What a certificate would refuse, pairs of unequal or unknown scenes, ends the
run; a retried episode counts as it would against the candidate (:mod:`vla_eval.judging.ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import RunFolderError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.roles import sequential_roles
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand, look_sizes
from vla_eval.protocol import LOOKS, Protocol
from vla_eval.runs.store import Records
from vla_eval.stats import Decision, PairedTable, SequentialPlan, exact_p_noninferior, tango_z

__all__ = [
    "Look",
    "due_keys",
    "look_sentence",
    "looks_of",
    "sequential_plan",
]


class Look(BaseModel):
    """What was seen at one look, and what follows from it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: Annotated[int, Field(ge=1, le=LOOKS)]
    """From 1."""
    pairs: int
    """Pairs of candidate and reference so far; retried ones count against the candidate."""
    n11: int
    n10: int
    n01: int
    n00: int
    z: float
    """Tango's score at −margin."""
    bound: float
    """What the score has to reach at this look."""
    p_exact: float
    """One-sided, exact unconditional."""
    level: float
    """What the exact p-value must not exceed: the tail of the normal distribution at the bound."""
    decision: Decision


def sequential_plan(protocol: Protocol, *, margin: float | None = None) -> SequentialPlan | None:
    """Return the plan of looks, or None where the protocol fixes the number of episodes.

    Args:
        protocol: what is run.
        margin: another margin than the protocol's, for a judgement after the fact.
    """
    if protocol.analysis.stopping == "fixed":
        return None
    analysis = protocol.analysis
    plan = SequentialPlan(look_sizes(protocol), analysis.margin, alpha=analysis.alpha)
    return plan if margin is None else replace(plan, margin=margin)


def looks_of(protocol: Protocol, arms: Sequence[str], records: Records) -> tuple[Look, ...]:
    """Return the looks that the records allow, in order, up to the one at which the run stops.

    Args:
        protocol: what is run.
        arms: all arms of the run, in its order; each must have ended a look's episodes.
        records: the results.

    Raises:
        RunFolderError: episodes of a look are no pairs (:mod:`vla_eval.judging.ledger`).
    """
    plan = sequential_plan(protocol)
    if plan is None:
        return ()
    roles = sequential_roles(protocol, arms)
    keys = [episode.key for episode in expand(protocol)]
    looks: list[Look] = []
    seen = 0
    for number, size in enumerate(plan.sizes, start=1):
        if not all(_ended(records, arm, key) for key in keys[seen:size] for arm in arms):
            break
        seen = size
        candidate, reference = (ArmEpisodes.of(records, arm, keys[:size]) for arm in roles)
        pairing = ledger.pair(keys[:size], candidate, reference)
        if pairing.objection:
            raise RunFolderError(
                f"look {number} of {protocol.label} cannot be taken: {pairing.objection}; run both "
                "arms on one machine set-up, in a new folder"
            )
        looks.append(_look(plan, number, ledger.table(pairing.outcomes("worst"))))
        if looks[-1].decision is not Decision.CONTINUE:
            break
    return tuple(looks)


def _ended(records: Records, arm: str, key: EpisodeKey) -> bool:
    record = records.final.get((arm, key))
    return record is not None and record.outcome != "error"


def _look(plan: SequentialPlan, number: int, table: PairedTable) -> Look:
    p_exact = exact_p_noninferior(table.n10, table.n01, table.n, margin=plan.margin)
    level = plan.levels[number - 1]
    decision = plan.decide(number, table.n10, table.n01)
    if decision is Decision.CERTIFY and p_exact > level:
        decision = Decision.EXHAUSTED if number == plan.looks else Decision.CONTINUE
    return Look(
        number=number,
        pairs=table.n,
        n11=table.n11,
        n10=table.n10,
        n01=table.n01,
        n00=table.n00,
        z=tango_z(table.n10, table.n01, table.n, -plan.margin),
        bound=plan.bounds[number - 1],
        p_exact=p_exact,
        level=level,
        decision=decision,
    )


def look_sentence(look: Look, looks: int) -> str:
    """Say in one sentence what a look decides."""
    meaning = {
        Decision.CERTIFY: "the bound is crossed: the run stops, the claim is certified",
        Decision.FUTILE: "the estimate is below the margin: the run stops, the claim is not certified",
        Decision.CONTINUE: "neither bound is crossed: the run goes on",
        Decision.EXHAUSTED: "the last look crosses no bound: the claim is not certified",
    }[look.decision]
    guard = ""
    if look.z >= look.bound and look.decision is not Decision.CERTIFY:
        guard = f" (the exact test says no: p {look.p_exact:.2g}, needs {look.level:.2g})"
    return (
        f"look {look.number} of {looks}, {look.pairs} pairs: z {look.z:.2f}, bound {look.bound:.2f}"
        f"{guard}; {meaning}"
    )


def due_keys(protocol: Protocol, arms: Sequence[str], records: Records) -> tuple[EpisodeKey, ...]:
    """Return what a run has to hold to be complete: the plan, or its part up to the stop."""
    keys = tuple(episode.key for episode in expand(protocol))
    if protocol.analysis.stopping == "fixed" or len(arms) < 2:
        return keys
    looks = looks_of(protocol, arms, records)
    if looks and looks[-1].decision is not Decision.CONTINUE:
        return keys[: looks[-1].pairs]
    return keys
