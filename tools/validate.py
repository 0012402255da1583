"""Check the statistics against what they promise, and the checks against methods that break it.

Prints bar and observation for each; exit status 1 if a bar is broken, or if a deliberately wrong
method (Wald, pooled clusters, bootstrap of few seeds, peeking …) is not caught. Some minutes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "validation"))

import exact
import measured
import simulated


def main() -> int:
    """Run all; return the exit status."""
    began = time.monotonic()
    failed = count = 0
    print("state   observed    limits (%)         what")
    for module in (exact, simulated, measured):
        for bar in module.bars():
            print(bar.line(), flush=True)
            count += 1
            failed += not bar.passed
    seconds = time.monotonic() - began
    print(f"{count} bars, {failed} failed, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
