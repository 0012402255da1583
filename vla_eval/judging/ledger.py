"""The ledger: results among attempts, pairs among results, and bounds for the missing results.

Reports, looks, certificates, comparisons and the gate all count their pairs here.

- A **result** is an episode that ended in success or failure.
- An episode with errors only is **missing**; an episode without an attempt is **pending**.
- A result after a lost attempt that the policy can have influenced is **retried**: otherwise a policy
  with randomness of its own would get another chance whenever it raises in time. An attempt that was
  lost before the first inference (the scene could not be built) is innocent.
- Two results of one key are a **pair** if both scenes are known and equal.
- In the **worst** case for the candidate its missing, pending and retried episodes are failures, and
  those of the reference are successes; in the **best** case it is the other way round. For a measure
  from 0 to 1 (:mod:`vla_eval.judging.measures`) such a failure counts 0, and such a success 1.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np

from vla_eval.judging.measures import Worth
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import Records
from vla_eval.stats import ClusteredPairs, ClusteredRate, PairedTable
from vla_eval.stats._numeric import Array

__all__ = [
    "ArmEpisodes",
    "Case",
    "Mark",
    "Outcome",
    "Pairing",
    "all_ended",
    "by_task",
    "clusters",
    "pair",
    "seed_of",
    "states_by_task",
    "table",
    "won",
]

Case = Literal["observed", "worst", "best"]
_ENVIRONMENT = ("env_error", "env_timeout")


class Mark(StrEnum):
    """Standing of one planned episode of one arm."""

    WON = "1"
    LOST = "0"
    WON_RETRIED = "S"
    LOST_RETRIED = "F"
    MISSING = "x"
    """The episode has errors only."""
    PENDING = "-"
    """The episode has no attempt yet."""

    @property
    def ended(self) -> bool:
        """Whether the episode has a result."""
        return self not in (Mark.MISSING, Mark.PENDING)

    @property
    def won(self) -> bool:
        """Whether the result is a success."""
        return self in (Mark.WON, Mark.WON_RETRIED)

    def in_case(self, *, favourable: bool) -> bool:
        """Return whether the episode is a success if every doubtful one counts as ``favourable``."""
        return self.won if self in (Mark.WON, Mark.LOST) else favourable


class Outcome(NamedTuple):
    """Whether each of two arms succeeded in one episode."""

    key: EpisodeKey
    ours: bool
    theirs: bool
    values: tuple[float, float] | None = None
    """Both arms' values of the protocol's measure, in [0, 1]; None: the measure is success."""


@dataclass(frozen=True)
class ArmEpisodes:
    """One arm's episodes of a plan."""

    name: str
    finals: Mapping[EpisodeKey, EpisodeRecord]
    """Results: records that ended in success or failure, in the plan's order."""
    missing: tuple[EpisodeKey, ...] = ()
    """Episodes with errors only."""
    pending: tuple[EpisodeKey, ...] = ()
    """Episodes without an attempt."""
    retried: frozenset[EpisodeKey] = frozenset()
    """Results after a lost attempt that the policy can have influenced."""
    attempts: int = 0
    """Number of attempts of these episodes, lost ones included."""
    error_reasons: Mapping[str, int] = field(default_factory=dict)
    """Number of missing episodes by the reason of their last attempt."""

    @classmethod
    def of(cls, records: Records, name: str, keys: Sequence[EpisodeKey]) -> ArmEpisodes:
        """Sort an arm's episodes of a plan by their standing."""
        known = {key: record for key in keys if (record := records.final.get((name, key)))}
        finals = {key: record for key, record in known.items() if record.outcome != "error"}
        lost = {key: records.errors.get((name, key), []) for key in keys}
        return cls(
            name,
            finals,
            missing=tuple(key for key in known if key not in finals),
            pending=tuple(key for key in keys if key not in known),
            retried=frozenset(
                key
                for key, record in finals.items()
                if record.reason != "policy_raised" and any(map(_had_a_say, lost[key]))
            ),
            attempts=sum(map(len, lost.values()))
            + sum(record.reason != "policy_raised" for record in finals.values()),
            error_reasons=Counter(
                str(record.reason) for key, record in known.items() if key not in finals
            ),
        )

    @property
    def n(self) -> int:
        """Number of results."""
        return len(self.finals)

    @property
    def successes(self) -> int:
        """Number of successes."""
        return sum(map(won, self.finals.values()))

    def marks(self) -> dict[EpisodeKey, Mark]:
        """Return the standing of each episode of the plan."""
        ended = {
            key: (Mark.LOST, Mark.WON, Mark.LOST_RETRIED, Mark.WON_RETRIED)[
                won(record) + 2 * (key in self.retried)
            ]
            for key, record in self.finals.items()
        }
        lost = dict.fromkeys(self.missing, Mark.MISSING) | dict.fromkeys(self.pending, Mark.PENDING)
        return ended | lost

    def by_task(self) -> dict[str, ArmEpisodes]:
        """Return the results of each ``suite/task``, in the plan's order."""
        tasks: dict[str, dict[EpisodeKey, EpisodeRecord]] = defaultdict(dict)
        for key, record in self.finals.items():
            tasks[f"{key.suite}/{key.task}"][key] = record
        return {name: ArmEpisodes(self.name, finals) for name, finals in tasks.items()}

    def by_state(self) -> ClusteredRate | None:
        """Return episodes and successes of each initial state; None without results."""
        counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
        for key, record in self.finals.items():
            cell = counts[key.suite, key.task, key.init_state]
            cell[0] += 1
            cell[1] += won(record)
        if not counts:
            return None
        episodes, successes = np.array(list(counts.values()), dtype=np.int64).T
        return ClusteredRate(episodes, successes)


