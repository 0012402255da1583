"""Shipped machines: published inference times, from ``machines.toml``."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from vla_eval.errors import did_you_mean

__all__ = ["machine_table", "shipped_machines"]


@functools.cache
def shipped_machines() -> Mapping[str, Mapping[str, Any]]:
    """Return the fields of every shipped machine, by name."""
    text = files("vla_eval.realtime").joinpath("machines.toml").read_text(encoding="utf-8")
    return {name: {"name": name, **table} for name, table in tomllib.loads(text).items()}


def machine_table(value: object) -> object:
    """Replace the name of a shipped machine by its fields; leave everything else.

    Raises:
        ValueError: there is no machine of that name.
    """
    if not isinstance(value, str):
        return value
    known = shipped_machines()
    if value not in known:
        raise ValueError(
            f"there is no machine '{value}'{did_you_mean(value, known)}; see: vlaeval latency list"
        )
    return dict(known[value])
