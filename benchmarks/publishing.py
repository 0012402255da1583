"""Time of `vlaeval publish` for a run of 800 episodes, certificate and its verification included.

    .venv/bin/python benchmarks/publishing.py

The run is docs/certificates/parity. Exit status 1 if 500 episodes would take more than 10 s.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from vla_eval.publish import publish
from vla_eval.summary.model import summarise

RUN = Path(__file__).parents[1] / "docs" / "certificates" / "parity"
REPEATS = 3
LONGEST_S = 10.0
"""Longest time for 500 episodes."""


def main() -> int:
    """Publish the run several times, and print the best time."""
    episodes = sum(arm.n for arm in summarise([RUN]).arms.values())
    walls = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = perf_counter(), process_time()
            done = publish(RUN, Path(folder) / "out")
            walls.append(perf_counter() - wall)
            size = sum(file.stat().st_size for file in done.dataset.rglob("*") if file.is_file())
            print(
                f"{walls[-1]:.2f} s, of one core {process_time() - cpu:.2f} s, {size / 1e6:.1f} MB"
            )
    per_500 = min(walls) * 500 / episodes
    print(f"{episodes} episodes in {min(walls):.2f} s; {per_500:.2f} s for 500")
    return 1 if per_500 > LONGEST_S else 0


if __name__ == "__main__":
    sys.exit(main())
