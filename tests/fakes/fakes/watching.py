"""Runs to look at: records, traces and films, written without a simulator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vla_eval.plan import PlannedEpisode, expand
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.header import Arm, RunHeader, identity_sha256
from vla_eval.runs.traces import Attempt, AttemptWriter
from vla_eval.trace import Trace
from vla_eval.view.films import Camera, Film, FilmStyle, film_id, media_folder
from vla_eval.view.render import encoder

__all__ = ["BITS", "HORIZON", "make_run", "paint_film", "write_attempts"]

BITS = 10
"""Bits of the frame's number in a painted picture, from the left; each is a square of 24 pixels."""
HORIZON = 8
_SQUARE = 24
_IDENTITY = {"name": "told", "spec": "hold"}
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)

type Story = Callable[[int], dict[str, Any]]
"""Fields of the record of the episode with this number in the plan; `steps` at least."""


def make_run(
    path: Path, protocol: Protocol, arms: dict[str, Story], *, traces: bool = True, dim: int = 3
) -> Path:
    """Write a complete run."""
    (path / "episodes").mkdir(parents=True)
    header = RunHeader(
        status="complete",
        protocol_sha256=protocol.sha256,
        protocol=protocol,
        arms=tuple(Arm(name=name, spec="hold", identity=_IDENTITY) for name in arms),
        created_at=_BEGUN.isoformat(),
    )
    (path / "run.json").write_text(header.model_dump_json())
    for name, story in arms.items():
        write_attempts(path, protocol, name, story, traces=traces, dim=dim)
    return path


def write_attempts(
    path: Path,
    protocol: Protocol,
    arm: str,
    story: Story,
    *,
    episodes: slice = slice(None),
    traces: bool = True,
    dim: int = 3,
) -> None:
    """Append the attempts of one arm, as one call of ``vlaeval run`` would."""
    file = path / "episodes" / f"20260101T000000-{episodes.start or 0:08d}{arm}-1.jsonl"
    planned = list(enumerate(expand(protocol)))[episodes]
    with AttemptWriter(file) as writer:
        writer.extend(
            _attempt(protocol, arm, episode, i, story(i), traces, dim) for i, episode in planned
        )


def _attempt(
    protocol: Protocol,
    arm: str,
    episode: PlannedEpisode,
    number: int,
    told: dict[str, Any],
    traces: bool,
    dim: int,
) -> Attempt:
    trace = _trace(arm, number, told["steps"], dim)
    key = episode.key
    record = EpisodeRecord(
        **{
            "arm": arm,
            "suite": key.suite,
            "task": key.task,
            "init_state": key.init_state,
            "env_seed": key.env_seed,
            "policy_seed": key.policy_seed,
            "env_id": episode.env_id,
            "outcome": "success",
            "score": 1.0,
            "inferences": trace.observed.size,
            "scene_hash": f"{number:064x}",
            "actions_sha256": trace.actions_sha256,
            "protocol_sha256": protocol.sha256,
            "policy_sha256": identity_sha256(_IDENTITY),
            "timing": Timing(
                started_at=(_BEGUN + timedelta(seconds=number)).isoformat(),
                wall_s=1.0,
                infer_ms=tuple(10.0 + k for k in range(trace.observed.size)),
            ),
            **told,
        }
    )
    return Attempt(record, trace if traces else None)


def _trace(arm: str, number: int, steps: int, dim: int) -> Trace:
    """Return a trace whose first ten steps are the same for all arms."""
    generator = np.random.default_rng(number)
    common = generator.normal(size=(10, dim))
    own = np.random.default_rng([number, *arm.encode()]).normal(size=(max(0, steps - 10), dim))
    observed = np.arange(0, steps, HORIZON, dtype=np.int32)
    return Trace(
        actions=np.concatenate([common, own])[:steps].astype(np.float32),
        clipped=np.arange(steps) == 5,
        source=np.arange(steps, dtype=np.int32) // HORIZON,
        observed=observed,
    )


def paint_film(run: Path, record: EpisodeRecord, *, subgoals: Sequence[str] = ()) -> str:
    """Write an episode's film whose frames show their number as black and white squares; return its name."""
    folder, name = media_folder(run), film_id(record, FilmStyle())
    folder.mkdir(exist_ok=True)
    with encoder(folder / f"{name}.mp4", 10.0) as write:
        for number in range(record.steps + 1):
            write(_painted(number))
    Image.fromarray(_painted(0)).save(folder / f"{name}.webp")
    film = Film(
        fps=10.0,
        frames=record.steps + 1,
        height=2 * _SQUARE,
        cameras=(Camera(name="left", width=5 * _SQUARE), Camera(name="right", width=5 * _SQUARE)),
        scores=tuple(float(number == record.steps) for number in range(record.steps + 1)),
        subgoals=dict.fromkeys(subgoals, ((record.steps, record.steps + 1),)),
    )
    (folder / f"{name}.json").write_text(film.model_dump_json())
    return name


def _painted(number: int) -> np.ndarray:
    bits = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), _SQUARE)
    return np.repeat(np.tile(row, (2 * _SQUARE, 1))[..., None], 3, axis=2)
