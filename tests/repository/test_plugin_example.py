"""The example of a package of one's own: built, installed elsewhere, found, run and certified."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from vla_eval.errors import EXIT_INCONCLUSIVE

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
PAGE = (ROOT / "docs" / "bring-your-environment.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which the example is installed, as `pip install --target` would do it."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("plugin")
    source, wheels = folder / "source", folder / "wheels"
    for path in EXAMPLE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = source / path.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    build = f"import setuptools.build_meta as b; b.build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def vlaeval(site: Path, *arguments: object, codes: tuple[int, ...] = (0,)) -> str:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "vlaeval_launcher", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in codes, done.stderr
    return done.stdout


def test_suite_policy_and_protocol_are_found(site):
    """All three entry points are read from the installed package."""
    (suite,) = [
        row
        for row in json.loads(vlaeval(site, "list", "suites", "--json"))
        if row["suite"] == "point"
    ]
    assert suite["tasks"] == 1
    kinds = json.loads(vlaeval(site, "list", "policies", "--json"))
    assert {"kind": "walk", "what": "walks towards the goal"} in kinds
    protocols = json.loads(vlaeval(site, "list", "protocols", "--json"))
    assert "point-reach@1" in {row["protocol"] for row in protocols}


def test_the_pages_commands_run(site, tmp_path):
    """Two episodes of two arms are paired by their scenes, and can be certified."""
    (block,) = re.findall(r"```sh\n(pip.*?)```", PAGE, flags=re.DOTALL)
    _, listing, run, certify = [shlex.split(line)[1:] for line in block.splitlines()]
    assert "a point on a line" in vlaeval(site, *listing)
    out = tmp_path / "point"
    run, certify = (
        [out if part == "runs/point" else part for part in line] for line in (run, certify)
    )
    vlaeval(site, *run, "--set", "blocks.0.init_states=[10,19]")
    vlaeval(site, *certify, codes=(EXIT_INCONCLUSIVE,))
    certificate = json.loads((out / "certificate.json").read_text())
    counts = certificate["comparison"]
    assert {cell: counts[cell] for cell in ("n11", "n10", "n01", "n00")} == {
        "n11": 1,
        "n10": 0,
        "n01": 1,
        "n00": 0,
    }  # fmt: skip, the slow one arrives from the nearest start only
    assert certificate["verdict"] == "inconclusive"


@pytest.mark.parametrize("name", ["point_suite/env.py", "point_suite/__init__.py"])
def test_the_page_shows_the_example(name):
    """Code on the page is the example's own."""
    assert f"```python\n{(EXAMPLE / name).read_text().rstrip()}\n```" in PAGE


def test_the_page_shows_the_entry_points():
    """The three groups, as the example's pyproject has them."""
    shown = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)[0]
    assert shown in (EXAMPLE / "pyproject.toml").read_text()
    assert shown.count("[project.entry-points.") == 3
