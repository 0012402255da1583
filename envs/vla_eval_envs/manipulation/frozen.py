"""Files of frozen initial states: numbered starts whose sha256 the tasks pin.

``python -m vla_eval_envs.freeze NAME`` prints the file that a task's generator makes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

__all__ = ["DECIMALS", "DEVELOPMENT_STATES", "read_states", "states_text"]

DECIMALS = 4
"""Decimals of the stored numbers: 0.1 mm and 0.1 mrad, too small to change an episode's difficulty,
and exact in JSON."""
DEVELOPMENT_STATES = 100
"""Number of states at the start of every file for demonstrations, tuning and choosing checkpoints."""


def states_text(head: Mapping[str, Any], rows: Iterable[Sequence[float]]) -> str:
    """Return the text of a file: the entries of ``head``, then one line for each state."""
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    return f'{json.dumps(head, indent=1)[:-2]},\n "states": [\n  {lines}\n ]\n}}\n'


def read_states(
    suite: str, name: str, fields: Sequence[str], sha256: str
) -> tuple[dict[str, float], ...]:
    """Return the states of a suite's file ``states/<name>.json``.

    Raises:
        RuntimeError: the file has changed since it was frozen.
    """
    raw = files(f"vla_eval_envs.{suite}").joinpath("states", f"{name}.json").read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if digest != sha256:
        raise RuntimeError(
            f"{suite}/states/{name}.json was changed: its sha256 is {digest}, not {sha256}; "
            "restore the released file (reinstall vla-eval-suite)"
        )
    content: dict[str, Any] = json.loads(raw)
    return tuple(dict(zip(fields, row, strict=True)) for row in content["states"])
