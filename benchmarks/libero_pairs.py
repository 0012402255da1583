"""Counts how often LIBERO's `fast` physics changes an episode's result, paired with `exact`.

Run: python benchmarks/libero_pairs.py [--states 13 13 13 13] [--out FOLDER] [--exact FOLDER] [--workers N] [--collect]

The scripted expert plays every task of the four standard suites from the same initial states in both.
`exact` equals robosuite's own loop to the last bit (tests/envs/libero/physics/test_loop.py), so this is `fast`
against the reference. ``--exact`` takes those episodes from the runs of benchmarks/libero_experts.py, which
are in `exact`, instead of running them again. The run folders can be continued: the same command goes on
where it was stopped; ``--collect`` runs nothing, and counts what they hold. Writes results/libero_pairs.json
and .md.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import PairedTable, mcnemar_p, tango_interval

RESULTS = Path(__file__).parent / "results"
SUITES = ("spatial", "object", "goal", "10")
COUNTS = ("both", "exact_only", "fast_only", "neither")

_INCOMPLETE = 3
"""The exit code of a run that went through, with episodes that ended in errors."""

Episodes = dict[tuple[str, int], EpisodeRecord]
"""What ended, by task and initial state."""


def main() -> None:
    """Run what is missing, and write both files."""
    chosen = options()
    rows: list[dict[str, Any]] = []
    for suite, states in zip(SUITES, chosen.states, strict=True):
        fast = play(suite, "fast", states, chosen)
        if chosen.exact is None:
            exact = play(suite, "exact", states, chosen)
        else:
            exact = fullest(chosen.exact, suite)
        rows.append({"suite": f"libero_{suite}"} | table(exact, fast))
        print(json.dumps(rows[-1]), file=sys.stderr)
    rows.append({"suite": "all"} | {name: sum(row[name] for row in rows) for name in COUNTS})
    result = {
        "states_per_task": dict(zip(SUITES, chosen.states, strict=True)),
        "rows": [row | judged(row) for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "libero_pairs.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "libero_pairs.md").write_text(markdown(result))


def options() -> argparse.Namespace:
    """Return the command line's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--states",
        type=int,
        nargs=len(SUITES),
        default=[13] * len(SUITES),
        metavar="N",
        help="initial states of every task, for each suite",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/libero-pairs"))
    parser.add_argument("--exact", type=Path, help="the --runs folder of libero_experts.py")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--collect", action="store_true", help="only count")
    return parser.parse_args()


def play(suite: str, physics: str, states: int, chosen: argparse.Namespace) -> Episodes:
    """Run the expert, or go on with it, and return its episodes."""
    folder = chosen.out / f"{suite}-{physics}"
    if chosen.collect:
        return read(folder) if (folder / "run.json").is_file() else {}
    command = [str(Path(sys.executable).with_name("vlaeval")), "run", f"libero-{suite}"]
    command += ["--policy", "expert", "--workers", str(chosen.workers), "--out", str(folder)]
    command += ["--set", f"blocks.0.env_kwargs.physics={physics}"]
    command += ["--set", f"blocks.0.init_states.count={states}"]
    # Episodes without a result are no pairs; all else stops here.
    if subprocess.run(command, check=False).returncode not in (0, _INCOMPLETE):
        sys.exit(f"stopped; the same command goes on: {' '.join(command)}")
    return read(folder)


def read(folder: Path) -> Episodes:
    """Return what a run holds."""
    records = RunFolder.open(folder).records().final.values()
    return {(r.task, r.init_state): r for r in records if r.outcome != "error"}


def fullest(runs: Path, suite: str) -> Episodes:
    """Return the episodes of the run of a suite that holds most of them."""
    folders = [runs / f"libero_{suite}", *runs.glob(f"libero_{suite}-[0-9]*")]
    held = [read(folder) for folder in folders if (folder / "run.json").is_file()]
    return max(held, key=len, default={})


def table(exact: Episodes, fast: Episodes) -> dict[str, int]:
    """Return the paired counts of episodes with two results; they may differ in physics only."""
    pairs = []
    for key in fast.keys() & exact.keys():
        one, other = exact[key], fast[key]
        if (one.key, one.policy_sha256, one.scene_hash) != (
            other.key,
            other.policy_sha256,
            other.scene_hash,
        ):
            sys.exit(f"{other.key}: the two runs differ in more than physics")
        physics = one.provenance["physics"], other.provenance["physics"]
        if physics != ("exact", "fast"):
            sys.exit(f"{other.key}: physics are {physics}")
        pairs.append((one.outcome == "success", other.outcome == "success"))
    return {
        "both": pairs.count((True, True)),
        "exact_only": pairs.count((True, False)),
        "fast_only": pairs.count((False, True)),
        "neither": pairs.count((False, False)),
    }


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the counts say of the difference, fast minus exact."""
    if not any(row[name] for name in COUNTS):
        return {"pairs": 0, "ci95": None, "p_mcnemar_midp": None}
    counts = PairedTable(row["both"], row["fast_only"], row["exact_only"], row["neither"])
    low, high = tango_interval(counts.n10, counts.n01, counts.n)
    return {"pairs": counts.n, "ci95": [low, high], "p_mcnemar_midp": mcnemar_p(counts)}


def markdown(result: dict[str, Any]) -> str:
    """Return the same for people."""
    states = ", ".join(f"{count} ({name})" for name, count in result["states_per_task"].items())
    text = [
        "# LIBERO: `fast` against `exact`, paired",
        "",
        f"By `benchmarks/libero_pairs.py`: the scripted expert. Planned are, of every task, the first {states}",
        "initial states; the table holds what has been run.",
        "",
        "| suite | pairs | both succeed | only exact | only fast | neither | fast - exact, 95 % | mid-p McNemar |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        if not row["pairs"]:
            text.append(f"| {row['suite']} | 0 | – | – | – | – | – | – |")
            continue
        low, high = (100 * each for each in row["ci95"])
        text.append(
            f"| {row['suite']} | {row['pairs']} | {row['both']} | {row['exact_only']} | {row['fast_only']} "
            f"| {row['neither']} | [{low:+.1f}, {high:+.1f}] | {row['p_mcnemar_midp']:.2f} |"
        )
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
