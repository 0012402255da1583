"""A short look at an installation, for processes that a doctor starts."""

from __future__ import annotations

import os

from vla_eval.doctor import Check


def sound() -> list[Check]:
    """Return one check that passes, with the process that made it."""
    return [Check("core", "python", ok=True, detail=str(os.getpid()), remedy="")]
