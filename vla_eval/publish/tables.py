"""The flat tables of a dataset repository: a row an episode, and a row a pair of results.

A record's mappings have other keys in other tasks, which no table has; they are JSON texts here. The raw
records are in ``run/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla_eval.errors import MissingExtraError
from vla_eval.judging.timings import inference_ms, quantile
from vla_eval.publish.source import Source
from vla_eval.record import EpisodeRecord

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EPISODES", "write_tables"]

_JSON = ("subgoals", "counts", "provenance")
EPISODES: Mapping[str, str] = {
    "arm": "string",
    "suite": "string",
    "task": "string",
    "init_state": "int64",
    "env_seed": "int64",
    "policy_seed": "int64",
    "instruction": "string",
    "outcome": "string",
    "reason": "string",
    "score": "double",
    "steps": "int64",
    "inferences": "int64",
    "nfe": "int64",
    "clipped_actions": "int64",
    "infer_ms_p50": "double",
    "started_at": "string",
    "retried": "bool",
    "env_id": "string",
    "scene_hash": "string",
    "actions_sha256": "string",
    "protocol_sha256": "string",
    "policy_sha256": "string",
    "error": "string",
    "subgoals": "string",
    "counts": "string",
    "provenance": "string",
}
"""Columns of ``episodes.parquet`` with their types; the last four are JSON texts."""
_KEY = ("suite", "task", "init_state", "env_seed", "policy_seed")


def write_tables(source: Source, folder: Path) -> None:
    """Write ``episodes.parquet`` and ``pairs.parquet``; equal runs give equal bytes.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("vlaeval publish", "publish") from None
    folder.mkdir(parents=True)
    types = {name: pa.type_for_alias(alias) for name, alias in EPISODES.items()}
    pq.write_table(_table(_episodes(source), types), folder / "episodes.parquet")
    outcomes = {_outcome(name): pa.string() for name in source.arms}
    types = {name: types[name] for name in _KEY} | outcomes | {"same_scene": pa.bool_()}
    pq.write_table(_table(_pairs(source), types), folder / "pairs.parquet")


def _outcome(arm: str) -> str:
    """Return the name of the column with an arm's outcomes, which no other column can have."""
    return f"outcome_{arm}"


def _table(rows: list[dict[str, Any]], types: Mapping[str, pa.DataType]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=pa.schema(list(types.items())))


def _episodes(source: Source) -> list[dict[str, Any]]:
    """Return a row for the result, or the last error, of every planned episode of every arm."""
    rows = []
    for name, arm in source.arms.items():
        for key in source.keys:
            record = source.records.final.get((name, key))
            if record is not None:
                rows.append(_row(record, retried=key in arm.retried))
    return rows


def _row(record: EpisodeRecord, *, retried: bool) -> dict[str, Any]:
    row = {name: getattr(record, name, None) for name in EPISODES}
    row |= {name: json.dumps(dict(getattr(record, name)), sort_keys=True) for name in _JSON}
    error = record.error
    row["error"] = None if error is None else f"{error.type}: {error.message}"
    row["infer_ms_p50"] = quantile(inference_ms([record]), 0.5)
    row["started_at"] = record.timing.started_at
    return row | {"retried": retried}


def _pairs(source: Source) -> list[dict[str, Any]]:
    """Return a row for each planned episode: every arm's outcome, and whether all met one scene."""
    rows = []
    for key in source.keys:
        found = [source.records.final.get((name, key)) for name in source.arms]
        scenes = {record.scene_hash for record in found if record is not None}
        row = {name: getattr(key, name) for name in _KEY}
        row |= {
            _outcome(name): None if record is None else record.outcome
            for name, record in zip(source.arms, found, strict=True)
        }
        rows.append(row | {"same_scene": len(scenes) == 1 and "" not in scenes})
    return rows
