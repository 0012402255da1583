"""Resizing: the number of pairs, set once from how many of the first pairs are discordant.

Like looks it is a pure function of the protocol and of the records. A protocol with a table
``[analysis.resize]`` runs its first ``after`` episodes in every arm. Then the discordant pairs among them
are counted, and this number alone decides how far the plan is run (:mod:`vla_eval.stats.resizing`). Which
arm won them is not read, so the size says nothing about who is better. While an episode lacks a result,
the decision waits. A retried episode counts against the candidate (:mod:`vla_eval.judging.ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import RunFolderError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.roles import sequential_roles
from vla_eval.plan import expand, tasks_of
from vla_eval.protocol import Protocol
from vla_eval.runs.store import Records
from vla_eval.stats import ResizeRule

__all__ = ["Resizing", "decides_by_pairs", "resize_rule", "resizing_of", "resizing_sentence"]


class Resizing(BaseModel):
    """The decision about the number of pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    after: Annotated[int, Field(ge=1)]
    """Pairs that were read."""
    discordant: Annotated[int, Field(ge=0)]
    """Discordant pairs among them; retried episodes count against the candidate."""
    wanted: Annotated[int, Field(ge=1)]
    """Pairs that certify parity with the wanted power if as many of all pairs are discordant, by formula."""
    planned: int
    at_most: int
    pairs: Annotated[int, Field(ge=1)]
    """Pairs of the run: the wanted ones, but not fewer than planned and not more than the most."""


def decides_by_pairs(protocol: Protocol) -> bool:
    """Return whether the pairs of candidate and reference decide how far the plan is run."""
    return protocol.analysis.stopping != "fixed" or protocol.analysis.resize is not None


def resize_rule(protocol: Protocol) -> ResizeRule | None:
    """Return the rule of a protocol, or None if it has none."""
    analysis = protocol.analysis
    if (table := analysis.resize) is None:
        return None
    return ResizeRule(
        table.after,
        table.planned,
        table.at_most,
        margin=analysis.margin,
        alpha=analysis.alpha,
        power=table.power,
        step=tasks_of(protocol),
    )


def resizing_of(protocol: Protocol, arms: Sequence[str], records: Records) -> Resizing | None:
    """Return the decision, or None if the protocol has no rule or the first pairs are not all there.

    Args:
        protocol: the protocol of the run.
        arms: all arms of the run, in its order; the decision needs the results of each.
        records: the records of the run.

    Raises:
        RunFolderError: the results are no pairs (:mod:`vla_eval.judging.ledger`).
    """
    rule = resize_rule(protocol)
    if rule is None:
        return None
    keys = [episode.key for episode in expand(protocol)][: rule.after]
    if not ledger.all_ended(records, arms, keys):
        return None
    roles = sequential_roles(protocol, arms)
    pairing = ledger.pair(keys, *(ArmEpisodes.of(records, arm, keys) for arm in roles))
    if pairing.objection:
        raise RunFolderError(
            f"the number of pairs of {protocol.label} cannot be set: {pairing.objection}; run both "
            "arms on one machine set-up, in a new folder"
        )
    table = ledger.table(pairing.outcomes("worst"))
    discordant = table.n10 + table.n01
    return Resizing(
        after=rule.after,
        discordant=discordant,
        wanted=rule.wanted(discordant),
        planned=rule.planned,
        at_most=rule.at_most,
        pairs=rule.size(discordant),
    )


def resizing_sentence(resizing: Resizing) -> str:
    """Return one sentence about the decision."""
    wanted = f"{resizing.wanted} pairs are wanted"
    if resizing.wanted > resizing.at_most:
        wanted += f", more than the {resizing.at_most} that are allowed"
    return (
        f"size set after {resizing.after} pairs, of which {resizing.discordant} are discordant (who won "
        f"them was not read): {wanted}; the run has {resizing.pairs} (planned {resizing.planned}, at most "
        f"{resizing.at_most})"
    )
