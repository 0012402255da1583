"""A GPU session fits its time, goes on where it was stopped, and every step reads its options."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import gpu_session
from gpu_session import Step

from vla_eval.errors import UsageError

BENCHMARKS = Path(gpu_session.__file__).parent


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Stands in for the folder of benchmarks: scripts that count their calls."""
    monkeypatch.setattr(gpu_session, "HERE", tmp_path)

    def make(name: str, last: str, minutes: float = 1) -> Step:
        text = (
            f"import sys, time\nopen({str(tmp_path / name)!r} + '.calls', 'a').write('x')\n{last}\n"
        )
        (tmp_path / f"{name}.py").write_text(text)
        return Step(name, "?", minutes, (f"{name}.py",), (f"{name}.py",))

    return make


def calls(tmp_path: Path, name: str) -> int:
    return len((tmp_path / f"{name}.calls").read_text())


def test_the_session_fits_into_25_minutes():
    """The limits of the steps add up to no more."""
    assert sum(step.minutes for step in gpu_session.STEPS) <= 25


@pytest.mark.long
def test_a_step_that_ended_well_is_not_run_again(scripts, tmp_path):
    """What failed, or took too long, is; and the session says so of each."""
    steps = (
        scripts("good", ""),
        scripts("bad", "sys.exit(3)"),
        scripts("long", "time.sleep(60)", minutes=0.02),
    )
    folder = tmp_path / "results"
    folder.mkdir()
    for _ in range(2):
        session = gpu_session.go_through(steps, folder, rehearse=False, again=False)
    states = {name: found["state"] for name, found in session["steps"].items()}
    assert states == {"good": "done", "bad": "exit code 3", "long": "out of time"}
    assert [calls(tmp_path, step.name) for step in steps] == [1, 2, 2]
    assert json.loads((folder / "session.json").read_text()) == session
    gpu_session.go_through(steps[:1], folder, rehearse=False, again=True)
    assert calls(tmp_path, "good") == 2


def test_a_rehearsal_is_no_session(scripts, tmp_path):
    """The two never share a folder, so no time of a tiny model is taken for a GPU's."""
    gpu_session.go_through((scripts("good", ""),), tmp_path, rehearse=True, again=False)
    with pytest.raises(UsageError, match="holds a rehearsal; use another folder"):
        gpu_session.go_through((), tmp_path, rehearse=False, again=False)


@pytest.mark.parametrize("step", gpu_session.STEPS, ids=lambda step: step.name)
@pytest.mark.parametrize("kind", ["gpu", "rehearsal"])
def test_every_step_names_options_that_its_script_has(step, kind):
    """Each flag is in the text of the script, or the step is a verb of the command."""
    script, *options = getattr(step, kind)
    if script == "vlaeval":
        return
    text = (BENCHMARKS / script).read_text()
    assert [flag for flag in options if flag.startswith("--") and f'"{flag}"' not in text] == []
