"""The README's code runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_policy_of_the_readme_runs(tmp_path):
    """A newcomer's own policy, copied from the README, runs beside the expert."""
    (tmp_path / "mine.py").write_text(python_blocks()[0])
    command = [
        sys.executable, "-m", "vlaeval_launcher", "run", "so101-quickstart",
        "--arm", "swing=mine:Factory", "--arm", "expert=expert", "--out", "runs/swing",
        "--set", "blocks.0.init_states.count=2", "--workers", "1",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"swing +0/2", done.stdout)
    assert re.search(r"expert +2/2", done.stdout)
    assert "modified on the command line" in done.stdout


def test_the_environment_of_the_readme_runs():
    """The three lines that make and reset an environment work."""
    scope: dict[str, object] = {}
    exec(compile(python_blocks()[1], "README.md", "exec"), scope)  # noqa: S102 - our own README
    assert scope["info"]["init_state"] == 5
    scope["env"].close()


def test_every_verb_in_the_readme_exists():
    """What the README tells the reader to type is a verb of the command line."""
    from vla_eval.cli import _VERBS

    named = set(re.findall(r"bin/vlaeval ([a-z]+)", README))
    assert named
    assert named <= set(_VERBS)


def test_pictures_exist():
    """The README's pictures are in the repository."""
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 2
    assert all((ROOT / picture).is_file() for picture in pictures)
