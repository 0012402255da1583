"""The table of a sweep: success by cell, arm and task."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from vla_eval.files.atomic import write_atomically
from vla_eval.files.plain import markdown
from vla_eval.summary.model import ArmSummary, RunSummary, TaskRate
from vla_eval.summary.text import interval_text
from vla_eval.sweep.grid import Cell

__all__ = ["table_rows", "write_tables"]


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


def write_tables(results: list[tuple[Cell, RunSummary]], out: Path) -> str:
    """Write ``sweep.csv`` and ``sweep.md`` into ``out``; return the Markdown.

    Rows are arms and tasks, columns are cells. A field has the number of successes, the number of
    episodes and Wilson's 95 % interval; the interval uses effective counts if initial states repeat.
    """
    rows = table_rows(results)
    if rows:
        file = io.StringIO()
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(out / "sweep.csv", file.getvalue())
    names = [cell.name for cell, _ in results]
    heads = " | ".join(markdown(name) for name in names)
    lines = [f"| arm | task | {heads} |", "|---|---|" + "---|" * len(names)]
    keys = dict.fromkeys((row["arm"], row["task"]) for row in rows)
    for arm, task in keys:
        fields = [_field(summary.arms[arm].tasks.get(task)) for _, summary in results]
        lines.append(f"| {markdown(arm)} | {markdown(task)} | {' | '.join(fields)} |")
    text = "\n".join(lines) + "\n"
    write_atomically(out / "sweep.md", text)
    return text


def _field(rate: TaskRate | None) -> str:
    return "–" if rate is None else interval_text(rate.successes, rate.n, rate.wilson95)
