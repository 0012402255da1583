"""Success of many arms on the same episodes, several repeats of each initial state, from sweeps or runs.

    vlaeval sweep examples/sweeps/nfe.toml --out runs/nfe
    vlaeval sweep examples/sweeps/nfe-fixed.toml --out runs/nfe-fixed
    python benchmarks/policy_grid.py nfe runs/nfe runs/nfe-fixed --reference 'fm, nfe=10'

writes ``results/nfe.json``, every outcome, and ``results/nfe.md``, a table of docs/one-step.md. All runs
must have one protocol. Without runs: the table from the outcomes.

Repeats of a scene are not independent. Intervals are those of clusters, a cluster being an initial
state (vla_eval.stats.clusters): that of a difference holds for any dependence of a state's repeats. An
arm whose repeats execute the same actions counts once a state.
"""

# ruff: noqa: INP001, S101  a script

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tables import points, write_table

from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import ClusteredPairs, ClusteredRate, tango_interval, wilson_interval

RESULTS = Path(__file__).with_name("results")
Task = Mapping[str, Any]


def collect(paths: Iterable[Path]) -> dict[str, Any]:
    """Return every outcome of sweeps and runs that share a protocol, by arm and task."""
    folders = [RunFolder.open(each) for path in paths for each in cells_of(path)]
    first = folders[0].run
    assert len({each.header.protocol_sha256 for each in folders}) == 1, "several protocols"
    arms: dict[str, Any] = {}
    scenes: dict[Any, str] = {}
    for folder in folders:
        cell = "" if folder.path.name == "all" or "=" not in folder.path.name else folder.path.name
        final = folder.records().final
        for arm in folder.header.arms:
            records = [record for (name, _), record in final.items() if name == arm.name]
            for record in records:
                assert scenes.setdefault(record.key, record.scene_hash) == record.scene_hash
            name = f"{arm.name}, {cell}" if cell else arm.name
            assert name not in arms, f"two arms are called '{name}'"
            assert arm.identity is not None
            arms[name] = {
                "spec": arm.spec,
                "weights_sha256": arm.identity["weights_sha256"],
                **_told(records),
            }
    assert len({tuple(_episodes(arm)) for arm in arms.values()}) == 1, "a run is not complete"
    return {
        "protocol": {"label": first.protocol.label, "sha256": first.protocol_sha256},
        "versions": dict(first.versions),
        "arms": arms,
    }


def cells_of(path: Path) -> list[Path]:
    """Return the run folders of a sweep, or the one run folder."""
    if (path / "run.json").is_file():
        return [path]
    return sorted(each.parent for each in path.glob("*/run.json"))


def _episodes(arm: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    return [
        (task, len(row), len(cell["successes"]))
        for task, cell in arm["tasks"].items()
        for row in cell["successes"]
    ]


def _told(records: list[EpisodeRecord]) -> dict[str, Any]:
    """Return what an arm's records amount to."""
    tasks = defaultdict(list)
    for record in records:
        assert record.outcome != "error", record.key
        tasks[record.task].append(record)
    actions = defaultdict(set)
    for record in records:
        actions[record.task, record.init_state].add(record.actions_sha256)
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.counts)
    first = [record.timing for record in records]
    return {
        "nfe": round(
            sum(each.nfe for each in records) / sum(each.inferences for each in records), 3
        ),
        "deterministic": all(len(each) == 1 for each in actions.values()),
        "prefix_ms_p50": _median(ms for timing in first for ms in timing.prefix_ms),
        "denoise_ms_p50": _median(ms for timing in first for ms in timing.denoise_ms),
        **({"counts": dict(counts)} if counts else {}),
        "tasks": {task: _task(tasks[task]) for task in sorted(tasks)},
    }


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(statistics.median(found), 2) if found else None


def _task(records: list[EpisodeRecord]) -> dict[str, Any]:
    """Return the outcomes, a string for each repeat with a digit for each initial state."""
    won = {
        (each.env_seed, each.policy_seed, each.init_state): int(each.outcome == "success")
        for each in records
    }
    states = sorted({each.init_state for each in records})
    repeats = sorted({(each.env_seed, each.policy_seed) for each in records})
    return {
        "successes": ["".join(str(won[(*pair, state)]) for state in states) for pair in repeats],
        "mean_score": round(statistics.fmean(each.score for each in records), 4),
    }


def by_state(arm: Mapping[str, Any], task: str) -> np.ndarray:
    """Return an arm's successes, (repeats that count, states)."""
    rows = np.array([[int(digit) for digit in row] for row in arm["tasks"][task]["successes"]])
    return rows[:1] if arm["deterministic"] else rows


def rate(rows: np.ndarray) -> tuple[int, int, float, float]:
    """Return successes, episodes and the 95 % interval."""
    repeats, states = rows.shape
    won = rows.sum(0)
    low, high = ClusteredRate(np.full(states, repeats), won).interval()
    if repeats == 1:
        low, high = wilson_interval(int(won.sum()), states)
    return int(won.sum()), int(rows.size), low, high


def difference(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of success rates over all pairs of repeats, with its 95 % interval."""
    many = max(len(ours), len(theirs))
    ours, theirs = (np.resize(rows, (many, rows.shape[1])) for rows in (ours, theirs))
    wins = ((ours == 1) & (theirs == 0)).sum(0)
    losses = ((ours == 0) & (theirs == 1)).sum(0)
    if many == 1:
        n10, n01, states = int(wins.sum()), int(losses.sum()), ours.shape[1]
        return (n10 - n01) / states, *tango_interval(n10, n01, states)
    pairs = ClusteredPairs(np.full(ours.shape[1], many), wins, losses)
    return pairs.difference, *pairs.interval()


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown."""
    arms, reference = results["arms"], results["reference"]
    tasks = list(arms[reference]["tasks"])
    head = ["arm", "NFE"]
    head += [f"{task} | minus {reference} | score" for task in tasks]
    fired = any("counts" in arm for arm in arms.values())
    head += ["guard fired"] * fired
    lines = [f"| {' | '.join(head)} |", "|---" * (2 + 3 * len(tasks) + fired) + "|"]
    for name, arm in arms.items():
        fields = [name, f"{arm['nfe']:g}"]
        for task in tasks:
            ours, theirs = by_state(arm, task), by_state(arms[reference], task)
            won, n, low, high = rate(ours)
            fields.append(f"{won}/{n} [{low:.0%}, {high:.0%}]")
            fields.append("–" if name == reference else points(*difference(ours, theirs)))
            fields.append(f"{arm['tasks'][task]['mean_score']:.3f}")
        if fired:
            counts = arm.get("counts", {})
            many = counts.get("keystone_selected", 0)
            fields.append(f"{counts['keystone_fired'] / many:.0%}" if many else "–")
        lines.append(f"| {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Collect, if runs are given, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--reference", help="arm that all others are paired with; with runs")
    asked = parser.parse_args()
    file = RESULTS / f"{asked.name}.json"
    if asked.runs:
        results = {**collect(asked.runs), "reference": asked.reference}
        results["arms"] = dict(sorted(results["arms"].items(), key=_order))
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_table(file, table)


def _order(item: tuple[str, Mapping[str, Any]]) -> tuple[str, float]:
    name, arm = item
    return name.partition(",")[0].rpartition("-")[0] or name.partition(",")[0], arm["nfe"]


if __name__ == "__main__":
    main()
