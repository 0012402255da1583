"""``vlaeval list``."""

from __future__ import annotations

from typing import Any, Literal

import tyro

from vla_eval.cli.common import print_json, print_table
from vla_eval.errors import EXIT_COMPLETE

__all__ = ["list_"]


def list_(
    what: tyro.conf.Positional[Literal["suites", "tasks", "protocols", "policies"]],
    *,
    suite: str | None = None,
    json: bool = False,
) -> int:
    """List suites, tasks, protocols or policies.

    Example: vlaeval list tasks --suite libero_spatial

    Args:
        what: What to list.
        suite: With 'tasks', only those of one suite.
        json: Print for machines.
    """
    rows = {
        "suites": _suites,
        "tasks": lambda: _tasks(suite),
        "protocols": _protocols,
        "policies": _policies,
    }[what]()
    if json:
        print_json(rows)
    elif rows:
        header = list(rows[0])
        print_table([header, *([str(row[name]) for name in header] for row in rows)])
    return EXIT_COMPLETE


def _suites() -> list[dict[str, Any]]:
    from vla_eval.catalog import suites

    return [
        {
            "suite": each.name,
            "tasks": len(each.tasks),
            "extra": each.extra,
            "description": each.description,
        }
        for each in suites()
    ]


def _tasks(suite: str | None) -> list[dict[str, Any]]:
    from vla_eval.catalog import find_suite, suites

    chosen = [find_suite(suite)] if suite else suites()
    return [
        {
            "suite": each.name,
            "task": task.name,
            "env_id": task.env_id,
            "states": task.init_states,
            "instruction": task.instruction,
        }
        for each in chosen
        for task in each.tasks
    ]


def _protocols() -> list[dict[str, Any]]:
    from vla_eval.plan import expand
    from vla_eval.released import shipped_protocols

    return [
        {
            "protocol": f"{each.protocol}@{each.version}",
            "episodes": len(expand(each)),
            "sha256": each.sha256[:12],
            "title": each.title,
        }
        for each in shipped_protocols()
    ]


def _policies() -> list[dict[str, Any]]:
    from vla_eval.spec import load_factory, policy_kinds

    kinds = [
        {"kind": name, "what": load_factory(kind).help} for name, kind in policy_kinds().items()
    ]
    own = "your own: a PolicyFactory in an importable module"
    return [*kinds, {"kind": "package.module:Factory", "what": own}]
