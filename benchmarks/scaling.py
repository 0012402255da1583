"""Episodes an hour by the number of workers.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --workers 1 2 4 8 16 32 --episodes 64
    python benchmarks/scaling.py --table

runs the same episodes with each number of workers: LIBERO's with a small ACT of random weights in a policy host,
which observes after ten actions, and SO-101's with the scripted expert, which needs no pictures. It writes
``results/scaling.json`` and its table. More workers than cores show what oversubscription costs. The clock runs
from the first episode's start to the end of the last; starting the processes is reported apart.

Needs the extras `libero` and `lerobot`, LIBERO's assets, and an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run
from libero_lerobot import make_act, timed
from tqdm import tqdm

from vla_eval.errors import InfrastructureError
from vla_eval.runs.store import read_records

HORIZON = 10
PROTOCOL = """\
schema_version = 1
protocol = "scaling"
version = 1
title = "Speed"
source = "benchmarks/scaling.py"
[[blocks]]
suite = "{suite}"
env_id = "{env_id}"
tasks = ["{task}"]
init_states = {{ first = 0, count = {episodes} }}
max_steps = {steps}
[analysis]
estimand = "none"
margin = 0.5
margin_reason = "No claim is judged here."
"""
LOADS: Mapping[str, Mapping[str, Any]] = {
    "LIBERO, pictures after ten actions": {
        "suite": "libero_spatial",
        "env_id": "vla_eval_envs:libero/spatial-{task}-v0",
        "task": "0",
        "steps": 140,
        "share": 1,
    },
    "SO-101, scripted expert": {
        "suite": "so101",
        "env_id": "vla_eval_envs:so101/{task}-v0",
        "task": "PickPlace",
        "steps": 400,
        "share": 8,
    },
}
"""``share``: episodes for one of LIBERO's, since they are short."""


def main() -> None:
    """Measure, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--workers", type=count, nargs="+", default=[1, 2, 4, 8])
    arguments.add_argument("--episodes", type=count, default=16, help="of LIBERO (16)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save("scaling", measure_all(chosen))
    write_table("scaling", table)


def measure_all(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the speeds of every load at every number of workers."""
    loads: dict[str, dict[str, Any]] = {name: {} for name in LOADS}
    rounds = [(name, workers) for name in LOADS for workers in chosen.workers]
    with tempfile.TemporaryDirectory() as scratch:
        policies = {
            "libero_spatial": f"lerobot:{make_act(Path(scratch) / 'act', HORIZON)}?device=cpu",
            "so101": "expert",
        }
        for load in LOADS.values():  # compiled code and scenes are then in the cache
            short = {**load, "steps": HORIZON}
            measure(Path(scratch), short, policies[load["suite"]], episodes=1, workers=1)
        for name, workers in tqdm(rounds, unit=" runs"):
            load = LOADS[name]
            episodes = chosen.episodes * load["share"]
            loads[name][str(workers)] = measure(
                Path(scratch), load, policies[load["suite"]], episodes, workers
            )
    return {"machine": machine(), "loads": loads}


def measure(
    scratch: Path, load: Mapping[str, Any], policy: str, episodes: int, workers: int
) -> dict[str, float]:
    """Run the episodes with so many workers; return their speed."""
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        file, out = Path(name) / "protocol.toml", Path(name) / "run"
        fields = {key: value for key, value in load.items() if key != "share"}
        file.write_text(PROTOCOL.format(**fields, episodes=episodes))
        command = [
            sys.executable,
            "-m",
            "vlaeval_launcher",
            "run",
            str(file),
            "--policy",
            policy,
            "--out",
            str(out),
        ]
        command_s = timed([*command, "--workers", str(workers)], dict(os.environ), Path(name))
        records = read_records([out / "episodes"]).final.values()
    if len(records) != episodes or any(record.outcome == "error" for record in records):
        raise InfrastructureError(f"{len(records)} of {episodes} episodes have a result")
    starts = [datetime.fromisoformat(each.timing.started_at).timestamp() for each in records]
    ends = [begun + each.timing.wall_s for begun, each in zip(starts, records, strict=True)]
    seconds = max(ends) - min(starts)
    return {
        "episodes": episodes,
        "seconds": round(seconds, 2),
        "command_s": round(command_s, 1),
        "episodes_per_hour": round(3600 * episodes / seconds, 1),
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Episodes an hour by the number of workers",
        "",
        f"By `benchmarks/scaling.py`: {in_words(results['machine'])}.",
        "",
        "| load | workers | episodes | episodes an hour | times one worker | s beside the episodes |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in results["loads"].items():
        first = next(iter(found.values()))["episodes_per_hour"]
        for workers, each in found.items():
            beside = each["command_s"] - each["seconds"]
            lines.append(
                f"| {name} | {workers} | {each['episodes']} | {each['episodes_per_hour']:.0f} | "
                f"{each['episodes_per_hour'] / first:.2f} | {beside:.1f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
