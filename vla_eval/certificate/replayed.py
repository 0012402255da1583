"""Replaying a sample: shows that the records are real, which no hash can show.

The owner of a run folder can write any record into it and recompute every hash. But the same key is the
same episode: a verifier who has the policy can run it again and must get the same scene, the same
actions and the same outcome. A few dozen random episodes are enough
(:mod:`vla_eval.certificate.sampling`).

Policies are built and episodes run in this process, as in ``vlaeval replay``: replaying a stranger's run
executes a stranger's code.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vla_eval.blocks import RunSettings
from vla_eval.certificate.sampling import Sample, Slot, choose, excluded_share
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INFRASTRUCTURE,
    EXIT_REFUTED,
    PolicyLostError,
    PolicyTimeoutError,
    RunFolderError,
    VlaEvalError,
)
from vla_eval.files.differences import name_differences
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, expand
from vla_eval.realtime.latency import virtual_time
from vla_eval.record import EpisodeRecord
from vla_eval.recording.recorder import Recorder
from vla_eval.recording.replay import Differences, repeat
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm
from vla_eval.runs.provenance import other_physics, versions
from vla_eval.spec import build_policy, identity_of
from vla_eval.trust import foreign_code, need_trust

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

_SHOWN = 3
_OUTCOME = ("outcome", "reason", "error")


@dataclass(frozen=True)
class Differing:
    """A record that differs from its replay."""

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
    """Records of an arm that could not be replayed for the same reason."""

    arm: str
    episodes: int
    why: str


@dataclass(frozen=True)
class ReplayReport:
    """The result of replaying a sample."""

    population: int
    drawn: int
    reproduced: int
    differing: tuple[Differing, ...] = ()
    lost: tuple[Lost, ...] = ()
    notes: tuple[str, ...] = ()
    """Changes since the run that may explain differences: code, simulators."""

    @property
    def status(self) -> Literal["reproduced", "differs", "incomplete", "nothing"]:
        """``incomplete``: no record differs, but some could not be replayed; ``nothing``: none could."""
        if self.differing:
            return "differs"
        if not self.reproduced:
            return "nothing"
        return "incomplete" if self.lost else "reproduced"

    @property
    def exit_code(self) -> int:
        """0: all were reproduced; 1: at least one differs; 3: some could not be replayed."""
        codes = {"reproduced": EXIT_COMPLETE, "differs": EXIT_REFUTED}
        return codes.get(self.status, EXIT_INFRASTRUCTURE)

    @property
    def excluded(self) -> float | None:
        """Share of forged records that the replay excludes at 95 %; see :func:`excluded_share`."""
        if self.differing:
            return None
        return excluded_share(self.population, self.drawn, self.drawn - self.reproduced)


def replay_sample(
    run: Path,
    sample: Sample,
    *,
    progress: Callable[[Slot], None] | None = None,
    trust: bool = False,
) -> ReplayReport:
    """Run a sample's episodes again, and compare them with their records.

    Every arm's policy is built once, and an environment is kept while its scene stays the same. Failures
    of an arm are collected in the report.

    Args:
        run: the run folder.
        sample: from :func:`choose`.
        progress: called after each record, even if it could not be replayed.
        trust: run code that the folder names and no installed package provides.

    Raises:
        RunFolderError: the run is damaged, or has no result for a chosen episode.
        UsageError: the run names code that the user does not trust.
    """
    folder = RunFolder.open(run)
    final = folder.records().final
    plan = {episode.key: episode for episode in expand(folder.header.protocol)}
    order = {key: place for place, key in enumerate(plan)}
    arms = {arm.name: arm for arm in folder.header.arms}
    for name, key in sample.chosen:
        record = final.get((name, key))
        if name not in arms or key not in plan or record is None or record.outcome == "error":
            raise RunFolderError(f"{run}: has no result of arm '{name}' for {key}")
    specs = [arms[name].spec for name in dict.fromkeys(name for name, _ in sample.chosen)]
    foreign = foreign_code(folder.header.protocol, specs)
    need_trust(str(folder.path / "run.json"), foreign, trust=trust)
    session = _Session(progress or (lambda _: None))
    with redirect_stdout(sys.stderr):  # output of policies and simulators is not part of the result
        for arm in arms.values():
            keys = [key for name, key in sample.chosen if name == arm.name]
            keys.sort(key=lambda key: (repr(plan[key].scene), order[key]))
            session.run(
                arm,
                [(plan[key], final[arm.name, key]) for key in keys],
                folder.header.protocol.run,
            )
    session.notes += [
        f"the simulator is another one ({change})"
        for change in other_physics(folder.header.versions, versions())
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
    """Runs arm by arm, and keeps the results."""

    progress: Callable[[Slot], None]
    reproduced: int = 0
    differing: list[Differing] = field(default_factory=list)
    lost: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def run(
        self,
        arm: Arm,
        episodes: Sequence[tuple[PlannedEpisode, EpisodeRecord]],
        settings: RunSettings,
    ) -> None:
        """Run an arm's episodes again."""
        if not episodes:
            return
        planned = [episode for episode, _ in episodes]
        try:
            policy = build_policy(arm.spec)
            virtual = virtual_time(settings.realtime, arm.name, policy.metadata)
            other, code = _other_policy(arm, identity_of(arm.spec, policy.metadata, virtual))
            recorder = Recorder(policy, n_action_steps=settings.n_action_steps, virtual=virtual)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's; in the report
            self._lose(arm.name, planned, _said(error))
            return
        if other:
            self._lose(arm.name, planned, other)
            return
        try:
            self._repeat_all(recorder, arm.name, episodes, code)
        finally:
            _close(recorder)

    def _repeat_all(
        self,
        recorder: Recorder,
        arm: str,
        episodes: Sequence[tuple[PlannedEpisode, EpisodeRecord]],
        code: str,
    ) -> None:
        reproduced, unequal = 0, list[tuple[Differing, str]]()
        for place, (episode, record) in enumerate(episodes):
            try:
                again = repeat(recorder, episode, record)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - policy's or simulator's
                gone = isinstance(error, PolicyLostError | PolicyTimeoutError)
                rest = [planned for planned, _ in episodes[place:]] if gone else [episode]
                self._lose(arm, rest, _said(error))
                _close(recorder)  # a recorder that raised is not trusted further
                if gone:
                    break
                continue
            if again.differences:
                differing = Differing(arm, episode.key, again.differences)
                unequal.append((differing, _other_environment(again.environment)))
            reproduced += not again.differences
            self.progress((arm, episode.key))
        self.reproduced += reproduced
        self._judge(unequal, code, explained=not reproduced)

    def _judge(
        self, unequal: Sequence[tuple[Differing, str]], code: str, *, explained: bool
    ) -> None:
        """Sort an arm's unequal records into differing and lost ones.

        If no record of the arm was reproduced, and all ran with other code or in another environment,
        that explains the differences: the records are lost. If some were reproduced, it is no
        explanation: the others differ.
        """
        explained = explained and (bool(code) or all(environment for _, environment in unequal))
        for differing, environment in unequal:
            reasons = [reason for reason in (code, environment) if reason]
            if explained:
                why = f"nothing of it comes again, and {' and '.join(reasons)}"
                self.lost[differing.arm, why] += 1
            else:
                self.differing.append(differing)
                self.notes += [reason for reason in reasons if reason not in self.notes]

    def _lose(self, arm: str, episodes: Sequence[PlannedEpisode], why: str) -> None:
        for episode in episodes:
            self.lost[arm, why] += 1
            self.progress((arm, episode.key))


