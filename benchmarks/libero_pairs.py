"""Counts how often LIBERO's `fast` physics changes an episode's result, paired with `exact`.

Run: python benchmarks/libero_pairs.py [--states 13] [--out FOLDER]

The scripted expert plays every task of the four standard suites from the same initial states in both.
`exact` equals robosuite's own loop to the last bit (tests/envs/test_libero_physics.py), so this is `fast`
against the reference. The run folders can be continued: the same command goes on where it was stopped.
Writes results/libero_pairs.json and .md.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from vla_eval.stats import PairedTable, mcnemar_p, tango_interval

RESULTS = Path(__file__).parent / "results"
SUITES = ("spatial", "object", "goal", "10")
PHYSICS = ("exact", "fast")


def main() -> None:
    """Run what is missing, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=13, help="initial states of each of 40 tasks")
    parser.add_argument("--out", type=Path, default=Path("runs/libero-pairs"))
    chosen = parser.parse_args()
    rows = []
    for suite in SUITES:
        arms = {each: play(suite, each, chosen.states, chosen.out) for each in PHYSICS}
        rows.append({"suite": f"libero_{suite}"} | table(arms["exact"], arms["fast"]))
        print(json.dumps(rows[-1]), file=sys.stderr)
    total = {
        name: sum(row[name] for row in rows)
        for name in ("both", "exact_only", "fast_only", "neither")
    }
    rows.append({"suite": "all"} | total)
    result = {"states_per_task": chosen.states, "rows": [row | judged(row) for row in rows]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "libero_pairs.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "libero_pairs.md").write_text(markdown(result))


def play(suite: str, physics: str, states: int, out: Path) -> dict[tuple[str, int], bool]:
    """Run the expert and return its successes by task and initial state."""
    folder = out / f"{suite}-{physics}"
    command = [str(Path(sys.executable).with_name("vlaeval")), "run", f"libero-{suite}"]
    command += ["--policy", "expert", "--out", str(folder)]
    command += ["--set", f"blocks.0.env_kwargs.physics={physics}"]
    command += ["--set", f"blocks.0.init_states.count={states}"]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"stopped; the same command goes on: {' '.join(command)}")
    results = {}
    for path in sorted((folder / "episodes").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            record = entry.get("record", entry)
            if record.get("outcome") in ("success", "failure"):
                results[record["task"], record["init_state"]] = record["outcome"] == "success"
    return results


def table(exact: dict[tuple[str, int], bool], fast: dict[tuple[str, int], bool]) -> dict[str, int]:
    """Return the paired counts."""
    if exact.keys() != fast.keys():
        sys.exit("the two runs hold different episodes")
    pairs = [(exact[key], fast[key]) for key in exact]
    return {
        "both": pairs.count((True, True)),
        "exact_only": pairs.count((True, False)),
        "fast_only": pairs.count((False, True)),
        "neither": pairs.count((False, False)),
    }


def judged(row: dict[str, Any]) -> dict[str, Any]:
    """Return what the counts say of the difference, fast minus exact."""
    counts = PairedTable(row["both"], row["fast_only"], row["exact_only"], row["neither"])
    low, high = tango_interval(counts.n10, counts.n01, counts.n)
    return {"pairs": counts.n, "ci95": [low, high], "p_mcnemar_midp": mcnemar_p(counts)}


def markdown(result: dict[str, Any]) -> str:
    """Return the same for people."""
    text = [
        "# LIBERO: `fast` against `exact`, paired",
        "",
        f"By `benchmarks/libero_pairs.py`: the scripted expert, {result['states_per_task']} initial states a task.",
        "",
        "| suite | pairs | both succeed | only exact | only fast | neither | fast - exact, 95 % | mid-p McNemar |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        low, high = (100 * each for each in row["ci95"])
        text.append(
            f"| {row['suite']} | {row['pairs']} | {row['both']} | {row['exact_only']} | {row['fast_only']} "
            f"| {row['neither']} | [{low:+.1f}, {high:+.1f}] | {row['p_mcnemar_midp']:.2f} |"
        )
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
