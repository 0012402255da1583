"""Records in little memory: thousands of records share their equal values.

Records fresh from the parser take six times the bytes of their file: each has a set of the fields
that were given, and its own copy of every name and hash.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from vla_eval.record import EpisodeRecord

__all__ = ["Compactor", "without_collection"]

_TEXTS = ("arm", "suite", "task", "env_id", "instruction", "protocol_sha256", "policy_sha256")
_MAPPINGS = ("subgoals", "counts", "provenance")
_OPTIONAL = ("subgoal_steps", "end_hash", "events", "realtime")
_TIMING_TEXTS = ("machine", "session")
_OFTEN_ZERO = ("build_s", "warm_up_s", "wait_s")


class Compactor:
    """Compacts records that are read together."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def compact(self, record: EpisodeRecord) -> None:
        """Let a record share equal values with earlier records; the record itself stays equal."""
        fields, timing = record.__dict__, record.timing.__dict__
        shared = self._known.setdefault
        for name in _TEXTS:
            fields[name] = shared(fields[name], fields[name])
        for name in _TIMING_TEXTS:
            timing[name] = shared(timing[name], timing[name])
        for name in _OFTEN_ZERO:
            if timing[name] == 0:
                timing[name] = 0.0
        fields["score"] = shared(("score", fields["score"]), fields["score"])
        for name in _MAPPINGS:
            fields[name] = shared(repr(fields[name]), fields[name])
        absent = tuple(name for name in _OPTIONAL if fields[name] is None)  # they stand in no line
        for model, missing in ((record, absent), (record.timing, ())):
            fields_set = model.__pydantic_fields_set__
            if len(fields_set) + len(missing) == len(model.__dict__):  # nearly always
                same = shared((type(model), missing), fields_set)
                object.__setattr__(model, "__pydantic_fields_set__", same)


@contextmanager
def without_collection() -> Iterator[None]:
    """Turn the garbage collector off inside the block: records have no cycles, and the search is slow."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
