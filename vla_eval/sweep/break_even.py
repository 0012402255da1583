"""The break-even of a sweep over delays: who is compared, and what is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vla_eval.drawing.terminal import table
from vla_eval.files.atomic import write_atomically
from vla_eval.judging.break_even import Bracket, bracket
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.plan import expand
from vla_eval.runs.folder import RunFolder
from vla_eval.summary.model import RunSummary
from vla_eval.sweep.curves import delay_groups, rate_hz
from vla_eval.sweep.grid import TICKS, Cell

__all__ = ["write_break_even"]


def write_break_even(results: Sequence[tuple[Cell, RunSummary]], out: Path) -> list[str]:
    """Judge the break-even of each combination of the other axes; write ``break-even.json`` into ``out``.

    Returns:
        Lines of text; none if the grid declares no break-even.

    Raises:
        RunFolderError: episodes of two delays are no pairs.
    """
    lines: list[str] = []
    found = {}
    for name, group in delay_groups(results).items():
        protocol = group[0][0].protocol
        if protocol.analysis.break_even is None:
            continue
        lines += ["", name]
        if not all(summary.complete for _, summary in group):
            lines.append("break-even: not judged yet, because cells are not complete")
            continue
        judged = _judged(group, out)
        found[name] = judged.to_json()
        lines += [*_table(judged), *judged.sentences(protocol, rate_hz(protocol))]
    if found:
        write_atomically(out / "break-even.json", json.dumps(found, indent=1) + "\n")
    return lines


def _judged(group: Sequence[tuple[Cell, RunSummary]], out: Path) -> Bracket:
    cells = {int(cell.values[TICKS]): cell for cell, _ in group}
    protocol = next(iter(cells.values())).protocol
    declared = protocol.analysis.break_even
    assert declared is not None  # noqa: S101 - for mypy: the caller has looked
    keys = [episode.key for episode in expand(protocol)]

    def arm(name: str, ticks: int) -> ArmEpisodes:
        records = RunFolder.open(out / cells[ticks].name).records()
        return ArmEpisodes.of(records, name, keys)

    return bracket(
        protocol,
        keys,
        arm(declared.candidate, declared.candidate_ticks),
        {ticks: arm(declared.reference, ticks) for ticks in declared.reference_ticks},
    )


def _table(judged: Bracket) -> list[str]:
    head = ["delay of the reference", "pairs", "difference", "95 %", "p better", "p not worse"]
    rows = [
        [
            str(each.ticks),
            str(each.pairs),
            f"{100 * each.difference:+.1f}",
            f"[{100 * each.ci95[0]:+.1f}, {100 * each.ci95[1]:+.1f}]",
            f"{each.p_superior:.2g}",
            f"{each.p_not_worse:.2g}",
        ]
        for each in judged.delays
    ]
    return table([head, *rows], numbers=True)
