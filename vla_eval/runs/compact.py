"""Records in little memory: what is the same in thousands of them is there once.

As the parser returns them, records take six times the bytes of their file: each has a set of the fields
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
_TIMING_TEXTS = ("machine", "session")
_OFTEN_ZERO = ("build_s", "warm_up_s", "wait_s")


class Compactor:
    """Compacts records that are read together."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def compact(self, record: EpisodeRecord) -> None:
        """Let a record share with those before it whatever is equal; it stays equal itself."""
        fields, timing = record.__dict__, record.timing.__dict__
        one = self._known.setdefault
        for name in _TEXTS:
            fields[name] = one(fields[name], fields[name])
        for name in _TIMING_TEXTS:
            timing[name] = one(timing[name], timing[name])
        for name in _OFTEN_ZERO:
            if timing[name] == 0:
                timing[name] = 0.0
        fields["score"] = one(("score", fields["score"]), fields["score"])
        for name in _MAPPINGS:
            fields[name] = one(repr(fields[name]), fields[name])
        for model in (record, record.timing):
            given = model.__pydantic_fields_set__
            if len(given) == len(model.__dict__):  # nearly always: all of them
                object.__setattr__(model, "__pydantic_fields_set__", one(type(model), given))


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
