"""Records in little memory: what is the same in thousands of them is there once.

As the parser returns them, records take six times the bytes of their file: each has a dictionary and a
set of its own, and its own copy of every name and hash. A compacted one is the same record.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from typing import Any

from pydantic import BaseModel

from vla_eval.record import EpisodeRecord

__all__ = ["Compactor", "without_collection"]

_TEXTS = ("arm", "suite", "task", "env_id", "instruction", "protocol_sha256", "policy_sha256")
_MAPPINGS = ("subgoals", "counts", "provenance")
_TIMING_TEXTS = ("host", "session")
_EMPTY: Mapping[str, Any] = {}


class Compactor:
    """Compacts records that are read together."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def compact(self, record: EpisodeRecord) -> EpisodeRecord:
        """Return an equal record that shares with those before it whatever it can."""
        fields, timing = record.__dict__, record.timing.__dict__
        one = self._known.setdefault
        for name in _TEXTS:
            fields[name] = one(fields[name], fields[name])
        for name in _TIMING_TEXTS:
            timing[name] = one(timing[name], timing[name])
        for name in _MAPPINGS:
            fields[name] = self._mapping(fields[name])
        fields["timing"] = self._packed(record.timing, timing)
        return self._packed(record, fields)

    def _mapping(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        if not values:
            return _EMPTY
        try:
            # True equals 1, and is written in another way.
            key = (*values, *values.values(), *map(type, values.values()))
            found: Mapping[str, Any] = self._known.setdefault(key, values)
        except TypeError:  # a list or a mapping in it
            return values
        return found

    def _packed[M: BaseModel](self, model: M, fields: dict[str, Any]) -> M:
        """Return a model whose attributes lie in a row; the names are its class's."""
        packed, put = object.__new__(type(model)), object.__setattr__
        any(map(put, repeat(packed), fields, fields.values()))  # a loop, in half of the time
        given = model.__pydantic_fields_set__
        put(packed, "__pydantic_fields_set__", self._known.setdefault(frozenset(given), given))
        put(packed, "__pydantic_extra__", None)
        put(packed, "__pydantic_private__", None)
        return packed


@contextmanager
def without_collection() -> Iterator[None]:
    """Let nobody look for cycles inside the block: records have none, and looking takes most of it."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
