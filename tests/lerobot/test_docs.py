"""The commands of docs/lerobot.md run as they stand there, with smaller numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "lerobot.md").read_text()
SMALLER = (
    ("--init-states 0-99", "--init-states 0 --env image_size=64"),
    ("--steps=20000 --batch_size=8 --save_freq=20000", "--steps=1 --batch_size=2 --save_freq=1"),
    ("--policy.type=act", "--policy.type=act --policy.device=cpu --num_workers=0"),
    ("--eval.n_episodes=50 --eval.batch_size=2", "--eval.n_episodes=1 --eval.batch_size=1"),
    (
        "--env.first_init_state=100",
        """--env.first_init_state=100 --env.episode_length=5 --env.env_kwargs='{"image_size": 64}'""",
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_record_train_evaluate(tmp_path: Path):
    """Recording, LeRobot's training and LeRobot's evaluation follow one another, offline."""
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
    pytest.importorskip("accelerate", reason="needs lerobot[training]")
    (script,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for ours, small in SMALLER:
        assert ours in script
        script = script.replace(ours, small)
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    info = json.loads((tmp_path / "eval" / "act" / "eval_info.json").read_text())
    assert info["overall"]["n_episodes"] == 1


def test_columns_are_the_documented_ones():
    """The page's table names every column that the writer declares."""
    from vla_eval.recording import Layout
    from vla_eval_policies.lerobot.writer import features

    layout = Layout("so101", 30, (("<camera>", (8, 8, 3)),), ("a",), ("b",))
    for column in features(layout, "video"):
        assert f"`{column}`" in PAGE
