"""A walker whose skill is in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes.policies import InWorker, Options, Walker
from vla_eval.errors import PolicySpecError
from vla_eval.policy import Policy


class Saved(InWorker):
    """``fakes.saved:Saved?folder=DIR``, with the skill in ``DIR/skill``."""

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        file = Path(options["folder"]) / "skill"
        if not file.exists():
            raise PolicySpecError(f"{file}: is missing")
        return Walker(Options(skill=float(file.read_text()), weights=file.read_text()))
