"""Finds a suite's tasks: the classes with a time limit in the modules of its package."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol

from vla_eval.catalog import Task

__all__ = ["TaskClass", "task_classes"]


class TaskClass(Protocol):
    """An environment class that defines one or more tasks."""

    metadata: dict[str, Any]
    """Gymnasium's facts of the class; ``render_fps`` is the control rate in Hz."""
    max_steps: int
    """Time limit of ``gym.make``, in control steps; a protocol sets its own."""
    score_rule: str
    """The parts of the score in a few words; for docs/tasks.md."""
    frozen: Any
    """The initial states."""

    def tasks(self) -> tuple[Task, ...]:
        """Return the rows of the catalogue: one for each instruction of the class."""


def task_classes(package: str) -> list[TaskClass]:
    """Return the task classes of a package.

    This imports all modules of the package and loads no simulator. A class without ``max_steps`` is a
    base class, not a task.
    """
    classes: dict[Any, None] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(value, type) and hasattr(value, "tasks") and hasattr(value, "max_steps"):
                classes[value] = None
    return list(classes)
