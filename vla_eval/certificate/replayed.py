"""Replaying a sample: what no hash can show, whether the records happened at all.

Who owns a run folder can write any record into it and mend every hash. But the same key is the same
episode: whoever has the policy runs it again and must get the same scene, the same actions, the same
outcome. A few dozen at random are enough. If K of the M records were forged, n of them drawn at random
would all be honest with the chance C(M - K, n) / C(M, n); where that is below 5 %, K is excluded.

The sample is drawn by the hash of the certificate's file, so that nobody who has the certificate can
choose it. Who *makes* a certificate can make it again with a blank more until the draw is kind, so a
verifier who does not trust the maker adds a word of his own (``salt``), and keeps it to himself before.

Policies are built and episodes run in this process, as ``vlaeval replay`` does: it is running a
stranger's code, if the run's arms are a stranger's.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from math import comb
from pathlib import Path
from typing import Any, Literal

from vla_eval.differences import differences, name_differences
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INFRASTRUCTURE,
    EXIT_REFUTED,
    PolicyLostError,
    PolicyTimeoutError,
    RunFolderError,
    UsageError,
    VlaEvalError,
)
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.provenance import other_physics, versions
from vla_eval.record import EpisodeRecord
from vla_eval.recording import Recorder
from vla_eval.replay import Differences, repeat
from vla_eval.runfile import Arm
from vla_eval.runfolder import RunFolder
from vla_eval.spec import build_policy, identity_of

__all__ = [
    "Differing",
    "Lost",
    "ReplayReport",
    "Sample",
    "choose",
    "excluded_share",
    "replay_sample",
    "sentence",
]

type Slot = tuple[str, EpisodeKey]
"""An arm's name, and an episode."""

_SHOWN = 3
_OUTCOME = ("outcome", "reason", "error")


@dataclass(frozen=True)
class Sample:
    """What is to be run again."""

    chosen: tuple[Slot, ...]
    population: int
    """How many records it was drawn from."""


def choose(certificate: bytes, keys: Sequence[Slot], n: int, *, salt: str = "") -> Sample:
    """Draw n records, each set of n with the same chance; fewer records than n are taken all.

    A larger n draws the same and more. Neither the order of the keys nor the version of a package
    changes what is drawn.

    Args:
        certificate: the content of the certificate's file.
        keys: the admitted episodes of every arm that has a role.
        n: how many.
        salt: a word of the verifier's that the certificate's maker could not know.

    Raises:
        UsageError: less than one.
    """
    if n < 1:
        raise UsageError(f"--replay {n}: at least one episode is needed")
    seed = hashlib.sha256(certificate).hexdigest()

    def rank(slot: Slot) -> str:
        return hashlib.sha256(f"{seed}/{salt}/{slot[0]}/{slot[1]}".encode()).hexdigest()

    different = sorted(set(keys), key=rank)
    return Sample(tuple(different[:n]), len(different))


def excluded_share(population: int, drawn: int, unknown: int = 0) -> float | None:
    """Return the smallest share of forged records that is excluded at 95 %, exactly.

    All drawn records were run again and reproduced but for the unknown, which count as forged ones.
    The records are a finite population, so the chance is hypergeometric and the bound a little
    sharper than that for endless ones, 1 - 0.05^(1/n).

    Args:
        population: how many records the sample was drawn from.
        drawn: size of the sample.
        unknown: how many of it could not be run again.

    Returns:
        K/M with the smallest K for which at most ``unknown`` forged ones in the sample have a chance
        of 5 % or less; None where no record was run again.
    """
    if drawn <= unknown:
        return None
    low, high = 0, population  # a K that is not excluded, and one that is
    while high - low > 1:
        middle = (low + high) // 2
        if _is_excluded(middle, population, drawn, unknown):
            high = middle
        else:
            low = middle
    return high / population


def _is_excluded(forged: int, population: int, drawn: int, unknown: int) -> bool:
    """Whether at most ``unknown`` of so many forged in the sample have a chance of 5 % or less."""
    ways = sum(comb(forged, i) * comb(population - forged, drawn - i) for i in range(unknown + 1))
    return 20 * ways <= comb(population, drawn)