def _other_policy(arm: Arm, now: Mapping[str, Any]) -> tuple[str, str]:
    """Return how the policy differs from the run's, and how its code differs; empty if equal."""
    then = arm.identity or {}
    both = {name: now.get(name) for name in then}  # fields of later versions are ignored
    code = f"the code of arm '{arm.name}' is not that of the run"
    if then.get("code_sha256") == both.get("code_sha256"):
        code = ""
    then, both = ({**identity, "code_sha256": None} for identity in (then, both))
    changes = name_differences(then, both)
    return (f"its spec gives another policy now ({changes})" if changes else ""), code


def _other_environment(changed: Differences) -> str:
    words = (
        f"{name} {_short(then)} then, {_short(now)} now" for name, (then, now) in changed.items()
    )
    return f"its environment is another one ({', '.join(words)})" if changed else ""


def _close(recorder: Recorder) -> None:
    with suppress(Exception):  # closing does not affect the records
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
        parts.append(f"{records} of arm '{lost.arm}' could not be replayed: {lost.why}.")
    if rest := sum(lost.episodes for lost in report.lost[_SHOWN:]):
        parts.append(f"Nor could {rest} more, for other reasons.")
    if (share := report.excluded) is not None:
        worst = ", even if all are that could not be replayed" if report.lost else ""
        parts.append(
            f"This excludes at 95 % that {share:.1%} of the records or more are forged{worst}."
        )
    return " ".join(parts)


def _about_differences(report: ReplayReport) -> list[str]:
    differing = report.differing
    outcomes = sum(any(name in _OUTCOME for name in record.differences) for record in differing)
    shown = "; ".join(str(record) for record in differing[:_SHOWN])
    more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    parts = [
        f"NOT REPRODUCED: {len(differing)} differ, {outcomes} in their outcome ({shown}{more})."
    ]
    if not outcomes:
        parts.append(
            "Other actions with the same outcomes can come from other hardware, or from inference in "
            "batches, which move the last bits."
        )
    parts += [f"Perhaps because {note}." for note in report.notes]
    return parts
