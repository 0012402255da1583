"""The newcomer's example does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_first_look(tmp_path: Path):
    """It steps an environment, draws a picture, and evaluates two policies on ten episodes each."""
    pytest.importorskip("matplotlib", reason="the example draws with it")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "first_look.py"), str(tmp_path)],
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "grasp the red block" in done.stdout
    assert re.search(r"expert +10/10", done.stdout)
    assert (tmp_path / "frame.png").stat().st_size > 10_000
