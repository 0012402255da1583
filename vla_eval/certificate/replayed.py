"""Replaying a sample: what no hash can show, whether the records happened at all.

Who owns a run folder can write any record into it and mend every hash. But the same key is the same
episode: whoever has the policy runs it again and must get the same scene, the same actions, the same
outcome. A few dozen at random are enough (:mod:`vla_eval.certificate.sampling`).

Policies are built and episodes run in this process, as ``vlaeval replay`` does: it is running a
stranger's code, if the run's arms are a stranger's.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    run: Path,
    sample: Sample,
    *,
    progress: Callable[[Slot], None] | None = None,
    trust: bool = False,
) -> ReplayReport:
    """Run a sample's episodes again, and compare them with their records.

    Each arm's policy is built once, and an environment is kept while its scene stays. What goes wrong
    with an arm is collected: a report always comes back.

    Args:
        run: the run folder.
        sample: from :func:`choose`.
        progress: called after each record, also of those that could not be run again.
        trust: run code that the folder names and no installed package brings.

    Raises:
        RunFolderError: the run is damaged, or has no result of a chosen episode.
        UsageError: it names code that nobody trusts.
    """
    folder = RunFolder.open(run)
    final = folder.records().final
    plan = {each.key: each for each in expand(folder.header.protocol)}
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
    with redirect_stdout(sys.stderr):  # what policies and simulators print is no result of ours
        for arm in arms.values():
            keys = [key for name, key in sample.chosen if name == arm.name]
            keys.sort(key=lambda key: (repr(plan[key].scene), order[key]))
            session.run(
                arm,
                [(plan[key], final[arm.name, key]) for key in keys],
                folder.header.protocol.run.n_action_steps,
            )
    session.notes += [
        f"the simulator is another one ({each})"
        for each in other_physics(folder.header.versions, versions())
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
        planned = [episode for episode, _ in episodes]
        try:
            policy = build_policy(arm.spec)
            other, code = _other_policy(arm, identity_of(arm.spec, policy.metadata))
            recorder = Recorder(policy, n_action_steps=n_action_steps)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's; said in the report
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
        reproduced, found = 0, list[tuple[Differing, str]]()
        for place, (episode, record) in enumerate(episodes):
            try:
                again = repeat(recorder, episode, record)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - policy's or simulator's
                gone = isinstance(error, PolicyLostError | PolicyTimeoutError)
                rest = [each for each, _ in episodes[place:]] if gone else [episode]
                self._lose(arm, rest, _said(error))
                _close(recorder)  # what raised is not trusted further
                if gone:
                    break
                continue
            if again.differences:
                differing = Differing(arm, episode.key, again.differences)
                found.append((differing, _other_environment(again.environment)))
            reproduced += not again.differences
            self.progress((arm, episode.key))
        self.reproduced += reproduced
        self._judge(found, code, explained=not reproduced)

    def _judge(self, found: Sequence[tuple[Differing, str]], code: str, *, explained: bool) -> None:
        """Take an arm's differences as such, unless something else was run in its place.

        Where nothing of an arm comes again, and all of it ran in another environment or with other
        code, nothing was replayed. Where a part of it comes again, that is no explanation.
        """
        explained = explained and (bool(code) or all(environment for _, environment in found))
        for differing, environment in found:
            reasons = [each for each in (code, environment) if each]
            if explained:
                why = f"nothing of it comes again, and {' and '.join(reasons)}"
                self.lost[differing.arm, why] += 1
            else:
                self.differing.append(differing)
                self.notes += [each for each in reasons if each not in self.notes]

    def _lose(self, arm: str, episodes: Sequence[PlannedEpisode], why: str) -> None:
        for episode in episodes:
            self.lost[arm, why] += 1
            self.progress((arm, episode.key))


def _other_policy(arm: Arm, now: Mapping[str, Any]) -> tuple[str, str]:
    """Say how the policy is another one than the run's, and whether its code is."""
    then = arm.identity or {}
    both = {name: now.get(name) for name in then}  # what a later version adds is passed over
    code = f"the code of arm '{arm.name}' is not that of the run"
    if then.get("code_sha256") == both.get("code_sha256"):
        code = ""
    then, both = ({**each, "code_sha256": None} for each in (then, both))
    said = name_differences(then, both)
    return (f"its spec gives another policy now ({said})" if said else ""), code


def _other_environment(changed: Differences) -> str:
    words = (
        f"{name} {_short(then)} then, {_short(now)} now" for name, (then, now) in changed.items()
    )
    return f"its environment is another one ({', '.join(words)})" if changed else ""


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
