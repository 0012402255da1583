"""The commands of docs/lerobot.md and docs/bring-your-policy.md run as printed, with smaller numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "lerobot.md").read_text()
BRING = (ROOT / "docs" / "bring-your-policy.md").read_text()
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


LESS = (
    ("tests/fakes/fakes/lerobot/builders.py", str(ROOT / "tests/fakes/fakes/lerobot/builders.py")),
    ("--init-states 0-9", "--init-states 0 --env image_size=64"),
    ("training.steps=20", "training.steps=2"),
    ("max_steps=60", "max_steps=20"),
    (
        "--arm control=random",
        "--arm control=random --set 'blocks.0.init_states=[0,1]' --set blocks.0.max_steps=20",
    ),
)


def run(script: str, folder: Path) -> str:
    """Run a script of commands in an empty folder, offline; return what it printed."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "80",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_a_checkpoint_to_a_certificate(tmp_path: Path):
    """What the page tells a reader with a checkpoint to type, in its order."""
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
    section = BRING.partition("## A LeRobot checkpoint")[2].partition("### What can go wrong")[0]
    (made,) = re.findall(r"```sh\n(python .*?)```", section, flags=re.DOTALL)
    typed = re.findall(r"^\$ (vlaeval (?:.*\\\n)*.*)$", section, flags=re.MULTILINE)
    assert [line.split()[1] for line in typed] == ["doctor", "train", "run", "run", "certify"]
    script = "\n".join([made, *typed])
    for ours, less in LESS:
        assert ours in script
        script = script.replace(ours, less)
    said = run(f"{script} || [ $? -eq 6 ]", tmp_path)  # two pairs cannot tell
    for words in ("Look at the pictures", "next: vlaeval run", "INCONCLUSIVE"):
        assert words in said
    assert (tmp_path / "runs/parity/certificate.json").exists()
    assert (tmp_path / "runs/parity/report.html").exists()


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
    run(script, tmp_path)
    info = json.loads((tmp_path / "eval" / "act" / "eval_info.json").read_text())
    assert info["overall"]["n_episodes"] == 1


def test_columns_are_the_documented_ones():
    """The page's table names every column that the writer declares."""
    from vla_eval.recording.recorder import DatasetLayout
    from vla_eval_policies.lerobot.writer import features

    layout = DatasetLayout("so101", 30, (("<camera>", (8, 8, 3)),), ("a",), ("b",), stalls=True)
    for column in features(layout, "video"):
        assert f"`{column}`" in PAGE
