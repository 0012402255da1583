"""The shipped one-step policies against their ten-step teacher, on the certification states.

    vlaeval run examples/sweeps/one-step.protocol.toml --out runs/one-step \
        --arm snapflow=flow:so101/snapflow --arm 'fm-10=flow:so101/fm?nfe=10' …
    python benchmarks/one_step.py one_step runs/one-step      # or several runs with different arms

writes ``results/one_step.json``, the counts that everything else follows from, and
``results/one_step.md``, a table of docs/one-step.md. Without runs: the table from the counts.
"""

# ruff: noqa: INP001, S101  a script

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tables import write_table

from vla_eval.runfolder import RunFolder
from vla_eval.stats import PairedTable
from vla_eval.summary import summarise
from vla_eval.terminal import rate_text

RESULTS = Path(__file__).with_name("results")
REFERENCE = "fm-10"
"""Name of the arm that all others are paired with."""
_MOST_COLUMNS = 3
"""More tasks than this do not fit side by side."""


def collect(paths: list[Path]) -> dict[str, Any]:
    """Return the counts of runs of one protocol, by arm and task, each paired with the reference."""
    folders = [RunFolder.open(path) for path in paths]
    first = folders[0].run
    assert len({each.run.protocol_sha256 for each in folders}) == 1, "several protocols"
    final: dict[Any, Any] = {}
    for folder in folders:
        final |= folder.records().final
    arms: dict[str, Any] = {}
    for folder in folders:
        summary = summarise([folder.path])
        assert summary.complete, f"{folder.path} is not complete"
        for arm in folder.run.arms:
            assert arm.identity is not None
            arms[arm.name] = {
                "spec": arm.spec,
                "weights_sha256": arm.identity["weights_sha256"],
                "nfe": summary.arms[arm.name].nfe_per_chunk,
                "infer_ms_p50": round(summary.arms[arm.name].infer_ms_p50 or 0.0, 1),
                "tasks": _tasks(arm.name, final),
            }
    return {
        "protocol": {"label": first.protocol.label, "sha256": first.protocol_sha256},
        "versions": dict(first.versions),
        "arms": arms,
    }


def _tasks(arm: str, final: dict[Any, Any]) -> dict[str, Any]:
    """Return an arm's pairs with the reference, by task."""
    pairs: dict[str, Counter[str]] = defaultdict(Counter)
    scores: dict[str, list[float]] = defaultdict(list)
    for (name, key), record in final.items():
        if name != arm:
            continue
        other = final[REFERENCE, key]
        assert other.scene_hash == record.scene_hash, key
        won, theirs = (each.outcome == "success" for each in (record, other))
        pairs[key.task][f"n{int(won)}{int(theirs)}"] += 1
        scores[key.task].append(record.score)
    return {
        task: {
            **{cell: pairs[task][cell] for cell in ("n11", "n10", "n01", "n00")},
            "mean_score": round(sum(scores[task]) / len(scores[task]), 4),
        }
        for task in sorted(pairs)
    }


def table(results: dict[str, Any]) -> str:
    """Return the Markdown: success with Wilson's interval, difference to the reference with Tango's.

    Many tasks are taken together, with their successes in a column of their own.
    """
    tasks = list(next(iter(results["arms"].values()))["tasks"])
    many = len(tasks) > _MOST_COLUMNS
    groups = {"all tasks": tasks} if many else {task: [task] for task in tasks}
    head = [
        "arm",
        "NFE",
        *(f"{group} | minus {REFERENCE}" for group in groups),
        *([f"tasks {tasks[0]} to {tasks[-1]}"] if many else []),
        "inference, ms (busy machine)",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * (len(head) + len(groups))}"]
    for name, arm in results["arms"].items():
        fields = [name, f"{arm['nfe']:g}"]
        for group in groups.values():
            pairs = _pairs(arm, group)
            low, high = pairs.interval()
            difference = f"{100 * pairs.difference:+.0f} [{100 * low:+.0f}, {100 * high:+.0f}]"
            fields += [rate_text(pairs.n11 + pairs.n10, pairs.n)]
            fields += ["–" if name == REFERENCE else difference]
        if many:
            each = [_pairs(arm, [task]) for task in tasks]
            fields.append(" ".join(str(pairs.n11 + pairs.n10) for pairs in each))
        lines.append(f"| {' | '.join([*fields, f'{arm["infer_ms_p50"]:.1f}'])} |")
    return "\n".join(lines) + "\n"


def _pairs(arm: dict[str, Any], tasks: list[str]) -> PairedTable:
    """Return an arm's pairs with the reference in some tasks together."""
    cells = ("n11", "n10", "n01", "n00")
    return PairedTable(*(sum(arm["tasks"][task][cell] for task in tasks) for cell in cells))


def main() -> None:
    """Collect, if runs are given, and write the table."""
    name, *runs = sys.argv[1:]
    file = RESULTS / f"{name}.json"
    if runs:
        results = collect([Path(each) for each in runs])
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(file, table)


if __name__ == "__main__":
    main()
