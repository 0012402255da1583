"""Finds a suite's tasks: the classes with a time limit in the modules of its package."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol

from vla_eval.catalog import Task

__all__ = ["TaskClass", "task_classes"]


class TaskClass(Protocol):
    """The class of an environment that is a task, or several."""

    max_steps: int
    """Time limit of ``gym.make``, in control steps; a protocol sets its own."""
    score_rule: str
    """What the score is made of, in a few words; for docs/tasks.md."""
    frozen: Any
    """The initial states."""

    def tasks(self) -> tuple[Task, ...]:
        """Return the catalogue's rows: one for each instruction that the class can set."""


def task_classes(package: str) -> list[TaskClass]:
    """Return the tasks of a package.

    All of its modules are imported, which loads no simulator. A class without ``max_steps`` is a
    base of tasks and no task.
    """
    found: dict[Any, None] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        for value in vars(importlib.import_module(f"{package}.{module.name}")).values():
            if isinstance(value, type) and hasattr(value, "tasks") and hasattr(value, "max_steps"):
                found[value] = None
    return list(found)
