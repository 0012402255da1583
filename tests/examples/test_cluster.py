"""The scripts for clusters: nothing here runs them, so at least their syntax is checked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sbatch")), ids=lambda path: path.name)
def test_scripts_are_shell(script):
    """Bash reads them without running a line."""
    subprocess.run(["bash", "-n", script], check=True)


def test_the_job_is_yaml_and_runs_vlaeval():
    """One document, whose entry point is the documented command."""
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((FOLDER / "rayjob.yaml").read_text())
    assert job["kind"] == "RayJob"
    assert job["spec"]["entrypoint"].startswith("vlaeval run libero-spatial --arm ")
