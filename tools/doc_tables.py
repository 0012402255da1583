"""Write the tables of tasks and methods in docs/ anew from the code; tests tell when they are old.

Run: .venv/bin/python tools/doc_tables.py
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vla_eval.catalog import find_suite
from vla_eval.errors import UsageError

if TYPE_CHECKING:
    from vla_eval_policies.methods import Method

DOCS = Path(__file__).resolve().parents[1] / "docs"
SECOND_TIMES = {"none": "–", "target": "target s", "interval": "interval h", "step": "step d"}


def tasks() -> str:
    """Return the table of the SO-101 and LeKiwi tasks."""
    rows = []
    for suite in ("so101", "lekiwi"):
        for task in find_suite(suite).tasks:
            module, _, name = task.entry_point.partition(":")
            rule = getattr(importlib.import_module(module), name).score_rule
            row = (f"`{suite}/{task.name}`", task.instruction, rule, f"{task.max_steps} steps")
            rows.append(row)
    return _table(("id", "instruction", "score", "limit"), rows)


def methods() -> str:
    """Return the table of the methods."""
    from vla_eval_policies.methods import METHODS, make_method

    rows = [
        (
            f"`{name}`",
            kind.summary,
            SECOND_TIMES[kind.extra_time],
            _allowed(make_method(name)),
            str(kind.default_nfe),
            "yes" if kind.knows_local_velocity else "no",
        )
        for name, kind in METHODS.items()
    ]
    head = ("name", "what it is", "second time", "NFE", "by default", "`method=fm` walks it")
    return _table(head, rows)


def hyperparameters() -> str:
    """Return the table of the methods' hyperparameters, with defaults and meanings."""
    from vla_eval_policies.methods import METHODS

    rows = [
        (f"`{name}`", f"`{key}`", _value(field.default), str(field.description).replace("\n", " "))
        for name, kind in METHODS.items()
        for key, field in kind.model_fields.items()
    ]
    return _table(("method", "hyperparameter", "default", "meaning"), rows)


def presets() -> str:
    """Return the table of the presets, with the hyperparameters that are not the defaults."""
    from vla_eval_policies.methods import PRESETS, make_method

    rows = []
    for name, preset in PRESETS.items():
        method = make_method(name)
        changed = [
            f"{key} {_value(value)}"
            for key, value in method.model_dump().items()
            if value != type(method).model_fields[key].default
        ]
        row = (f"`{name}`", ", ".join(changed) or "nothing", preset.source)
        rows.append((*row, preset.training or "–", preset.open or "–"))
    head = ("preset", "differs from the defaults in", "source", "its training", "what to know")
    return _table(head, rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "tasks.md": {"tasks": tasks},
    "methods.md": {"methods": methods, "hyperparameters": hyperparameters, "presets": presets},
}
"""Page, name between the page's markers, and function that makes the table."""


def page(name: str) -> str:
    """Return a page with its tables made anew."""
    text = (DOCS / name).read_text(encoding="utf-8")
    for block, table in TABLES[name].items():
        found = re.compile(rf"<!-- {block} -->\n.*?<!-- /{block} -->", flags=re.DOTALL)
        if len(found.findall(text)) != 1:
            raise SystemExit(f"docs/{name}: the markers of '{block}' must be there once")
        before, after = found.split(text)
        text = f"{before}<!-- {block} -->\n{table()}<!-- /{block} -->{after}"
    return text


def _allowed(method: Method) -> str:
    """Return for which NFE a method is defined, judged by 1 to 500."""
    found = []
    for nfe in range(1, 501):
        try:
            method.check_nfe(nfe)
        except UsageError:
            continue
        found.append(nfe)
    if found == list(range(1, len(found) + 1)):
        return {1: "1", 500: "any"}.get(len(found), f"1 to {len(found)}")
    return ", ".join(map(str, found))


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("| --- ", "|---")


if __name__ == "__main__":
    for name in TABLES:
        (DOCS / name).write_text(page(name), encoding="utf-8")
