r"""Success of the shipped one-step policies and of their ten-step teacher, on the certification states.

    vlaeval run examples/sweeps/one-step.protocol.toml --out runs/one-step \
        --arm snapflow=flow:so101/snapflow --arm 'fm-10=flow:so101/fm?nfe=10'
    python benchmarks/one_step.py one_step runs/one-step

writes results/one_step.json, the counts that everything else follows from, and results/one_step.md, a
table of docs/one-step.md. Several runs with different arms are taken together. Without runs, the table
is written from the committed counts:

    python benchmarks/one_step.py one_step
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.counts import CELLS, REFERENCE, collect
from common.results import save, write_table
from common.script import parser, run

from vla_eval.stats import PairedTable
from vla_eval.summary.text import interval_text, rate_text

_MOST_COLUMNS = 3
"""More tasks than this do not fit side by side."""


def main() -> None:
    """Count the pairs, if runs are given, and write the table."""
    arguments = parser(__doc__)
    arguments.add_argument("name", help="of the results, such as one_step or libero_one_step")
    arguments.add_argument("runs", nargs="*", type=Path, help="run folders of one protocol")
    chosen = arguments.parse_args()
    if chosen.runs:
        save(chosen.name, collect(chosen.runs))
    write_table(chosen.name, table)


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown: success with Wilson's interval, difference to the reference with Tango's.

    Where initial states repeat, intervals are those of states, as in a certificate; an arm of which
    only the counts were kept has none. More than three tasks are taken together, and a column has the
    successes of each task.
    """
    arms, repeats = results["arms"], results.get("repeats", 1)
    tasks = list(next(iter(arms.values()))["tasks"])
    many = len(tasks) > _MOST_COLUMNS
    groups = {"all tasks": tasks} if many else {task: [task] for task in tasks}
    head = ["arm", "NFE", *(f"{group} | minus {REFERENCE}" for group in groups)]
    head += [f"tasks {tasks[0]} to {tasks[-1]}"] if many else []
    head += ["inference, ms (busy machine)"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * (len(head) + len(groups))}"]
    for name, arm in arms.items():
        fields = [name, f"{arm['nfe']:g}"]
        for group in groups.values():
            rate, difference = _fields(arm, group, repeats)
            fields += [rate, "–" if name == REFERENCE else difference]
        if many:
            by_task = [_pairs(arm, [task]) for task in tasks]
            fields.append(" ".join(str(pairs.n11 + pairs.n10) for pairs in by_task))
        lines.append(f"| {' | '.join([*fields, f'{arm["infer_ms_p50"]:.1f}'])} |")
    return "\n".join(lines) + "\n"


def _fields(arm: Mapping[str, Any], group: list[str], repeats: int) -> tuple[str, str]:
    """Return success and difference of a group of tasks together."""
    pairs, task = _pairs(arm, group), arm["tasks"][group[0]]
    won, difference = pairs.n11 + pairs.n10, f"{100 * pairs.difference:+.0f}"
    if repeats == 1:
        return rate_text(won, pairs.n), f"{difference} {_limits(pairs.interval())}"
    if "ci95" not in task:
        return f"{won}/{pairs.n}", difference
    return interval_text(won, pairs.n, task["wilson95"]), f"{difference} {_limits(task['ci95'])}"


def _limits(interval: Sequence[float]) -> str:
    return f"[{100 * interval[0]:+.0f}, {100 * interval[1]:+.0f}]"


def _pairs(arm: Mapping[str, Any], tasks: list[str]) -> PairedTable:
    """Return an arm's pairs with the reference in some tasks together."""
    return PairedTable(*(sum(arm["tasks"][task][cell] for task in tasks) for cell in CELLS))


if __name__ == "__main__":
    run(main)
