"""The engine's own cost: the local engine against an earlier revision, and a driver of many workers.

    python benchmarks/engine.py --before REVISION
    python benchmarks/engine.py --workers 1000 --episodes 4000

The first form runs the same episodes of the tests' fake environment under both revisions in turn, in
processes of their own, and prints processor seconds and wall seconds: on a busy machine only the former
mean anything. The second form runs the supervisor with a scripted crew, so without processes: what is left
is the driver's cost of an episode, fsync included. Nothing is written into the repository.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from common.machine import in_words, machine
from common.processor import children_s
from common.script import count, parser, run

ROOT = Path(__file__).parents[1]
FAKES = ROOT / "tests" / "fakes"
PROTOCOL = """
schema_version = 1
protocol = "fake"
version = 1
title = "a point on a line"
source = "benchmarks"
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{{task}}-v0"
tasks = ["Point"]
init_states = {{ count = {episodes} }}
max_steps = 40
[run]
n_action_steps = 4
[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "a benchmark"
"""
ONE_RUN = """
import sys, vla_eval
from pathlib import Path
if __name__ == "__main__":
    arms = {"a": "fakes.policies:InWorker", "b": "fakes.policies:InHost"}
    vla_eval.run(sys.argv[1], arms, sys.argv[2], workers=2)
"""


def main() -> None:
    """Run what was asked for, and print the numbers."""
    arguments = parser(__doc__)
    arguments.add_argument("--before", help="revision to compare with")
    arguments.add_argument("--rounds", type=count, default=3, help="runs of each revision (3)")
    arguments.add_argument("--workers", type=count, default=1000, help="scripted workers (1000)")
    arguments.add_argument("--episodes", type=count, default=2000, help="episodes of a run (2000)")
    chosen = arguments.parse_args()
    print(in_words(machine()))
    if chosen.before:
        compare(chosen.before, chosen.rounds, chosen.episodes)
    else:
        drive(chosen.workers, chosen.episodes)


def compare(before: str, rounds: int, episodes: int) -> None:
    """Print the times of both revisions, run in turn."""
    found: dict[str, list[tuple[float, float]]] = {"before": [], "now": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        earlier = folder / "earlier"
        earlier.mkdir()
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", before], capture_output=True, check=True
        )
        subprocess.run(["tar", "-x", "-C", str(earlier)], input=archive.stdout, check=True)
        (folder / "p.toml").write_text(PROTOCOL.format(episodes=episodes))
        (folder / "one_run.py").write_text(ONE_RUN)
        for number in range(rounds):
            for which, tree in (("before", earlier), ("now", ROOT)):
                found[which].append(_timed(tree, folder, f"{which}-{number}"))
                print(f"{which}: {found[which][-1][0]:.2f} s processor", file=sys.stderr)
    best = {
        which: [min(column) for column in zip(*times, strict=True)]
        for which, times in found.items()
    }
    for which, (processor, wall) in best.items():
        print(f"{which:>7}: {processor:.2f} s processor, {wall:.2f} s wall, least of {rounds}")
    ratio = best["now"][0] / best["before"][0]
    middle = [statistics.median(each[0] for each in found[which]) for which in ("now", "before")]
    print(
        f"now / before: {ratio:.3f} (least), {middle[0] / middle[1]:.3f} (median) of processor time"
    )


def _timed(tree: Path, folder: Path, name: str) -> tuple[float, float]:
    """Return processor and wall seconds of one run, with all its processes."""
    parts = [tree, tree / "envs", tree / "policies", tree / "protocols", FAKES]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, parts)),
        "VLA_EVAL_CACHE": str(folder / f"cache-{name}"),
    }
    before_s, began = children_s(), perf_counter()
    command = [sys.executable, "one_run.py", "p.toml", name]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return children_s() - before_s, perf_counter() - began


def drive(workers: int, episodes: int) -> None:
    """Print the driver's processor time an episode with many scripted workers, and its memory."""
    sys.path.insert(0, str(FAKES))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FAKES), os.environ.get("PYTHONPATH", "")])
    from fakes.crew import ScriptedCrew  # type: ignore[import-not-found]
    from vla_eval.engine.agenda import Block
    from vla_eval.engine.dispatch import pending_items
    from vla_eval.engine.session import RunSession
    from vla_eval.engine.supervisor import Supervisor
    from vla_eval.plan import Shard, expand
    from vla_eval.released import load_protocol
    from vla_eval.runs.folder import RunFolder
    from vla_eval.runs.store import Records

    class OneByOne(ScriptedCrew):  # type: ignore[misc]
        """Returns one event at a time: no two records share an fsync, the most expensive case."""

        def events(self, timeout_s: float) -> list[Any]:
            del timeout_s
            return [self.queue.popleft()] if self.queue else []

    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "p.toml"
        file.write_text(PROTOCOL.format(episodes=episodes))
        protocol = load_protocol(str(file))
        arms = {"a": "fakes.policies:InWorker"}
        folder, lock = RunFolder.enter(Path(name) / "run", protocol, arms, Shard(1, 1))
        for kind in (OneByOne, ScriptedCrew):
            crew = kind(slots=workers)
            crew.protocol_sha256 = protocol.sha256
            with lock:
                supervisor = Supervisor(
                    folder, [Block(pending_items(expand(protocol), list(arms), Records()))],
                    session=RunSession(folder.episodes), crew=crew, ended=0, errors=[],
                    on_record=lambda _: None, notify=print,
                )  # fmt: skip
                began = process_time()
                supervisor.run()
                used = process_time() - began
            how = "one at a time" if kind is OneByOne else "together"
            share = 100 * used / episodes * workers / 5
            print(
                f"{workers} workers, records {how}: {1e3 * used / episodes:.2f} ms processor an episode, "
                f"so {share:.0f} % of a core with episodes of 5 s"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"driver_mb": round(peak)}))


if __name__ == "__main__":
    run(main)
