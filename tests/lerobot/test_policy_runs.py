"""Tiny checkpoints run through whole protocols, with one and with ten steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import builders
import pytest

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
# Every process imports LeRobot anew.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROTOCOLS = {
    "libero-smoke": [],
    "so101-quickstart": ["--set", "blocks.0.init_states=[0,1]", "--set", "blocks.0.max_steps=40"],
}


@pytest.mark.parametrize(
    ("kind", "protocol", "factory"),
    [
        ("smolvla", "so101-quickstart", "in_worker"),
        ("pi05", "so101-quickstart", "in_worker"),
        ("diffusion", "so101-quickstart", "in_worker"),
        ("smolvla", "libero-smoke", "in_worker"),
        ("pi05", "libero-smoke", "in_worker"),
        ("diffusion", "libero-smoke", "in_worker"),
        ("smolvla", "so101-quickstart", "factory"),
    ],
)
def test_one_and_ten_steps(kind, protocol, factory, tmp_path):
    """Both arms complete; a third one, the same as the first, acts the same, number by number."""
    if protocol == "libero-smoke" and "VLA_EVAL_LIBERO_ASSETS" not in os.environ:
        pytest.skip("VLA_EVAL_LIBERO_ASSETS is not set")
    robot = builders.LIBERO if protocol == "libero-smoke" else builders.SO101
    getattr(builders, "pi" if kind == "pi05" else kind)(tmp_path / "checkpoint", robot)
    spec = f"tiny_lerobot:{factory}?checkpoint={tmp_path / 'checkpoint'}&n_action_steps=10&nfe="
    arms = {"one": 1, "ten": 10, "again": 1}
    command = [sys.executable, "-m", "vlaeval_launcher", "run", protocol, "--workers", "1"]
    command += [f"--arm={name}={spec}{nfe}" for name, nfe in arms.items()]
    command += [*PROTOCOLS[protocol], "--out", str(tmp_path / "run")]
    path = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [
        json.loads(line)["record"]
        for file in (tmp_path / "run" / "episodes").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    by_arm = {
        name: {(each["task"], each["init_state"]): each for each in lines if each["arm"] == name}
        for name in arms
    }
    assert {len(records) for records in by_arm.values()} == {2}
    for key, one in by_arm["one"].items():
        ten, again = by_arm["ten"][key], by_arm["again"][key]
        assert {one["outcome"], ten["outcome"], again["outcome"]} <= {"success", "failure"}
        assert one["nfe"] == one["inferences"]
        assert ten["nfe"] == 10 * ten["inferences"]
        assert one["actions_sha256"] == again["actions_sha256"]
        assert one["actions_sha256"] != ten["actions_sha256"]
        assert one["scene_hash"] == ten["scene_hash"]
        assert len(one["timing"]["prefix_ms"]) == one["inferences"]
