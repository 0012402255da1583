"""SO-101 against the SO-101 simulators of the package registry: whole steps with two pictures, on one core.

    python -m venv PEERS
    PEERS/bin/pip install lerobot-env-so101==0.4.0 so101-nexus==0.10.0 mujoco==3.3.2
    python benchmarks/so101_peers.py --peers PEERS/bin/python
    python benchmarks/so101_peers.py --table

steps each simulator in turn, in a fresh process, with a small motion of the arm, and writes
``results/so101_peers.json`` and its table. A whole step is the physics of a control step, and two pictures of
256 px. Each package is measured as it is installed, and alike: with this project's clock (30 Hz, ten physics
steps) and its plain drawing (no shadows, no multisampling). Processor time counts, which other work on the
machine changes less than the clock.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run
from common.so101_steps import SIMULATORS
from tqdm import tqdm

from vla_eval.errors import InfrastructureError, UsageError

NAME = "so101_peers"
OURS = "ours"
SCRIPT = Path(__file__).parent / "common" / "so101_steps.py"


def main() -> None:
    """Measure, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--peers", metavar="PYTHON", help="interpreter with the other packages")
    arguments.add_argument("--seconds", type=count, default=8, help="of each measurement (8)")
    arguments.add_argument("--rounds", type=count, default=3, help="(3)")
    chosen = arguments.parse_args()
    if not chosen.table:
        if chosen.peers is None:
            raise UsageError(
                "where are the other packages? --peers PYTHON; --help shows how to get them"
            )
        save(NAME, measure(chosen.peers, chosen.seconds, chosen.rounds))
    write_table(NAME, table)


def measure(peers: str, seconds: int, rounds: int) -> dict[str, Any]:
    """Return the numbers of all simulators, medians over rounds in which each has its turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SIMULATORS}
    for name in tqdm([*SIMULATORS] * rounds, unit=" measurements"):
        found[name].append(_once(sys.executable if name == OURS else peers, name, seconds))
    middle = {
        name: each[0]
        | {
            key: round(float(np.median([one[key] for one in each])), 1)
            for key in ("steps_per_cpu_s", "steps_per_s")
        }
        for name, each in found.items()
    }
    return {"machine": machine(), "seconds": seconds, "rounds": rounds, "simulators": middle}


def _once(python: str, name: str, seconds: int) -> dict[str, Any]:
    environment = dict(os.environ)
    if name != OURS:
        environment.pop("PYTHONPATH", None)  # this project's packages need others than are there
    command = [python, str(SCRIPT), name, str(seconds)]
    try:
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise InfrastructureError(f"{name}: could not be measured ({error})") from None
    numbers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return numbers


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    found = results["simulators"]
    ours = found[OURS]["steps_per_cpu_s"]
    lines = [
        "# SO-101 against other SO-101 simulators",
        "",
        f"By `benchmarks/so101_peers.py`: {in_words(results['machine'])}.",
        f"Median of {results['rounds']} rounds of whole steps on one core, each step with two pictures of 256 px.",
        "",
        "| simulator | version | MuJoCo | triangles in meshes | whole steps a second of processor time | ours is faster by |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in found.items():
        factor = "" if name == OURS else f"{ours / each['steps_per_cpu_s']:.1f}"
        lines.append(
            f"| {name} | {each['version']} | {each['mujoco']} | {each['triangles']:,} "
            f"| {each['steps_per_cpu_s']:.1f} | {factor} |"
        )
    lines += [
        "",
        "All hold an SO-101 over a table with a block. `alike`: 30 Hz with ten physics steps, no shadows, no",
        "multisampling, as ours. As installed, lerobot-env-so101 runs 50 physics steps at 10 Hz and draws with shadows and 8",
        "samples, and so101-nexus runs 4 at 50 Hz and draws so too. What remains different: ours draws the arm from simple",
        "shapes, the others from meshes; lerobot-env-so101 solves inverse kinematics in a step and has one camera, which is",
        "drawn twice; so101-nexus computes a shaped reward.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
