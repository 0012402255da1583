"""The installed wheel, without a checkout, does what the README's first minutes promise."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'so101'")
pytest.importorskip("hatchling", reason="builds the wheel")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def vlaeval(tmp_path_factory):
    """A function that runs `vlaeval` of a new environment in an empty folder.

    The environment holds the wheel; its dependencies are those of this one, and nothing of the checkout.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, folder], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # The .pth files in there, one of which names the checkout, are not read: it is no site folder here.
    others = [
        folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")
    ]
    (site / "dependencies.pth").write_text("\n".join(others))
    (entry,) = [line for path in site.glob("*.dist-info/entry_points.txt")
                for line in path.read_text().splitlines() if line.startswith("vlaeval = ")]  # fmt: skip
    module, _, function = entry.partition(" = ")[2].partition(":")
    script = folder / "env" / "bin" / "vlaeval"
    # As installers write it: worker processes import it too.
    call = f"if __name__ == '__main__':\n    raise SystemExit({module}.{function}())\n"
    script.write_text(f"#!{python}\nimport {module}\n{call}")
    script.chmod(0o755)
    empty = folder / "empty"
    empty.mkdir()
    kept = {"PATH": f"{script.parent}:/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": "."}

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            ["vlaeval", *words],
            cwd=empty,
            env=kept | {name: os.environ[name] for name in ("MUJOCO_GL",) if name in os.environ},
            executable=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    run.folder, run.python, run.site = empty, python, site
    return run


def test_it_is_the_wheel_that_runs(vlaeval):
    """No module comes from the checkout; types, weights, protocols and templates are in the wheel."""
    code = (
        "import vla_eval, vla_eval_envs, vla_eval_policies, vla_eval_protocols, vlaeval_launcher;"
        "print(*(m.__file__ for m in (vla_eval, vla_eval_envs, vla_eval_policies, vla_eval_protocols, vlaeval_launcher)))"
    )
    done = subprocess.run(
        [vlaeval.python, "-c", code], cwd=vlaeval.folder, env={}, capture_output=True, text=True, check=True
    )  # fmt: skip
    files = done.stdout.split()
    assert len(files) == 5
    assert [file for file in files if not file.startswith(str(vlaeval.site))] == []
    assert str(ROOT) not in done.stdout
    assert (vlaeval.site / "vla_eval" / "py.typed").is_file()
    assert list(vlaeval.site.glob("vla_eval_suite-*.dist-info/licenses/LICENSE"))


def test_the_first_minutes_of_the_readme(vlaeval):
    """A comparison of two scripted policies, its report, its certificate, its verification and a page of it."""
    assert "so101-quickstart" in vlaeval("list", "protocols")
    assert "expert" in vlaeval("list", "policies")
    assert "expert" in vlaeval("quickstart", "--scripted", "--workers", "1")
    report = json.loads(vlaeval("report", "runs/scripted", "--json"))
    assert report["arms"]["expert"]["n"] == 30
    vlaeval("certify", "runs/scripted", "--candidate", "impaired", "--reference", "expert", code=1)
    run = "runs/scripted"
    said = vlaeval("verify", f"{run}/certificate.json", run, "--replay", "2")
    assert "2" in said
    vlaeval("view", run, "--export", "seen")
    assert (vlaeval.folder / "seen" / "index.html").is_file()
    vlaeval("replay", run, "so101/PickPlace/i0/e0/p0", "--arm", "expert", "--video", "episode.mp4")
    assert (vlaeval.folder / "episode.mp4").stat().st_size > 10_000


def test_the_policy_of_the_readme(vlaeval):
    """The README's own policy and command, with fewer initial states."""
    policy = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)[0]
    (vlaeval.folder / "mine.py").write_text(policy)
    (line,) = re.findall(
        r"^PYTHONPATH=. vlaeval (run .*mine:Factory.*)$", README, flags=re.MULTILINE
    )
    said = vlaeval(*shlex.split(line), "--set", "blocks.0.init_states.count=2", "--workers", "1")
    assert re.search(r"stay +0/2", said)
    assert re.search(r"expert +2/2", said)
