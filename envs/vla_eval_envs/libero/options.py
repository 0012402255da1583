"""Checks of a caller's options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from vla_eval.errors import UsageError

__all__ = ["check_option", "choose_init_state"]


def check_option(name: str, value: object, allowed: Collection[object]) -> None:
    """Raise UsageError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        shown = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else ""
        shown = shown or ", ".join(map(repr, allowed))
        raise UsageError(f"LIBERO's option {name} is {value!r}; it can be {shown}")


def choose_init_state(options: Mapping[str, Any], count: int, rng: np.random.Generator) -> int:
    """Return the initial state in the options of ``reset``, or draw one.

    Args:
        options: ``{"init_state": i}`` or nothing.
        count: number of initial states.
        rng: the environment's own generator.

    Raises:
        ValueError: the number is out of range, or an option is unknown.
    """
    unknown = set(options) - {"init_state"}
    if unknown:
        raise ValueError(f"reset knows the option init_state, not {', '.join(sorted(unknown))}")
    number = options.get("init_state")
    if number is None:
        return int(rng.integers(count))
    init_state = int(number)
    if not 0 <= init_state < count:
        raise ValueError(f"init_state must be 0 to {count - 1}, not {init_state}")
    return init_state
