"""The break-even of a sweep over delays: who is compared, and what is reported."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

__all__ = ["brackets", "write_break_even"]


def brackets(results: Sequence[tuple[Cell, RunSummary]], out: Path) -> dict[str, Bracket | None]:
    """Judge the break-even of each combination of the other axes, by its name.

    Returns:
        None for a combination whose cells are not complete; nothing if the grid declares no break-even.

    Raises:
        RunFolderError: episodes of two delays are no pairs.
    """
    return {
        name: _judged(group, out) if all(summary.complete for _, summary in group) else None
        for name, group in delay_groups(results).items()
        if group[0][0].protocol.analysis.break_even is not None
    }


def write_break_even(
    found: Mapping[str, Bracket | None], results: Sequence[tuple[Cell, RunSummary]], out: Path
) -> list[str]:
    """Write ``break-even.json`` into ``out``.

    Returns:
        Lines of text; none if the grid declares no break-even.
    """
    lines: list[str] = []
    for name, group in delay_groups(results).items():
        if name not in found:
            continue
        lines += ["", name]
        protocol, judged = group[0][0].protocol, found[name]
        if judged is None:
            lines.append("break-even: not judged yet, because cells are not complete")
        else:
            lines += [*_table(judged), *judged.sentences(protocol, rate_hz(protocol))]
    done = {name: judged.to_json() for name, judged in found.items() if judged is not None}
    if done:
        write_atomically(out / "break-even.json", json.dumps(done, indent=1) + "\n")
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
