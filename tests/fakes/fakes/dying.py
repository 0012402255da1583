"""A policy whose host dies some time after it has loaded it: once, or each time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes.policies import InHost, Walker
from fakes.policies import Options as WalkerOptions
from vla_eval.policy import Policy
from vla_eval.spec import parse_options


class Options(WalkerOptions):
    """When it dies."""

    after_s: float = 0.0
    """After the policy was loaded; 0 is before."""
    once: str = ""
    """A file that remembers that it has died."""


class Host(InHost):
    """``fakes.dying:Host``."""

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        chosen = parse_options(Options, options, "dying")
        if not chosen.once or not Path(chosen.once).exists():
            if chosen.once:
                Path(chosen.once).touch()
            if chosen.after_s == 0.0:
                os._exit(3)
            threading.Thread(target=_die, args=(chosen.after_s,), daemon=True).start()
        return Walker(chosen)


def _die(after_s: float) -> None:
    time.sleep(after_s)
    os._exit(3)
