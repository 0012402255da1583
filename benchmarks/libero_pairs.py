"""How often LIBERO's `fast` physics changes the result of an episode, paired with `exact`.

    python benchmarks/libero_pairs.py
    python benchmarks/libero_pairs.py --exact runs/libero-experts --states 5 5 5 5
    python benchmarks/libero_pairs.py --collect

lets the scripted expert play every task of the four standard suites from the same initial states in both.
`exact` equals robosuite's own loop to the last bit (tests/envs/libero/physics/test_loop.py), so `fast` is held
against the reference. --exact takes those episodes from the runs of libero_experts.py, which are in
`exact`. The same command continues the run folders; --collect runs nothing, and counts what they hold.
Writes results/libero_pairs.json and .md, which docs/libero.md cites.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.results import save, write_table
from common.script import count, parser, run, vlaeval

from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, UsageError
from vla_eval.judging import ledger
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.plan import expand
from vla_eval.runs.folder import RunFolder
from vla_eval.stats import PairedTable, mcnemar_p, tango_interval

NAME = "libero_pairs"
SUITES = ("spatial", "object", "goal", "10")
COUNTS = ("both", "exact_only", "fast_only", "neither")


def main() -> None:
    """Run the missing episodes, and write the table."""
    chosen = options()
    if not chosen.table:
        save(NAME, measure(chosen))
    write_table(NAME, markdown)


def options() -> argparse.Namespace:
    """Return the arguments of the command line."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument(
        "--states",
        type=count,
        nargs=len(SUITES),
        default=[13] * len(SUITES),
        metavar="N",
        help=f"initial states a task, by suite: {', '.join(SUITES)} (13)",
    )
    arguments.add_argument("--out", type=Path, default=Path("runs/libero-pairs"))
    arguments.add_argument("--exact", type=Path, help="the --runs folder of libero_experts.py")
    arguments.add_argument("--workers", type=count, default=2)
    arguments.add_argument("--collect", action="store_true", help="run nothing, only count")
    return arguments.parse_args()


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the paired counts of all suites."""
    rows: list[dict[str, Any]] = []
    for suite, states in zip(SUITES, chosen.states, strict=True):
        fast = play(suite, "fast", states, chosen)
        if chosen.exact is None:
            exact = play(suite, "exact", states, chosen)
        else:
            exact = fullest(chosen.exact, suite)
        rows.append({"suite": f"libero_{suite}"} | counts(exact, fast))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    rows.append({"suite": "all"} | {name: sum(row[name] for row in rows) for name in COUNTS})
    return {
        "states_per_task": dict(zip(SUITES, chosen.states, strict=True)),
        "rows": [row | judged(row) for row in rows],
    }


def play(suite: str, physics: str, states: int, chosen: argparse.Namespace) -> ArmEpisodes | None:
    """Run the expert, or continue its run, and return its episodes; None if nothing has been run."""
    folder = chosen.out / f"{suite}-{physics}"
    if not chosen.collect:
        print(f"libero_{suite}, {physics}, in {folder}", file=sys.stderr, flush=True)
        command = ["run", f"libero-{suite}", "--policy", "expert"]
        command += ["--workers", str(chosen.workers), "--out", str(folder)]
        command += ["--set", f"blocks.0.env_kwargs.physics={physics}"]
        command += ["--set", f"blocks.0.init_states.count={states}"]
        # Episodes without a result are no pairs, and no reason to stop.
        vlaeval(*command, allowed=(EXIT_COMPLETE, EXIT_INFRASTRUCTURE))
    return read(folder)


def read(folder: Path) -> ArmEpisodes | None:
    """Return the episodes of a run of one policy; None if there is no run."""
    if not (folder / "run.json").is_file():
        return None
    opened = RunFolder.open(folder)
    if len(opened.header.arms) != 1:
        raise UsageError(
            f"{folder}: has {len(opened.header.arms)} arms; a run of one policy is needed"
        )
    keys = [episode.key for episode in expand(opened.header.protocol)]
    return ArmEpisodes.of(opened.records(), opened.header.arms[0].name, keys)


def fullest(runs: Path, suite: str) -> ArmEpisodes | None:
    """Return the episodes of the run of a suite that holds most results; None if there is none."""
    folders = [runs / f"libero_{suite}", *runs.glob(f"libero_{suite}-[0-9]*")]
    held = [arm for folder in folders if (arm := read(folder))]
    return max(held, key=lambda arm: arm.n, default=None)


def counts(exact: ArmEpisodes | None, fast: ArmEpisodes | None) -> dict[str, int]:
    """Return the paired counts of episodes with two results, which may differ in physics only.

    Raises:
        UsageError: the two ran other scenes, other experts or other physics.
    """
    if exact is None or fast is None or not (exact.n and fast.n):
        return dict.fromkeys(COUNTS, 0)
    pairing = ledger.pair(fast.finals, fast, exact)
    if pairing.objection:
        raise UsageError(f"fast and exact: {pairing.objection}")
    for ours, theirs in pairing.pairs:
        if ours.policy_sha256 != theirs.policy_sha256:
            raise UsageError(f"{ours.key}: fast and exact ran different versions of the expert")
        physics = theirs.provenance.get("physics"), ours.provenance.get("physics")
        if physics != ("exact", "fast"):
            raise UsageError(f"{ours.key}: the two runs have the physics {physics}")
    table = ledger.table(pairing.outcomes())
    return dict(zip(COUNTS, (table.n11, table.n01, table.n10, table.n00), strict=True))


def judged(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the difference, fast minus exact, from the counts."""
    if not any(row[name] for name in COUNTS):
        return {"pairs": 0, "ci95": None, "p_mcnemar_midp": None}
    table = PairedTable(row["both"], row["fast_only"], row["exact_only"], row["neither"])
    low, high = tango_interval(table.n10, table.n01, table.n)
    return {"pairs": table.n, "ci95": [low, high], "p_mcnemar_midp": mcnemar_p(table)}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    states = ", ".join(f"{number} ({name})" for name, number in result["states_per_task"].items())
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
        low, high = (100 * limit for limit in row["ci95"])
        text.append(
            f"| {row['suite']} | {row['pairs']} | {row['both']} | {row['exact_only']} | {row['fast_only']} "
            f"| {row['neither']} | [{low:+.1f}, {high:+.1f}] | {row['p_mcnemar_midp']:.2f} |"
        )
    return "\n".join([*text, ""])


if __name__ == "__main__":
    run(main)
