"""Keeps MuJoCo's warnings out of the working directory.

When MuJoCo warns (an unstable simulation, a full buffer), it appends to ``MUJOCO_LOG.TXT`` in
the folder where the process was started. This project writes only to the run folder and the cache,
so the warnings go to Python's logging instead. The latest are kept for error messages.
"""

from __future__ import annotations

import logging
from collections import deque
from types import ModuleType

__all__ = ["LATEST", "record_warnings"]

LATEST: deque[str] = deque(maxlen=20)
"""The latest warnings of this process, oldest first."""

_logger = logging.getLogger("vla_eval_envs.mujoco")


def record_warnings(mujoco: ModuleType) -> None:
    """Install the handler for all models of this process.

    The handler must not raise: MuJoCo calls it in the middle of a step. The code that steps the
    model decides from ``data.warning`` whether the episode is lost.
    """
    mujoco.set_mju_user_warning(_record)


def _record(message: str) -> None:
    LATEST.append(message)
    _logger.warning("%s", message)
