"""Tiny checkpoints run through whole protocols, with one and with ten steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from fakes.lerobot import builders

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROTOCOLS = {
    "libero-smoke": (builders.LIBERO, []),
    "so101-quickstart": (
        builders.SO101,
        ["--set", "blocks.0.init_states=[0,1]", "--set", "blocks.0.max_steps=40"],
    ),
}
KINDS = ("smolvla", "pi05", "diffusion")


def run(protocol: str, arms: dict[str, str], overrides: list[str], out: Path) -> dict[str, dict]:
    """Run the arms by the command line, and return the records of each by task and initial state."""
    command = [sys.executable, "-m", "vlaeval_launcher", "run", protocol, "--workers", "1"]
    command += [f"--arm={name}={spec}" for name, spec in arms.items()]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, *overrides, "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, dict] = defaultdict(dict)
    for file in (out / "episodes").glob("*.jsonl"):
        for line in file.read_text().splitlines():
            record = json.loads(line)["record"]
            found[record["arm"]][record["task"], record["init_state"]] = record
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_and_ten_steps(protocol, tmp_path):
    """SmolVLA, pi0.5 and Diffusion complete it in one and in ten steps; the same arm acts the same.

    All in one process, which imports LeRobot once; on SO-101 one arm sits in a host of its own.
    """
    if protocol == "libero-smoke" and "VLA_EVAL_LIBERO_ASSETS" not in os.environ:
        pytest.skip("VLA_EVAL_LIBERO_ASSETS is not set")
    robot, overrides = PROTOCOLS[protocol]
    arms = {}
    for kind in KINDS:
        folder = tmp_path / kind
        getattr(builders, "pi" if kind == "pi05" else kind)(folder, robot)
        spec = f"?checkpoint={folder}&n_action_steps=10&nfe="
        for name, nfe in {"one": 1, "ten": 10, "again": 1}.items():
            hosted = (kind, name, protocol) == ("smolvla", "again", "so101-quickstart")
            where = "factory" if hosted else "in_worker"
            arms[f"{kind}-{name}"] = f"fakes.lerobot.tiny:{where}{spec}{nfe}"
    records = run(protocol, arms, overrides, tmp_path / "run")
    assert {name: len(each) for name, each in records.items()} == dict.fromkeys(arms, 2)
    for kind in KINDS:
        for key, one in records[f"{kind}-one"].items():
            ten, again = (records[f"{kind}-{name}"][key] for name in ("ten", "again"))
            assert {each["outcome"] for each in (one, ten, again)} <= {"success", "failure"}
            assert (one["nfe"], ten["nfe"]) == (one["inferences"], 10 * ten["inferences"])
            assert one["actions_sha256"] == again["actions_sha256"]
            assert one["actions_sha256"] != ten["actions_sha256"]
            assert one["scene_hash"] == ten["scene_hash"] == again["scene_hash"]
            assert len(one["timing"]["prefix_ms"]) == one["inferences"]
