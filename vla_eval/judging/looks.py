"""Looks: the interim analyses that can stop a sequential run.

Looks are a pure function of the protocol and of the records. A protocol with
``analysis.stopping = "obrien-fleming-5"`` is run in five blocks, each balanced over the tasks. A look
is taken when every arm has ended every episode of a block: Tango's score of all pairs so far is
compared with the bound of the look (Lan and DeMets' O'Brien–Fleming spending,
:mod:`vla_eval.stats.sequential`).

The run stops if the bound is crossed and the exact test agrees at the look's own level. From the second
look on it also stops if the estimate is below −margin (futility, which costs no error). While an
episode lacks a result, its look waits: errors of the machine neither certify nor refute. Pairs of
unequal or unknown scenes, which a certificate would refuse, end the run. A retried episode counts
against the candidate (:mod:`vla_eval.judging.ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import RunFolderError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.resizing import decides_by_pairs, resize_rule, resizing_of
from vla_eval.judging.roles import sequential_roles
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand, look_sizes
from vla_eval.protocol import LOOKS, Protocol
from vla_eval.runs.store import Records
from vla_eval.stats import (
    Decision,
    PairedTable,
    ResizeRule,
    SequentialPlan,
    exact_p_noninferior,
    tango_z,
)

__all__ = [
    "Look",
    "due_keys",
    "judged_by",
    "look_sentence",
    "looks_of",
    "sequential_plan",
]


class Look(BaseModel):
    """Counts and decision of one look."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    number: Annotated[int, Field(ge=1, le=LOOKS)]
    """Number of the look, from 1."""
    pairs: int
    """Number of pairs so far; retried episodes count against the candidate."""
    n11: int
    n10: int
    n01: int
    n00: int
    z: float
    """Tango's score at −margin."""
    bound: float
    """Bound that the score has to reach at this look."""
    p_exact: float
    """One-sided p-value of the exact unconditional test."""
    level: float
    """Largest allowed exact p-value: the tail of the normal distribution at the bound."""
    decision: Decision


def sequential_plan(protocol: Protocol, *, margin: float | None = None) -> SequentialPlan | None:
    """Return the plan of looks, or None if the protocol fixes the number of episodes.

    Args:
        protocol: the protocol of the run.
        margin: a margin in place of the protocol's, for a judgement after the fact.
    """
    if protocol.analysis.stopping == "fixed":
        return None
    analysis = protocol.analysis
    plan = SequentialPlan(look_sizes(protocol), analysis.margin, alpha=analysis.alpha)
    return plan if margin is None else replace(plan, margin=margin)


def judged_by(protocol: Protocol) -> SequentialPlan | ResizeRule | None:
    """Return what decides the size of a run: its looks, or its rule; None if it is fixed."""
    return sequential_plan(protocol) or resize_rule(protocol)


def looks_of(protocol: Protocol, arms: Sequence[str], records: Records) -> tuple[Look, ...]:
    """Return the looks that the records allow, in order, up to the look that stops the run.

    Args:
        protocol: the protocol of the run.
        arms: all arms of the run, in its order; a look needs the results of each.
        records: the records of the run.

    Raises:
        RunFolderError: results of a look are no pairs (:mod:`vla_eval.judging.ledger`).
    """
    plan = sequential_plan(protocol)
    if plan is None:
        return ()
    roles = sequential_roles(protocol, arms)
    keys = [episode.key for episode in expand(protocol)]
    looks: list[Look] = []
    seen = 0
    for number, size in enumerate(plan.sizes, start=1):
        if not ledger.all_ended(records, arms, keys[seen:size]):
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


def _look(plan: SequentialPlan, number: int, table: PairedTable) -> Look:
    p_exact = exact_p_noninferior(table.n10, table.n01, table.n, margin=plan.margin)
    level = plan.level(number)
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
        bound=plan.bound(number),
        p_exact=p_exact,
        level=level,
        decision=decision,
    )


def look_sentence(look: Look, looks: int) -> str:
    """Return one sentence about the decision of a look."""
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
    """Return the episodes of a complete run: the plan, or its part up to the look that stops it.

    In a resized run they are the part that its number of discordant pairs asks for, once it is known.
    """
    keys = tuple(episode.key for episode in expand(protocol))
    if not decides_by_pairs(protocol) or len(arms) < 2:
        return keys
    if resized := resizing_of(protocol, arms, records):
        return keys[: resized.pairs]
    looks = looks_of(protocol, arms, records)
    if looks and looks[-1].decision is not Decision.CONTINUE:
        return keys[: looks[-1].pairs]
    return keys
