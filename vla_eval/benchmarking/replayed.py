"""Inference times of a former run, as a profile for virtual time.

A virtual episode has other inferences than the paused episode of the same key: they are made in other
scenes, and their number differs. So a run gives the distribution of its times, not its n-th time to the
n-th inference; ``jitter = "profile"`` draws from the distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.judging.timings import inference_ms
from vla_eval.plan import expand
from vla_eval.realtime.profile import ProfileFile, quantiles_us, refuse_busy, reported_us
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.header import Arm, identity_sha256
from vla_eval.runs.store import records_digest

__all__ = ["replayed_profile"]

_MOST_MS = 3_600_000.0


def replayed_profile(path: Path, arm: str | None = None, *, busy: bool = False) -> ProfileFile:
    """Return the inference times of one arm of a paused run, each episode's first one left out.

    Args:
        path: the run folder.
        arm: name of the arm; None: the only one.
        busy: whether to accept times that vary as they do on a busy machine.

    Raises:
        RunFolderError: the folder holds no run, or its records are damaged.
        UsageError: an unknown arm, or records that do not hold the times of single inferences on one
            quiet machine.
    """
    folder = RunFolder.open(path)
    chosen = _arm(folder, arm)
    where = f"{path}, arm '{chosen.name}'"
    _refuse_run(folder, where)
    records = folder.records()
    keys = [episode.key for episode in expand(folder.header.protocol)]
    ended = list(ArmEpisodes.of(records, chosen.name, keys).finals.values())
    times = _times(ended, where)
    identity: dict[str, Any] = dict(chosen.identity or {})
    profile = ProfileFile(
        hardware=_hardware(folder, ended, where),
        dtype=identity.get("dtype"),
        device=identity.get("device"),
        policy=chosen.spec,
        identity_sha256=identity_sha256(identity),
        measured_on=_last_day(ended),
        inferences=len(times),
        total_us=quantiles_us(times),
        prefix_us=reported_us([ms for record in ended for ms in record.timing.prefix_ms[1:]]),
        denoise_us=reported_us([ms for record in ended for ms in record.timing.denoise_ms[1:]]),
        replayed_run=f"{folder.header.protocol.label}, arm {chosen.name}",
        replayed_sha256=records_digest(records.final, [chosen.name], keys),
    )
    if not busy:
        machine = f"{where}: the machine was"
        refuse_busy(profile, machine, "run with one worker and no other program beside it")
    return profile


def _arm(folder: RunFolder, name: str | None) -> Arm:
    arms = {arm.name: arm for arm in folder.header.arms}
    if name is None and len(arms) == 1:
        return next(iter(arms.values()))
    if name is None:
        raise UsageError(f"{folder.path}: has the arms {', '.join(arms)}; name one with --arm")
    if name not in arms:
        raise UsageError(f"--arm {name}: the run has no such arm{did_you_mean(name, arms)}")
    return arms[name]


def _refuse_run(folder: RunFolder, where: str) -> None:
    if folder.header.protocol.run.realtime is not None:
        raise UsageError(
            f"{where}: the run was in virtual time, where policies may think while other episodes are "
            "simulated; take the times from a paused run of this policy"
        )
    if any(session.engine is not None for session in folder.header.sessions):
        raise UsageError(
            f"{where}: the run was on a cluster, and its records do not say on which node the policy "
            "ran; take the times from a run on one machine"
        )


def _times(ended: Sequence[EpisodeRecord], where: str) -> list[float]:
    """Return the times of single inferences in ms; refuse what is none."""
    times = inference_ms(ended)
    again = "take another run, or measure with: vlaeval bench policy SPEC --profile FILE"
    if not times:
        raise UsageError(
            f"{where}: no finished episode has a second inference, and the first may include warm-up; "
            f"{again}"
        )
    if (batch := max(record.timing.max_batch for record in ended)) > 1:
        raise UsageError(
            f"{where}: inferences ran in batches of up to {batch}, and a robot waits for a single one; "
            f"{again}"
        )
    if wrong := [ms for ms in times if not 0 < ms <= _MOST_MS]:
        raise UsageError(
            f"{where}: an inference of {wrong[0]:g} ms is in the records, so the policy does not say "
            f"how long it thinks; {again}"
        )
    return times


def _hardware(folder: RunFolder, ended: Sequence[EpisodeRecord], where: str) -> dict[str, Any]:
    """Return what a run knows of its machine; refuse several machines."""
    names = sorted({record.timing.machine or "a machine without a name" for record in ended})
    if len(names) > 1:
        raise UsageError(
            f"{where}: the episodes ran on several machines ({', '.join(names)}), and latency is of one; "
            "take the times from a run on one machine"
        )
    about = folder.header.machine
    kind, processors = about.get("machine", "unknown"), about.get("cpus")
    size = "" if processors is None else f", {processors} processors"
    return {"processor": f"{names[0]} ({kind}{size})", "threads": None, "accelerator": None}


def _last_day(ended: Sequence[EpisodeRecord]) -> str:
    begun = max(datetime.fromisoformat(record.timing.started_at) for record in ended)
    return begun.astimezone(UTC).date().isoformat()
