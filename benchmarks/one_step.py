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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tables import write_table

from vla_eval.compare import Contest, gather
from vla_eval.compare.pairwise import pairing
from vla_eval.judging.ledger import Pairing
from vla_eval.judging.methods import judging, rate_interval
from vla_eval.judging.timings import inference_ms, quantile
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import PairedTable
from vla_eval.summary.text import interval_text, rate_text

RESULTS = Path(__file__).with_name("results")
REFERENCE = "fm-10"
"""Name of the arm that all others are paired with."""
_MOST_COLUMNS = 3
"""More tasks than this do not fit side by side."""


def collect(paths: list[Path]) -> dict[str, Any]:
    """Return the counts of runs of one protocol, by arm and task, each paired with the reference."""
    field = gather(paths)
    entries = {entry.name: entry for entry in field.entries}
    arms: dict[str, Any] = {}
    for name, entry in entries.items():
        episodes = entry.episodes
        assert episodes.n == len(field.keys), f"{name} is not complete"
        assert entry.arm.identity is not None
        inferences = sum(record.inferences for record in entry.records)
        arms[name] = {
            "spec": entry.arm.spec,
            "weights_sha256": entry.arm.identity["weights_sha256"],
            "nfe": sum(record.nfe for record in entry.records) / inferences,
            "infer_ms_p50": round(quantile(inference_ms(entry.records), 0.5) or 0.0, 1),
            "tasks": _tasks(field, pairing(field, entry, entries[REFERENCE])),
        }
    first = RunFolder.open(paths[0]).run
    run = first.protocol.run
    return {
        "protocol": {"label": first.protocol.label, "sha256": first.protocol_sha256},
        "versions": dict(first.versions),
        "repeats": len(run.env_seeds) * len(run.policy_seeds),
        "arms": arms,
    }


def _tasks(field: Contest, pairs: Pairing) -> dict[str, Any]:
    """Return an arm's pairs with the reference, by task; where states repeat with its intervals."""
    assert not pairs.objection, pairs.objection
    analysis = field.protocol.analysis
    found = {}
    for name, arm in pairs.candidate.by_task().items():
        outcomes = [
            each for each in pairs.outcomes() if f"{each.key.suite}/{each.key.task}" == name
        ]
        method = judging(outcomes, analysis)
        cells = {cell: getattr(method.table, cell) for cell in ("n11", "n10", "n01", "n00")}
        scores = [record.score for record in arm.finals.values()]
        found[name.partition("/")[2]] = {
            **cells,
            "mean_score": round(sum(scores) / len(scores), 4),
            **(
                {
                    "wilson95": [round(each, 4) for each in rate_interval(arm, analysis)],
                    "ci95": [round(each, 4) for each in method.interval(0.05)],
                }
                if analysis.cluster != "none"
                else {}
            ),
        }
    return dict(sorted(found.items()))


def table(results: dict[str, Any]) -> str:
    """Return the Markdown: success with Wilson's interval, difference to the reference with Tango's.

    Where initial states repeat, intervals are those of states, as in a certificate; an arm of which
    only the counts were kept has none.

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
            fields += _fields(arm, group, results.get("repeats", 1))
            if name == REFERENCE:
                fields[-1] = "–"
        if many:
            each = [_pairs(arm, [task]) for task in tasks]
            fields.append(" ".join(str(pairs.n11 + pairs.n10) for pairs in each))
        lines.append(f"| {' | '.join([*fields, f'{arm["infer_ms_p50"]:.1f}'])} |")
    return "\n".join(lines) + "\n"


def _fields(arm: dict[str, Any], group: list[str], repeats: int) -> list[str]:
    """Return success and difference of some tasks together."""
    pairs, task = _pairs(arm, group), arm["tasks"][group[0]]
    won, difference = pairs.n11 + pairs.n10, f"{100 * pairs.difference:+.0f}"
    if repeats == 1:
        return [rate_text(won, pairs.n), f"{difference} {_limits(pairs.interval())}"]
    if "ci95" not in task:
        return [f"{won}/{pairs.n}", difference]
    return [interval_text(won, pairs.n, task["wilson95"]), f"{difference} {_limits(task['ci95'])}"]


def _limits(interval: Sequence[float]) -> str:
    return f"[{100 * interval[0]:+.0f}, {100 * interval[1]:+.0f}]"


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