def _had_a_say(attempt: EpisodeRecord) -> bool:
    """Return whether the policy can have caused the loss of an attempt."""
    return attempt.reason not in _ENVIRONMENT or attempt.inferences > 0


def won(record: EpisodeRecord) -> bool:
    """Return whether an episode was a success."""
    return record.outcome == "success"


@dataclass(frozen=True)
class Pairing:
    """Two arms on one plan."""

    keys: tuple[EpisodeKey, ...]
    candidate: ArmEpisodes
    reference: ArmEpisodes
    pairs: tuple[tuple[EpisodeRecord, EpisodeRecord], ...]
    """(Candidate's record, reference's record) of every pair, in the plan's order."""
    unequal: tuple[EpisodeKey, ...] = ()
    """Episodes with two results, in scenes that differ."""
    unknown: tuple[EpisodeKey, ...] = field(default=())
    """Episodes with two results, of which a scene is unknown."""

    def outcomes(self, case: Case = "observed", worth: Worth | None = None) -> tuple[Outcome, ...]:
        """Return the outcomes of the pairs; in the worst or best case those of every planned episode.

        Args:
            case: see `outcomes`.
            worth: value of a result by the protocol's measure; None: the measure is success.
        """
        paired = {ours.key for ours, _ in self.pairs} if case == "observed" else set(self.keys)
        keys = [key for key in self.keys if key in paired]
        found = outcomes(keys, self.candidate.marks(), self.reference.marks(), case)
        return found if worth is None else tuple(self._valued(each, case, worth) for each in found)

    def _valued(self, outcome: Outcome, case: Case, worth: Worth) -> Outcome:
        """Add both arms' values; in the worst or best case a doubtful episode has 0 or 1."""

        def value(arm: ArmEpisodes, *, counted: bool) -> float:
            sure = outcome.key in arm.finals and outcome.key not in arm.retried
            observed = case == "observed" or sure
            return worth(arm.finals[outcome.key]) if observed else float(counted)

        ours = value(self.candidate, counted=outcome.ours)
        theirs = value(self.reference, counted=outcome.theirs)
        return outcome._replace(values=(ours, theirs))

    @property
    def doubtful(self) -> bool:
        """Whether the worst case differs from the observed one."""
        arms = (self.candidate, self.reference)
        return any(arm.missing or arm.pending or arm.retried for arm in arms)

    @property
    def objection(self) -> str:
        """Reason against the use of these episodes as pairs; empty if there is none."""
        both = len(self.pairs) + len(self.unequal) + len(self.unknown)
        if not both:
            return "no episode was run by both"
        if self.unknown:
            return (
                f"{len(self.unknown)} of {both} common episodes have no scene_hash (the first is "
                f"{self.unknown[0]}), so nobody can tell whether the arms saw the same scene"
            )
        if self.unequal:
            key = self.unequal[0]
            hashes = [arm.finals[key].scene_hash[:12] for arm in (self.candidate, self.reference)]
            return (
                f"the scenes of {len(self.unequal)} of {both} common episodes differ (the first is "
                f"{key}: scene_hash {hashes[0]} and {hashes[1]})"
            )
        return ""


