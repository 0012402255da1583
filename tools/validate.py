"""Check the statistics against what they promise, and the checks against methods that break it.

    .venv/bin/python tools/validate.py
    .venv/bin/python tools/validate.py --page docs/validation.md

prints every bar with its observation; exit status 1 if a bar is broken, or if a deliberately wrong method
(Wald, yesterday's clusters, bootstrap of few seeds, peeking …) is not caught. It takes about ten minutes on
two cores. --page also writes the page of the documentation, if everything passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "validation"))

import breakeven
import checkpoints
import copies
import dependence
import endtoend
import exact
import means
import measured
import recipes
import resized
import several
import simulated
import tasks
from bars import Bar
from page import page

Group = Callable[[], Iterator[Bar]]


GROUPS: dict[str, Group] = {
    "Error of one comparison, by summing over all tables": exact.tango_errors,
    "The exact guard": exact.guard_errors,
    "Harm, shown by independent pairs": exact.harm_errors,
    "Coverage of the paired interval": exact.coverage,
    "Sample sizes": exact.sample_sizes,
    "Copies, judged by the worst repeat": copies.worst_repeat,
    "Copies, judged by bets": copies.bets,
    "Copies, judged by both": copies.both,
    "Copies, as they were judged before": copies.replaced,
    "Repeats of which a share are copies": dependence.copied,
    "Repeats that share the state's difficulty": dependence.interacting,
    "Dependent repeats, judged wrongly": dependence.ignored,
    "One arm with repeats": copies.rates,
    "Training seeds": simulated.training_seeds,
    "Training seeds that share initial states": recipes.covered,
    "Training seeds, judged without their states": recipes.ignored,
    "Five looks": simulated.sequential,
    "Size set from the first pairs": resized.bars,
    "Bets": simulated.betting,
    "Verdicts while a policy is trained": checkpoints.verdicts,
    "The best of many checkpoints": checkpoints.best_of_many,
    "Partial credit and time to success": means.measures,
    "Partial credit and time, judged wrongly": means.wrong,
    "Latency": measured.latency,
    "Whether tasks agree": tasks.agreement,
    "The guard rail": tasks.guard_rails,
    "Further tasks like these": tasks.further,
    "Weights of tasks": tasks.weights,
    "Several candidates": several.candidates,
    "Several runs": several.continued,
    "Break-even over delays": breakeven.break_even,
    "Whole certifications, fixed size": endtoend.fixed,
    "Whole certifications, five looks": endtoend.sequential,
    "Whole certifications, peeking": endtoend.peeking,
}
"""Checks by the title of their section."""
LONGEST = (
    "Whole certifications, five looks",
    "Whole certifications, fixed size",
    "Copies, judged by both",
    "Copies, judged by the worst repeat",
    "Training seeds that share initial states",
    "Repeats of which a share are copies",
    "Whole certifications, peeking",
)
"""Groups that start first, since they take longest."""


def run(title: str) -> list[Bar]:
    """Run one group."""
    return list(GROUPS[title]())


def main(to: Path | None) -> int:
    """Run all groups, write the page if ``to`` names its file, and return the exit status."""
    began = time.monotonic()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print("state   observed    limits (%)         what")
    results: dict[str, list[Bar]] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        # What is printed keeps its order.
        order = dict.fromkeys((*LONGEST, *GROUPS))
        waiting = {title: pool.submit(run, title) for title in order}
        for title in GROUPS:
            results[title] = waiting[title].result()
            print("\n".join(bar.line() for bar in results[title]), flush=True)
    bars = [bar for group in results.values() for bar in group]
    failed = sum(not bar.passed for bar in bars)
    seconds = time.monotonic() - began
    print(f"{len(bars)} bars, {failed} failed, {seconds:.0f} s")
    if to is not None and not failed:
        about = {title: GROUPS[title].__doc__ or "" for title in GROUPS}
        to.write_text(page(results, about), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, metavar="FILE")
    sys.exit(main(parser.parse_args().page))
