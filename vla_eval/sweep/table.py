"""The table of a sweep: success by cell, arm and task."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from vla_eval.drawing.terminal import WIDTH, table
from vla_eval.files.atomic import write_atomically
from vla_eval.files.plain import markdown
from vla_eval.summary.model import ArmSummary, RunSummary, TaskRate
from vla_eval.summary.text import interval_text
from vla_eval.sweep.grid import Cell

__all__ = ["table_lines", "table_rows", "write_tables"]


def table_rows(results: list[tuple[Cell, RunSummary]]) -> list[dict[str, Any]]:
    """Return one row for each cell, arm and task: counts, Wilson 95 %, latency.

    In virtual time also the arm's stalled share of the control steps, and the mean age of its actions.
    """
    arms = [arm for _, summary in results for arm in summary.arms.values()]
    virtual = any(arm.virtual is not None for arm in arms)
    rows = []
    for cell, summary in results:
        for name, arm in summary.arms.items():
            for task, rate in arm.tasks.items():
                low, high = rate.wilson95
                rows.append(
                    {
                        **cell.values,
                        "arm": name,
                        "task": task,
                        "successes": rate.successes,
                        "n": rate.n,
                        "wilson95_low": round(low, 4),
                        "wilson95_high": round(high, 4),
                        "infer_ms_p50": arm.infer_ms_p50,
                        "nfe": arm.nfe_per_chunk,
                        **(_virtual(arm) if virtual else {}),
                    }
                )
    return rows


def _virtual(arm: ArmSummary) -> dict[str, float | None]:
    found = arm.virtual
    return {
        "stalled_share": None if found is None else round(found.stalled_share, 4),
        "age_mean": None if found is None else round(found.age_mean, 2),
    }


def write_tables(results: list[tuple[Cell, RunSummary]], out: Path) -> None:
    """Write ``sweep.csv`` and ``sweep.md`` into ``out``: in Markdown, a column for each arm."""
    rows = table_rows(results)
    if rows:
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(out / "sweep.csv", file.getvalue())
    head, *body = _by_arm(results)
    body = [[*map(markdown, row[:2]), *row[2:]] for row in body]
    lines = [[markdown(name) for name in head], ["---"] * len(head), *body]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    write_atomically(out / "sweep.md", text)


def table_lines(results: list[tuple[Cell, RunSummary]]) -> list[str]:
    """Return the lines of the table for a terminal: a column for each arm, or a row where these are too wide."""
    by_arm = _by_arm(results)
    lines = table(by_arm)
    if max(map(len, lines)) <= WIDTH:
        return lines
    arms = by_arm[0][2:]
    rows = [
        [*row[:2], arm, field]
        for row in by_arm[1:]
        for arm, field in zip(arms, row[2:], strict=True)
    ]
    return table([["cell", "task", "arm", "solved"], *rows])


def _by_arm(results: list[tuple[Cell, RunSummary]]) -> list[list[str]]:
    """Return the head, and a row for each cell and task.

    A field has the number of successes, the number of episodes and Wilson's 95 % interval; the interval uses
    effective counts if initial states repeat.
    """
    arms = list(dict.fromkeys(name for _, summary in results for name in summary.arms))
    rows = [["cell", "task", *arms]]
    for cell, summary in results:
        for task in dict.fromkeys(task for arm in summary.arms.values() for task in arm.tasks):
            rates = (summary.arms[name].tasks.get(task) for name in arms)
            rows.append([cell.name, task, *map(_field, rates)])
    return rows


def _field(rate: TaskRate | None) -> str:
    return "–" if rate is None else interval_text(rate.successes, rate.n, rate.wilson95)
