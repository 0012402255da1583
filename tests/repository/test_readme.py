"""The README's code runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.long
def test_the_policy_of_the_readme_runs(tmp_path):
    """A newcomer's own policy, copied from the README, runs beside the expert."""
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    (tmp_path / "mine.py").write_text(python_blocks()[0])
    command = [
        sys.executable, "-m", "vlaeval_launcher", "run", "so101-quickstart",
        "--arm", "stay=mine:Factory", "--arm", "expert=expert", "--out", "runs/stay",
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
    assert re.search(r"stay +0/2", done.stdout)
    assert re.search(r"expert +2/2", done.stdout)
    assert "modified on the command line" in done.stdout


def test_the_environment_of_the_readme_runs():
    """The three lines that make and reset an environment work."""
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    scope: dict[str, object] = {}
    exec(compile(python_blocks()[1], "README.md", "exec"), scope)  # noqa: S102 - our own README
    assert scope["info"]["init_state"] == 5
    scope["env"].close()


def test_every_verb_in_the_readme_exists():
    """What the README tells the reader to type is a verb of the command line."""
    from vla_eval.cli import _VERBS

    named = set(re.findall(r"^(?:PYTHONPATH=. )?vlaeval ([a-z]+)", README, flags=re.MULTILINE))
    assert named
    assert named <= set(_VERBS)


def test_pictures_exist():
    """The README's pictures are in the repository."""
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Every link of a page to this repository names a file or folder that is there."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    there = [link.partition("#")[0] for link in links if "://" not in link]
    missing = [link for link in there if link and not (page.parent / link).exists()]
    assert not missing


def test_every_page_is_in_the_index():
    """A page that no reader finds might as well not be there."""
    index = (ROOT / "docs/index.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_the_readme_is_short():
    """It is for ten minutes; everything else is in the pages."""
    assert README.count("\n") <= 130
