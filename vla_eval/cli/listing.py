"""``vlaeval list``."""

from __future__ import annotations

import sys
from typing import Any, Literal

import tyro

from vla_eval.cli.common import print_json, print_table, say
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
        what: The things to list.
        suite: With 'tasks', only the tasks of one suite.
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
            "suite": suite.name,
            "tasks": len(suite.tasks),
            "extra": suite.extra,
            "description": suite.description,
        }
        for suite in suites()
    ]


def _tasks(suite: str | None) -> list[dict[str, Any]]:
    from vla_eval.catalog import find_suite, suites

    chosen = [find_suite(suite)] if suite else suites()
    return [
        {
            "suite": member.name,
            "task": task.name,
            "env_id": task.env_id,
            "states": task.init_states,
            "instruction": task.instruction,
        }
        for member in chosen
        for task in member.tasks
    ]


def _protocols() -> list[dict[str, Any]]:
    from vla_eval.plan import expand
    from vla_eval.released import shipped_protocols

    return [
        {
            "protocol": f"{protocol.protocol}@{protocol.version}",
            "episodes": len(expand(protocol)),
            "sha256": protocol.sha256[:12],
            "title": protocol.title,
        }
        for protocol in shipped_protocols()
    ]


def _policies() -> list[dict[str, Any]]:
    from vla_eval.errors import PolicySpecError
    from vla_eval.spec import load_factory, policy_kinds

    kinds = []
    for name, kind in policy_kinds().items():
        try:
            kinds.append({"kind": name, "what": load_factory(kind).help})
        except PolicySpecError as error:
            say(f"left out: {error}", file=sys.stderr)
    own = "your own: a PolicyFactory in an importable module"
    return [*kinds, {"kind": "package.module:Factory", "what": own}]
