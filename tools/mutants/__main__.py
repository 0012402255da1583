"""Plant faults in the code, one at a time, and see whether the tests notice.

    python tools/mutants                       the rooms that verdicts depend on, see rooms.toml
    python tools/mutants stats gate            these rooms
    python tools/mutants changed --minutes 5   lines that differ from main, as far as five minutes reach

Results are kept in build/mutants: a second command tests only what has changed. A mutant that lives is a
test that is missing, or has no effect: then it belongs into equivalent.toml.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path

from bench import Bench
from figures import Row, add_to_page, described, table
from results import Mutant, Results, equivalents
from rooms import CHANGED, Room, changed, files_of, rooms
from tests_of import Known
from trials import Deadline, Trials

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEPT = ROOT / "build" / "mutants"
SEED = 20261129


def planted(room: Room, tree: Path, seed: int, take: int) -> list[Mutant]:
    """Return the sample of a room's mutants in a tree, in the order of the modules."""
    if not room.modules:
        return []
    command = [ROOT / ".venv-mutants" / "bin" / "python", HERE / "plant.py"]
    options = [f"--seed={seed}", f"--take={take}", *room.modules]
    lines = subprocess.run(
        [*command, *options], cwd=tree, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    found = [Mutant(**json.loads(line)) for line in lines]
    return sorted(found, key=lambda mutant: (mutant.module, mutant.line))


def run(room: Room, trials: Trials, benches: Sequence[Bench], options: argparse.Namespace) -> Row:
    """Try a room's mutants, a module on each bench at a time, and print those that live."""
    budget_s = options.budget_s or room.budget_s
    mutants = planted(room, trials.root, options.seed, options.take or room.take)
    reasons = equivalents(HERE / "equivalent.toml", mutants)
    row = Row(room.name, len({mutant.module for mutant in mutants}), room.target, len(reasons))
    print(f"{room.name}: {len(mutants)} mutants in {row.modules} modules", flush=True)
    tested = [mutant for mutant in mutants if mutant.name not in reasons]
    groups = [list(group) for _, group in groupby(tested, key=lambda mutant: mutant.module)]

    def work(bench: Bench) -> None:
        while groups:
            group = groups.pop(0)
            files = files_of(room, group[0].module, trials.root)
            for mutant, result in trials.of_module(group, files, bench, budget_s=budget_s):
                row.add(mutant, result)
                if result.lived:
                    print(f"  {described(mutant, result)}", flush=True)
            print(f"  {len(row.done)} of {len(tested)}, with {group[0].module}", flush=True)
        bench.cool()

    with ThreadPoolExecutor(len(benches)) as pool:
        for job in [pool.submit(work, bench) for bench in benches]:
            try:
                job.result()
            except Deadline:
                row.cut_short = True
    return row


def about(rows: Sequence[Row], options: argparse.Namespace, left: Sequence[str]) -> str:
    """Return how the figures came about, for the page."""
    seconds = sum(result.seconds for row in rows for _, result in row.done)
    size = f"{options.take} a room" if options.take else "as many a room as rooms.toml says"
    tests = (
        "all tests but those marked slow"
        if options.long
        else "the quick tests, in some rooms also those marked long"
    )
    text = f"Seed {options.seed}, {size}, {tests}; the trials took {seconds / 60:.0f} minutes together."
    text += f" Not measured here: {', '.join(left)}." if left else ""
    return f"{text} {options.note}".rstrip()


def main(arguments: Sequence[str]) -> int:
    """Run the rooms and print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rooms", nargs="*", help=f"rooms of rooms.toml, or: {CHANGED}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--take", type=int, help="mutants a room, in place of what rooms.toml says")
    parser.add_argument("--jobs", type=int, default=2, help="modules at a time")
    parser.add_argument(
        "--budget-s", type=float, help="processor time for the tests of one mutant, in every room"
    )
    parser.add_argument("--long", action="store_true", help="tests marked long, too, in every room")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="stop then; the next command goes on"
    )
    parser.add_argument(
        "--base", default="main", help=f"commit that {CHANGED} lines are compared with"
    )
    parser.add_argument(
        "--page", type=Path, help="write the table into this page of the documentation"
    )
    parser.add_argument("--note", default="", help="a sentence for that page")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    every = rooms(ROOT)
    names = options.rooms or [name for name, room in every.items() if room.decisive]
    if unknown := sorted(set(names) - {*every, CHANGED}):
        parser.error(f"no room is called {unknown[0]!r}; there are {', '.join([*every, CHANGED])}")
    KEPT.mkdir(parents=True, exist_ok=True)
    rows = []
    with ExitStack() as stack:
        folders = (KEPT / f"bench-{os.getpid()}-{job}" for job in range(options.jobs))
        benches = [stack.enter_context(Bench(ROOT, folder)) for folder in folders]
        # All is read from a copy: who edits meanwhile changes nothing before the next command.
        tree = benches[0].tree
        results, deadline = Results(KEPT / "results.jsonl"), began + 60 * options.minutes
        trials = {
            long: Trials(
                tree, Known(tree, KEPT / f"tests-{kind}.json", long=long), results, deadline
            )
            for long, kind in ((False, "quick"), (True, "long"))
        }
        for name in names:
            room = changed(ROOT, options.base, 10_000) if name == CHANGED else every[name]
            rows.append(run(room, trials[options.long or room.long], benches, options))
    print(table(rows))
    if options.page:
        left = [name for name, room in every.items() if room.decisive and name not in names]
        add_to_page(options.page, rows, about(rows, options, left))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
