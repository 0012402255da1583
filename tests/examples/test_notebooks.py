"""Every notebook runs from its first cell to its last, and is what its page links to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples" / "notebooks").glob("*.py"))
SIMULATED = {"first_evaluation"}
"""Notebooks that need a simulator."""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.long
def test_a_notebook_runs(notebook, tmp_path):
    """All cells, in an empty folder, without a script that worker processes could import."""
    if notebook.stem in SIMULATED:
        pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    code = f"exec(compile(open({str(notebook)!r}).read(), 'notebook', 'exec'))"
    command = [sys.executable, "-W", "ignore:FigureCanvasAgg", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_in_the_percent_format(notebook):
    """It begins with a title, and has text and code in turn."""
    text = notebook.read_text()
    assert text.startswith("# %% [markdown]\n# # ")
    assert text.count("\n# %%\n") >= 3
    assert re.findall(r"^# %%(?! \[markdown\]$|$)", text, flags=re.MULTILINE) == []
