"""Kill, interrupt, starve and lie to everything that meets the world, and count what must never happen.

    .venv/bin/python tools/torture                    everything, at most 20 minutes on two cores
    .venv/bin/python tools/torture --short            what `make test` runs, under a minute
    .venv/bin/python tools/torture --only fuzz --seed 7

Exit status 1 if anything bad was seen; how to see it again is printed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

from table import Row, page

PARTS = {
    "storms": "Signals and kills",
    "fuzz": "Damaged and hostile files and arguments",
    "servers": "Hostile policy servers",
    "clients": "Hostile clients of `vlaeval serve`",
}
"""Modules of this folder, each with ``rows(*, short: bool, seed: int) -> Iterator[Row]`` and a
docstring whose first paragraph stands on the page."""


def main(arguments: list[str]) -> int:
    """Run the parts; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="a minute's worth of it")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="these parts only")
    parser.add_argument("--seed", type=int, default=20261129)
    parser.add_argument("--page", type=Path, help="write the page of the documentation here")
    chosen = parser.parse_args(arguments)
    for name in (
        "SIGINT",
        "SIGHUP",
    ):  # a shell's ampersand and nohup have them ignored, by heirs too
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    began = time.monotonic()
    found: dict[str, tuple[str, list[Row]]] = {}
    print(f"seed {chosen.seed}\n  tried  bad                      what")
    for name in chosen.only or PARTS:
        part = importlib.import_module(name)
        rows = []
        for row in part.rows(short=chosen.short, seed=chosen.seed):
            print(row.line(), flush=True)
            for example in row.examples[:10]:
                print(f"         {example}", flush=True)
            rows.append(row)
        sentence = " ".join((part.__doc__ or "").strip().partition("\n\n")[0].split())
        found[PARTS[name]] = (sentence, rows)
    bad = sum(row.bad.total() for _, rows in found.values() for row in rows)
    seconds = time.monotonic() - began
    print(
        f"{sum(r.tried for _, rows in found.values() for r in rows)} trials, {bad} bad, {seconds:.0f} s"
    )
    if chosen.page and not bad:
        about = f"Seed {chosen.seed}, {os.cpu_count()} cores, {seconds / 60:.0f} minutes."
        _write(chosen.page, page(found, about))
    return 1 if bad else 0


def _write(file: Path, text: str) -> None:
    """Write the page; the section of `make mutants` at its end stays."""
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    _, heading, section = before.partition("## Faults planted in the code\n")
    file.write_text(f"{text}\n{heading}{section}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
