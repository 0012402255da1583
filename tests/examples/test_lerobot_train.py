"""lerobot-train with an evaluation at every checkpoint trains the same policy as without, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytest.importorskip("mujoco", reason="needs the extra 'so101'")
# Four processes that import LeRobot's policies.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "training" / "lerobot_train.py"
PROTOCOL = """
schema_version = 1
protocol = "tiny"
version = 1
title = "A few steps of PickPlace"
source = "tests"
[[blocks]]
suite = "so101"
env_id = "vla_eval_envs:so101/{task}-v0"
tasks = ["PickPlace"]
init_states = { count = 4 }
max_steps = 16
env_kwargs = { image_size = 32 }
[analysis]
estimand = "difference"
margin = 0.1
margin_reason = "a test"
"""
TINY = {
    "type": "act", "chunk_size": 8, "n_action_steps": 8, "dim_model": 16, "n_heads": 2,
    "dim_feedforward": 16, "n_encoder_layers": 1, "n_vae_encoder_layers": 1, "latent_dim": 4,
    "pretrained_backbone_weights": "null", "push_to_hub": "false", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two episodes of smooth motions with random pictures."""
    from fakes.lerobot import builders

    return builders.demonstrations(tmp_path_factory.mktemp("data") / "data", builders.SO101)


def train(dataset: Path, out: Path, *ours: str) -> Path:
    """Train six steps with two checkpoints; return the last one."""
    flags = {
        "dataset.repo_id": "x", "dataset.root": dataset, "output_dir": out, "steps": 6,
        "save_freq": 3, "batch_size": 2, "num_workers": 0, "seed": 1, "log_freq": 1,
        "wandb.enable": "false", **{f"policy.{name}": value for name, value in TINY.items()},
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, EXAMPLE, *(f"--{name}={value}" for name, value in flags.items()), *ours],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        cwd=out.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / "checkpoints" / "000006"


def test_training_does_not_notice_it(dataset, tmp_path):
    """Weights, optimiser and generators are equal bytes; both checkpoints were evaluated."""
    (tmp_path / "tiny.toml").write_text(PROTOCOL)
    curve = tmp_path / "curve"
    plain = train(dataset, tmp_path / "plain")
    ours = (f"--vla-eval.protocol={tmp_path / 'tiny.toml'}", f"--vla-eval.out={curve}", "--vla-eval.episodes=2")  # fmt: skip
    watched = train(dataset, tmp_path / "watched", *ours)
    assert sorted(each.name for each in curve.iterdir()) == ["step-000000003", "step-000000006"]
    files = {file.relative_to(plain) for file in plain.rglob("*.safetensors")}
    assert {file.name for file in files} >= {"model.safetensors", "rng_state.safetensors"}
    assert any("optimizer" in file.name for file in files)
    for file in files:
        assert (watched / file).read_bytes() == (plain / file).read_bytes(), file