@dataclass(frozen=True)
class Differing:
    """A record that is not what happens."""

    arm: str
    key: EpisodeKey
    differences: Differences

    def __str__(self) -> str:
        words = "; ".join(
            f"{name} {_short(then)} in the record, {_short(now)} now"
            for name, (then, now) in self.differences.items()
        )
        return f"{self.arm} {self.key}: {words}"


def _short(value: Any) -> str:
    """Return the beginning of a hash or of a long message."""
    text = str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:12] if is_hash else text[:80]


@dataclass(frozen=True)
class Lost:
    """Records of an arm that could not be run again, for one reason."""

    arm: str
    episodes: int
    why: str


@dataclass(frozen=True)
class ReplayReport:
    """What running a sample again gave."""

    population: int
    drawn: int
    reproduced: int
    differing: tuple[Differing, ...] = ()
    lost: tuple[Lost, ...] = ()
    notes: tuple[str, ...] = ()
    """What is not as in the run and may be why something differs: code, simulators."""

    @property
    def status(self) -> Literal["reproduced", "differs", "incomplete", "nothing"]:
        """``incomplete``: nothing differs, and some could not be run again; ``nothing``: none could."""
        if self.differing:
            return "differs"
        if not self.reproduced:
            return "nothing"
        return "incomplete" if self.lost else "reproduced"

    @property
    def exit_code(self) -> int:
        """0 where all were reproduced, 1 where one differs, 3 where some could not be run."""
        codes = {"reproduced": EXIT_COMPLETE, "differs": EXIT_REFUTED}
        return codes.get(self.status, EXIT_INFRASTRUCTURE)

    @property
    def excluded(self) -> float | None:
        """The share of forged records that this excludes at 95 %; see :func:`excluded_share`."""
        if self.differing:
            return None
        return excluded_share(self.population, self.drawn, self.drawn - self.reproduced)


def replay_sample(
    run: Path, sample: Sample, *, progress: Callable[[Slot], None] | None = None
) -> ReplayReport:
    """Run a sample's episodes again, and compare them with their records.

    Each arm's policy is built once, and an environment is kept while its scene stays. What goes wrong
    with an arm is collected: a report always comes back.

    Args:
        run: the run folder.
        sample: from :func:`choose`.
        progress: called after each record, also of those that could not be run again.

    Raises:
        RunFolderError: the run is damaged, or has no result of a chosen episode.
    """
    folder = RunFolder.open(run)
    final = folder.records().final
    plan = {each.key: each for each in expand(folder.run.protocol)}
    order = {key: place for place, key in enumerate(plan)}
    arms = {arm.name: arm for arm in folder.run.arms}
    for name, key in sample.chosen:
        record = final.get((name, key))
        if name not in arms or key not in plan or record is None or record.outcome == "error":
            raise RunFolderError(f"{run}: has no result of arm '{name}' for {key}")
    session = _Session(progress or (lambda _: None))
    with redirect_stdout(sys.stderr):  # what policies and simulators print is no result of ours
        for arm in arms.values():
            keys = [key for name, key in sample.chosen if name == arm.name]
            keys.sort(key=lambda key: (repr(plan[key].scene), order[key]))
            session.run(
                arm,
                [(plan[key], final[arm.name, key]) for key in keys],
                folder.run.protocol.run.n_action_steps,
            )
    session.notes += [
        f"the simulator is another one ({each})"
        for each in other_physics(folder.run.versions, versions())
    ]
    return ReplayReport(
        sample.population,
        len(sample.chosen),
        session.reproduced,
        tuple(session.differing),
        tuple(Lost(arm, count, why) for (arm, why), count in session.lost.items()),
        tuple(session.notes),
    )