def all_ended(records: Records, arms: Iterable[str], keys: Sequence[EpisodeKey]) -> bool:
    """Return whether every arm has a result of every episode."""
    found = (records.final.get((arm, key)) for arm in arms for key in keys)
    return all(record is not None and record.outcome != "error" for record in found)


def pair(keys: Iterable[EpisodeKey], candidate: ArmEpisodes, reference: ArmEpisodes) -> Pairing:
    """Pair two arms on a plan, by the rule at the top of this module."""
    planned = tuple(keys)
    pairs, unequal, unknown = [], [], []
    for key in planned:
        ours, theirs = candidate.finals.get(key), reference.finals.get(key)
        if ours is None or theirs is None:
            continue
        if not (ours.scene_hash and theirs.scene_hash):
            unknown.append(key)
        elif ours.scene_hash != theirs.scene_hash:
            unequal.append(key)
        else:
            pairs.append((ours, theirs))
    return Pairing(planned, candidate, reference, tuple(pairs), tuple(unequal), tuple(unknown))


def outcomes(
    keys: Iterable[EpisodeKey],
    ours: Mapping[EpisodeKey, Mark],
    theirs: Mapping[EpisodeKey, Mark],
    case: Case,
) -> tuple[Outcome, ...]:
    """Return two arms' outcomes.

    Args:
        keys: the episodes.
        ours: standing of the candidate's episodes.
        theirs: standing of the reference's episodes.
        case: ``observed`` leaves out episodes without two results; in the worst or best case for the
            candidate every missing, pending or retried episode counts for or against it.
    """
    if case == "observed":
        return tuple(
            Outcome(key, ours[key].won, theirs[key].won)
            for key in keys
            if ours[key].ended and theirs[key].ended
        )
    good = case == "best"
    return tuple(
        Outcome(key, ours[key].in_case(favourable=good), theirs[key].in_case(favourable=not good))
        for key in keys
    )


def table(outcomes: Iterable[Outcome]) -> PairedTable:
    """Return the counts of pairs; the first digit of a name (``n10``) is the candidate's."""
    cells = [(outcome.ours, outcome.theirs) for outcome in outcomes]
    return PairedTable(
        n11=cells.count((True, True)),
        n10=cells.count((True, False)),
        n01=cells.count((False, True)),
        n00=cells.count((False, False)),
    )


def clusters(outcomes: Iterable[Outcome]) -> ClusteredPairs:
    """Return pairs, wins and losses of the candidate in each initial state."""
    counts: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for key, ours, theirs, _ in outcomes:
        cell = counts[key.suite, key.task, key.init_state]
        cell[0] += 1
        cell[1] += ours and not theirs
        cell[2] += theirs and not ours
    pairs, wins, losses = np.array(list(counts.values()), dtype=np.int64).T
    return ClusteredPairs(pairs, wins, losses)


def by_task(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """Return the pairs of each ``suite/task``, in the plan's order."""
    tasks: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        tasks[f"{outcome.key.suite}/{outcome.key.task}"].append(outcome)
    return dict(tasks)


def states_by_task(outcomes: Iterable[Outcome]) -> dict[str, Array]:
    """Return the mean paired difference of each initial state, (K_h,) for each ``suite/task``."""
    tasks = {name: clusters(pairs) for name, pairs in by_task(outcomes).items()}
    return {name: (data.wins - data.losses) / data.pairs for name, data in tasks.items()}


def seed_of(outcomes: Iterable[Outcome]) -> int:
    """Return a seed that follows from the pairs: equal records give equal random numbers."""
    hasher = hashlib.sha256()
    for key, ours, theirs, _ in outcomes:
        hasher.update(f"{key} {ours:d}{theirs:d}\n".encode())
    return int.from_bytes(hasher.digest()[:8])
