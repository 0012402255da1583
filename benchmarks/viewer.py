"""How long the viewer takes to open a run and to film its episodes, and how much memory.

    python benchmarks/viewer.py RUN
    python benchmarks/viewer.py RUN --render all

starts ``vlaeval view RUN`` and measures the time to its address and to the page with the data of all episodes, with
the most memory that the server had. With ``--render`` it first exports the page with the films of those
episodes into a temporary folder, made anew, and prints seconds and the folder's size. RUN stays as it is, but for
its films, which are made again.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from time import perf_counter

from common.script import count, parser, run

from vla_eval.errors import UsageError


def main() -> None:
    """Measure, and print the result."""
    arguments = parser(__doc__)
    arguments.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    arguments.add_argument("--render", choices=["discordant", "failures", "all"])
    arguments.add_argument("--turns", type=count, default=5, help="starts of the viewer (5)")
    chosen = arguments.parse_args()
    if not (chosen.run / "run.json").is_file():
        raise UsageError(f"{chosen.run}: no run folder (it has no run.json)")
    if chosen.render:
        filmed(chosen.run, chosen.render)
    turns = [opened(chosen.run) for _ in range(chosen.turns)]
    for what, times in zip(("address", "page and data"), zip(*turns, strict=True), strict=False):
        print(
            f"{what}: {statistics.median(times):.2f} s (median of {len(times)}), {max(times):.2f} s at most"
        )
    print(f"memory of the server: {max(turn[2] for turn in turns):.0f} MB at most")


def filmed(folder: Path, episodes: str) -> None:
    """Export the page with films that are made anew."""
    shutil.rmtree(folder / "media", ignore_errors=True)
    with tempfile.TemporaryDirectory() as name:
        page, began = Path(name) / "page", perf_counter()
        subprocess.run(_view(folder, "--render", episodes, "--export", str(page)), check=True)
        seconds = perf_counter() - began
        films = len(list(page.rglob("*.mp4")))
        size = sum(file.stat().st_size for file in page.rglob("*") if file.is_file())
    print(f"{films} films and the page: {seconds:.1f} s, {size / 1e6:.1f} MB")


def opened(folder: Path) -> tuple[float, float, float]:
    """Return seconds to the address, seconds to the page with its data, and MB of the server."""
    began = perf_counter()
    with subprocess.Popen(_view(folder), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - for mypy
            url = server.stdout.readline().strip()
            address = perf_counter() - began
            for name in ("", "data.js"):
                with urllib.request.urlopen(f"{url}{name}") as answer:  # noqa: S310 - our own server
                    answer.read()
            return address, perf_counter() - began, _peak_mb(server.pid)
        finally:
            server.terminate()


def _view(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "vlaeval_launcher", "view", str(folder), *options]


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3


if __name__ == "__main__":
    run(main)