@dataclass
class _Session:
    """Runs arm by arm, and keeps what came of it."""

    progress: Callable[[Slot], None]
    reproduced: int = 0
    differing: list[Differing] = field(default_factory=list)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def run(
        self,
        arm: Arm,
        episodes: Sequence[tuple[PlannedEpisode, EpisodeRecord]],
        n_action_steps: int | None,
    ) -> None:
        """Run an arm's episodes again."""
        if not episodes:
            return
        recorder, why = None, ""
        try:
            policy = build_policy(arm.spec)
            why = self._other_policy(arm, identity_of(arm.spec, policy.metadata))
            recorder = Recorder(policy, n_action_steps=n_action_steps)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's; said in the report
            why = _said(error)
        if recorder is None or why:
            self._lose(arm.name, [episode for episode, _ in episodes], why)
            return
        try:
            for place, (episode, record) in enumerate(episodes):
                gone = self._repeat(recorder, arm.name, episode, record)
                if gone:
                    self._lose(arm.name, [each for each, _ in episodes[place + 1 :]], gone)
                    break
        finally:
            _close(recorder)

    def _repeat(
        self, recorder: Recorder, arm: str, episode: PlannedEpisode, record: EpisodeRecord
    ) -> str:
        """Run one episode again; return why nothing more of its arm can be run, if so."""
        try:
            different = repeat(recorder, episode, record)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - policy's or simulator's; said too
            why = _said(error)
            self._lose(arm, [episode], why)
            _close(recorder)  # what raised is not trusted further
            return why if isinstance(error, PolicyLostError | PolicyTimeoutError) else ""
        if different:
            self.differing.append(Differing(arm, episode.key, different))
        else:
            self.reproduced += 1
        self.progress((arm, episode.key))
        return ""

    def _lose(self, arm: str, episodes: Sequence[PlannedEpisode], why: str) -> None:
        for episode in episodes:
            self.lost[arm, why] += 1
            self.progress((arm, episode.key))

    def _other_policy(self, arm: Arm, now: Mapping[str, Any]) -> str:
        """Say what makes the policy another one than the run's; other code alone is a note."""
        then = arm.identity or {}
        both = {name: now.get(name) for name in then}  # what a later version adds is passed over
        changed = [place for place, _, _ in differences(then, both)]
        if changed == ["code_sha256"]:
            self.notes.append(f"the code of arm '{arm.name}' is not that of the run")
            return ""
        if not changed:
            return ""
        return f"its spec gives another policy now ({name_differences(then, both)})"


def _close(recorder: Recorder) -> None:
    with suppress(Exception):  # the records are what is asked about
        recorder.close()


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, VlaEvalError) else f"{type(error).__name__}: {text}"


def sentence(report: ReplayReport) -> str:
    """Return the report in words, one paragraph."""
    parts = [
        f"{report.drawn} of {report.population} records were drawn.",
        f"{report.reproduced} of these were run again and reproduced bit for bit.",
    ]
    if report.differing:
        parts += _about_differences(report)
    for lost in report.lost[:_SHOWN]:
        records = "1 record" if lost.episodes == 1 else f"{lost.episodes} records"
        parts.append(f"{records} of arm '{lost.arm}' could not be run again: {lost.why}.")
    if rest := sum(lost.episodes for lost in report.lost[_SHOWN:]):
        parts.append(f"Nor could {rest} more, for other reasons.")
    if (share := report.excluded) is not None:
        worst = ", even if all are that could not be run again" if report.lost else ""
        parts.append(
            f"This excludes at 95 % that {share:.1%} of the records or more are forged{worst}."
        )
    return " ".join(parts)


def _about_differences(report: ReplayReport) -> list[str]:
    found = report.differing
    outcomes = sum(any(name in _OUTCOME for name in each.differences) for each in found)
    shown = "; ".join(str(each) for each in found[:_SHOWN])
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    parts = [f"NOT REPRODUCED: {len(found)} differ, {outcomes} in their outcome ({shown}{more})."]
    if not outcomes:
        parts.append(
            "Other actions with the same outcomes can come from other hardware, or from inference in "
            "batches, which move the last bits."
        )
    parts += [f"Perhaps because {note}." for note in report.notes]
    return parts
