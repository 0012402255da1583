"""The minimal packages of docs/extend.md and of bring-your-environment.md: built as wheels, installed elsewhere, listed and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTEND = ROOT / "examples" / "extend"
PAGE = (ROOT / "docs" / "extend.md").read_text()
ENVIRONMENT = (ROOT / "docs" / "bring-your-environment.md").read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the packages, as `pip install --target` would leave them."""
    pytest.importorskip("setuptools", reason="builds the wheels")
    folder = tmp_path_factory.mktemp("extend")
    for package in (ROOT / "examples" / "plugin", *sorted(EXTEND.iterdir())):
        source, wheels = folder / package.name, folder / f"wheel-{package.name}"
        for path in package.rglob("*"):
            if path.is_file() and path.suffix in (".py", ".toml", ".json"):
                copy = source / path.relative_to(package)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
        build = f"import setuptools.build_meta as b; b.build_wheel({str(wheels)!r})"
        subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
        (wheel,) = wheels.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def vlaeval(site: Path, *words: str) -> str:
    """Return what a command prints, in a process that has the packages."""
    command = "import sys; from vla_eval.cli import main; sys.exit(main(sys.argv[1:]))"
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    script = site.parent / "vlaeval.py"
    script.write_text(f"if __name__ == '__main__':\n    {command}\n")
    done = subprocess.run(
        [sys.executable, script, *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)  # processes import simulators, on cores that are shared
def test_the_packages_are_found_and_run(site, tmp_path):
    """The policy and the protocol are listed, the lock holds, and the run on the suite succeeds."""
    kinds = json.loads(vlaeval(site, "list", "policies", "--json"))
    assert {"kind": "steady", "what": "always the same action"} in kinds
    (row,) = [each for each in json.loads(vlaeval(site, "list", "protocols", "--json"))
              if each["protocol"] == "point-near@1"]  # fmt: skip
    assert row["episodes"] == 2
    file = str(EXTEND / "protocol" / "point_protocols" / "point-near.toml")
    assert "point-near@1, released, 2 episodes" in vlaeval(site, "protocol", "check", file)
    out = str(tmp_path / "run")
    lines = tmp_path / "lines.jsonl"
    said = vlaeval(site, "run", "point-near", "--policy", "steady?value=0.5", "--out", out, "--workers", "1", "--json", "--log", f"lines:{lines}")  # fmt: skip
    assert json.loads(said)["arms"]["policy"]["successes"] == 2
    *points, tables = [json.loads(line) for line in lines.read_text().splitlines()]
    assert points[-1]["step"] == 2
    assert points[-1]["eval/point/success_rate_low"] < points[-1]["eval/point/success_rate"] == 1.0
    assert tables["tasks"][0][:3] == ["task", "successes", "n"]
    assert "sent to lines" in vlaeval(site, "log", out, "--to", f"lines:{tmp_path / 'again.jsonl'}")
    again = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().splitlines()]
    assert again[0] == points[-1], "the same run has the same identity and numbers"


@pytest.mark.slow
@pytest.mark.timeout(900)  # processes import simulators, on cores that are shared
def test_fetch_of_gymnasium_robotics_is_a_suite(site, tmp_path):
    """Nothing is missing in the adapter of docs/bring-your-environment.md, and pairs are certified by its scenes."""
    pytest.importorskip("gymnasium_robotics", reason="is another project's package")
    for task in ("Reach", "Push", "PickAndPlace"):
        found = vlaeval(site, "doctor", "--env", f"fetch_suite:fetch/{task}-v0")
        assert "FAIL" not in found
    assert f"```\n$ vlaeval doctor --env fetch_suite:fetch/Push-v0\n{vlaeval(site, 'doctor', '--env', 'fetch_suite:fetch/Push-v0')}" in ENVIRONMENT  # fmt: skip
    out = str(tmp_path / "run")
    arms = ["--arm", "quick=to-goal", "--arm", "slow=to-goal?gain=1"]
    said = vlaeval(site, "run", "fetch-reach", *arms, "--out", out, "--workers", "1", "--json")
    found = json.loads(said)
    assert found["arms"]["quick"]["successes"] == 20
    assert found["arms"]["slow"]["successes"] < 20
    assert "vlaeval view" not in vlaeval(
        site, "replay", out, "fetch/Reach/i100/e0/p0", "--arm", "quick"
    )


@pytest.mark.parametrize(
    "name",
    ["policy/steady_policy.py", "policy/pyproject.toml", "protocol/pyproject.toml", "protocol/point_protocols/point-near.toml", "sink/lines_sink.py", "sink/pyproject.toml", "environment/fetch_suite/env.py"],
)  # fmt: skip
def test_the_pages_show_the_files(name):
    """Each file of the pages is the example's own."""
    assert f"\n{(EXTEND / name).read_text().rstrip()}\n```" in PAGE + ENVIRONMENT


def test_the_policy_keeps_the_contract(monkeypatch):
    """`check_policy` finds no fault in it."""
    import vla_eval

    monkeypatch.syspath_prepend(str(EXTEND / "policy"))
    from steady_policy import SteadyFactory

    env = vla_eval.make_env("fakes:fakes/Point-v0", {})
    vla_eval.check_policy(SteadyFactory()(None, {"value": "0.5"}), env)
