"""What the viewer's page gets: an overview of all episodes, and the details of one, as JSON."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vla_eval.catalog import action_fields, control_hz
from vla_eval.certificate.page.commands import replay as replay_command
from vla_eval.errors import VlaEvalError
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.record import EpisodeRecord
from vla_eval.trace import Trace
from vla_eval.view.films import FilmStyle, film_id, media_folder, read_film
from vla_eval.view.gather import ShownArm, ShownRun, arms_of
from vla_eval.view.verdict import verdict_of

__all__ = ["details", "overview", "planned_keys"]


def planned_keys(runs: Sequence[ShownRun]) -> dict[EpisodeKey, PlannedEpisode]:
    """Return the planned episodes of all runs, in the order of the first run that has each."""
    keys: dict[EpisodeKey, PlannedEpisode] = {}
    for run in runs:
        for key, episode in run.planned.items():
            keys.setdefault(key, episode)
    return keys


def overview(runs: Sequence[ShownRun], style: FilmStyle) -> dict[str, Any]:
    """Return everything that the list of episodes shows; films have the names of this style."""
    arms, keys = arms_of(runs), planned_keys(runs)
    tasks = _tasks(arms, keys)
    numbers = {(task["suite"], task["name"]): number for number, task in enumerate(tasks)}
    retried = [_retried(arm, list(keys)) for arm in arms]
    return {
        "format": 1,
        "runs": [_run(run) for run in runs],
        "arms": [_arm(arm, runs) for arm in arms],
        "tasks": tasks,
        "verdict": verdict_of(runs),
        "notes": [note for run in runs for note in _notes(run)],
        "episodes": [
            {
                "key": str(key),
                "task": numbers[key.suite, key.task],
                "state": key.init_state,
                "arms": [
                    _result(record, style, tasks, numbers, retried=key in again)
                    if (record := arm.record(key))
                    else None
                    for arm, again in zip(arms, retried, strict=True)
                ],
            }
            for key in keys
        ],
    }


def _run(run: ShownRun) -> dict[str, Any]:
    protocol = run.header.protocol
    return {
        "path": str(run.path),
        "protocol": f"{protocol.protocol}@{protocol.version}",
        "title": protocol.title,
        "modified": protocol.overrides is not None,
        "status": run.header.status,
        "complete": run.summary.complete,
        "virtual": protocol.run.realtime is not None,
        "report": (run.path / "report.html").is_file(),
    }


def _notes(run: ShownRun) -> Iterable[str]:
    """Yield what a reader must know before anything else."""
    summary = run.summary
    if summary.standins:
        yield f"{run.path}: {summary.standins} episodes ran on stand-in assets; do not publish them"
    if summary.unknown:
        yield f"{run.path}: the server does not say who the policy is: {', '.join(summary.unknown)}"
    yield from summary.contradictions[:5]
    if summary.objection:
        yield summary.objection


def _arm(arm: ShownArm, runs: Sequence[ShownRun]) -> dict[str, Any]:
    result = arm.run.summary.arms[arm.name]
    spec, identity = next(
        (each.spec, each.identity or {}) for each in arm.run.header.arms if each.name == arm.name
    )
    return {
        "name": arm.label,
        "run": runs.index(arm.run),
        "role": _role(arm),
        "spec": spec,
        "successes": result.successes,
        "n": result.n,
        "interval": list(result.wilson95),
        "errors": result.errors,
        "pending": result.pending,
        "score": result.mean_score,
        "infer_ms": result.infer_ms_p50,
        "nfe": result.nfe_per_chunk,
        "horizon": arm.run.header.protocol.run.n_action_steps or identity.get("n_action_steps"),
    }


def _role(arm: ShownArm) -> str:
    analysis = arm.run.header.protocol.analysis
    roles = {
        "candidate": analysis.candidate,
        "reference": analysis.reference,
        "negative control": analysis.negative_control,
    }
    return next((role for role, name in roles.items() if name == arm.name), "")


def _tasks(
    arms: Sequence[ShownArm], keys: Mapping[EpisodeKey, PlannedEpisode]
) -> list[dict[str, Any]]:
    tasks: dict[tuple[str, str], dict[str, Any]] = {}
    for key, episode in keys.items():
        task = tasks.setdefault((key.suite, key.task), _task(key, episode))
        for arm in arms:
            if (record := arm.record(key)) is not None:
                task["instruction"] = task["instruction"] or record.instruction
                task["subgoals"] |= dict.fromkeys(record.subgoals)
    return [{**task, "subgoals": list(task["subgoals"])} for task in tasks.values()]


def _task(key: EpisodeKey, episode: PlannedEpisode) -> dict[str, Any]:
    return {
        "suite": key.suite,
        "name": key.task,
        "instruction": "",
        "limit": episode.max_steps,
        "hz": control_hz(key.suite),
        "actions": [list(field) for field in action_fields(key.suite, episode.env_kwargs)],
        "subgoals": {},
    }


def _retried(arm: ShownArm, keys: Sequence[EpisodeKey]) -> frozenset[EpisodeKey]:
    return ArmEpisodes.of(arm.run.records, arm.name, keys).retried


def _result(
    record: EpisodeRecord,
    style: FilmStyle,
    tasks: Sequence[Mapping[str, Any]],
    numbers: Mapping[tuple[str, str], int],
    *,
    retried: bool,
) -> dict[str, Any]:
    names = tasks[numbers[record.suite, record.task]]["subgoals"]
    return {
        "outcome": record.outcome,
        "reason": record.reason,
        "score": record.score,
        "steps": record.steps,
        "inferences": record.inferences,
        "clipped": record.clipped_actions,
        "stalled": record.realtime.stalled_ticks if record.realtime else 0,
        "subgoals": [int(record.subgoals.get(name, False)) for name in names],
        "scene": record.scene_hash[:16],
        "retried": retried,
        "film_id": film_id(record, style),
    }


def details(
    runs: Sequence[ShownRun], key: EpisodeKey, style: FilmStyle
) -> list[dict[str, Any] | None]:
    """Return what the page of one episode shows of each arm, in the order of the overview.

    Raises:
        KeyError: no run has such an episode.
    """
    if not any(key in run.planned for run in runs):
        raise KeyError(str(key))
    return [_detail(arm, key, style) for arm in arms_of(runs)]


def _detail(arm: ShownArm, key: EpisodeKey, style: FilmStyle) -> dict[str, Any] | None:
    record = arm.record(key)
    if record is None:
        return None
    film = read_film(media_folder(arm.run.path), film_id(record, style))
    return {
        "scene_hash": record.scene_hash,
        "actions_sha256": record.actions_sha256,
        "infer_ms": list(record.timing.infer_ms),
        "nfe": record.nfe,
        "counts": dict(record.counts),
        "subgoal_steps": dict(record.subgoal_steps or {}),
        "error": record.error.model_dump(mode="json") if record.error else None,
        "lost": [str(each.reason) for each in arm.run.records.errors.get((arm.name, key), ())],
        "realtime": record.realtime.model_dump(mode="json") if record.realtime else None,
        "replay": replay_command(arm.run.path, key, arm.name),
        "film": film.model_dump(mode="json") if film else None,
        **_trace(arm, record),
    }


def _trace(arm: ShownArm, record: EpisodeRecord) -> dict[str, Any]:
    try:
        trace = arm.run.trace(record)
    except VlaEvalError as error:
        return {"trace": None, "without": str(error)}
    if trace is None:
        return {"trace": None, "without": "this run stored no actions"}
    return {"trace": _packed(trace), "without": ""}


def _packed(trace: Trace) -> dict[str, Any]:
    """Return a trace in a form that is small as JSON: bytes in base64, and steps at which things change."""
    actions = np.ascontiguousarray(trace.actions, dtype="<f4")
    changes = np.flatnonzero(np.diff(trace.source, prepend=-2))
    return {
        "steps": int(actions.shape[0]),
        "dim": int(actions.shape[1]) if actions.ndim == 2 else 0,
        "actions": base64.b64encode(actions.tobytes()).decode("ascii"),
        "clipped": np.flatnonzero(trace.clipped).tolist(),
        "source": [[int(step), int(trace.source[step])] for step in changes],
        "observed": trace.observed.tolist(),
    }
