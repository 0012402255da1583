"""What adding a thing costs: the lists of CONTRIBUTING.md are complete, and doing it takes no more."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vla_eval.catalog import find_suite

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CODE = ("vla_eval", "vlaeval_launcher", "envs", "policies", "plugins")


def listed(kind: str, name: str) -> list[str]:
    """Files that CONTRIBUTING.md lists for a new thing of a kind, with its name put in."""
    (section,) = re.findall(
        rf"^\*\*A {kind}\*\*(.*?)^\*\*A", CONTRIBUTING, flags=re.MULTILINE | re.DOTALL
    )
    files = re.findall(r"^\d\. `([^`]+)`", section, flags=re.MULTILINE)
    return [file.replace("NAME", name) for file in files]


def mentioning(pattern: str, *folders: str) -> set[str]:
    """Tracked files of some folders in which a pattern is found; claims of others are left out."""
    listing = ["git", "ls-files", "--", *folders]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {
        file
        for file in files.splitlines()
        if file.endswith((".py", ".json", ".toml"))
        and not file.startswith("vla_eval/audit/")
        and re.search(pattern, (ROOT / file).read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize(
    ("kind", "count"),
    [("task", 6), ("method", 5), ("policy kind", 5), ("protocol", 3), ("verb", 5)],
)
def test_the_lists_are_as_long_as_promised(kind, count):
    """At most six files for a task and five for anything else."""
    assert len(listed(kind, "some")) == count


@pytest.mark.parametrize("module", ["pick_place_either", "sorting", "stacking"])
def test_a_tasks_list_is_complete(module):
    """Code that names a task is what the list names; what evaluates or demonstrates it is no part of it."""
    (name,) = [
        task.name
        for task in find_suite("so101").tasks
        if task.entry_point == f"vla_eval_envs.so101.{module}:{task.name}"
    ]
    found = mentioning(rf"\b{name}(Expert)?\b|so101[./]{module}\b|\"{module}\"", *CODE)
    ours = {file for file in listed("task", module) if file.startswith(CODE)}
    uses = {"policies/vla_eval_policies/flow/checkpoints/trained_on.json"}
    assert found - uses == ours
    assert all((ROOT / file).is_file() for file in listed("task", module) if "tests/" not in file)


@pytest.mark.parametrize(
    ("module", "name"), [("mse", "Regression"), ("drift", "Drift"), ("meanflow", "MeanFlow")]
)
def test_a_methods_list_is_complete(module, name):
    """Code that names a method is its file; comments elsewhere may tell of it."""
    found = mentioning(rf"(?m)\"{module}\"|^(from|import) .*\b{name}\b|^class .*\({name}\b", *CODE)
    assert found == {file for file in listed("method", module) if file.startswith(CODE)}
    assert all((ROOT / file).is_file() for file in listed("method", module) if "tests/" not in file)


def test_the_other_lists_are_complete():
    """A policy kind, a protocol and a verb that are here are named where the lists say."""
    rooms = (*CODE, "protocols", "pyproject.toml")
    assert mentioning(r"\bHoldFactory\b", *rooms) == {
        file for file in listed("policy kind", "simple") if file.startswith(rooms)
    }
    assert mentioning(r"\blibero-smoke\b", *rooms) == {
        file for file in listed("protocol", "libero-smoke") if file.startswith(rooms)
    }
    assert mentioning(r"^def sweep\(|(?m:^from .*cli\.sweep import)", *rooms) <= {
        file for file in listed("verb", "sweep") if file.startswith(rooms)
    }


TASK = '''
"""Nudging: PickPlace with another instruction."""

from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.pick_place import PickPlace


class Nudging(PickPlace):
    """Another task."""

    task_description = "nudge the red block into the box"
    max_steps = 450
    score_rule = "as PickPlace"
    frozen = FrozenStates(name="nudging", seed=20270101, sha256="{sha256}")
'''
EXPERT = '''
"""Expert for so101/Nudging."""

from vla_eval_envs.so101.nudging import Nudging
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert


class NudgingExpert(PickPlaceExpert):
    """Puts the block into the box."""

    task = Nudging
'''
USE_TASK = """
import json, runpy, gymnasium, vla_eval_envs, doc_tables
from vla_eval.catalog import find_suite
from vla_eval.environment import make_env
from vla_eval_policies.experts import begin_episode, experts
from vla_eval_policies.experts.motion import PACES
task = find_suite("so101").task("Nudging")
env = make_env(task.env_id, {"image_size": 8})
info = env.start(seed=0, init_state=150)
expert = begin_episode("so101", "Nudging", env, pace=PACES["fast"], generator=None)
step = 0
while not info["is_success"] and step < task.max_steps:
    for action in expert.actions(step, 10):
        info = env.advance(action)[3]
    step += 10
print(json.dumps({
    "instruction": [task.instruction, info["task"]],
    "limit": [task.max_steps, gymnasium.spec("so101/Nudging-v0").max_episode_steps],
    "succeeds": bool(info["is_success"]),
    "tasks": [each.name for each in find_suite("so101").tasks],
    "in docs": "nudge the red block into the box | as PickPlace | 450 steps" in doc_tables.page("tasks.md"),
    "docs are old": doc_tables.page("tasks.md") != (doc_tables.DOCS / "tasks.md").read_text(),
}))
runpy.run_path(doc_tables.__file__, run_name="__main__")
"""
METHOD = '''
"""Half: regression that goes half of the way."""

from typing import ClassVar

from pydantic import Field as Option

from vla_eval_policies.methods.method import Preset
from vla_eval_policies.methods.mse import Regression


class Half(Regression):
    """``half``."""

    name: ClassVar[str] = "half"
    summary: ClassVar[str] = "regression that goes half of the way"
    presets: ClassVar[dict[str, Preset]] = {"published": Preset({"share": 0.5}, "nobody, never")}

    share: float = Option(default=0.25, gt=0.0)
    """How much of the way a sample goes, of the whole."""

    def sample(self, field, draw, nfe):
        """A part of the mean."""
        return self.share * super().sample(field, draw, nfe)
'''
RECIPE = """
[data]
datasets = ["nothing"]
[method]
name = "half:published"
"""
USE_METHOD = """
import json, runpy, sys, doc_tables
from pathlib import Path
from vla_eval_policies.methods import METHODS
from vla_eval_policies.training.recipe import load_recipe
page = doc_tables.page("methods.md")
print(json.dumps({
    "method": load_recipe(Path(sys.argv[1])).make_method().share,
    "names": list(METHODS),
    "rows": [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `half")],
    "docs are old": page != (doc_tables.DOCS / "methods.md").read_text(),
}))
runpy.run_path(doc_tables.__file__, run_name="__main__")
"""


@pytest.fixture
def house(tmp_path) -> Path:
    """Copies of the rooms, of the pages and of what writes tables, to add things to."""
    heavy = shutil.ignore_patterns("*.safetensors", "__pycache__")
    for room in ("envs", "policies"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=heavy)
    for file in ("tools/doc_tables.py", "docs/tasks.md", "docs/methods.md"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def run(house: Path, *arguments: str) -> str:
    path = [*(str(house / room) for room in ("envs", "policies", "tools")), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_adding_a_task(house):
    """The task's files alone: it is listed, made, solved by its expert, and in the page's table."""
    pytest.importorskip("mujoco")
    task, states, expert, _, page, _ = (house / file for file in listed("task", "nudging"))
    task.write_text(TASK.format(sha256=""))
    expert.write_text(EXPERT)
    states.write_text(run(house, "-m", "vla_eval_envs.freeze", "nudging"))
    task.write_text(TASK.format(sha256=hashlib.sha256(states.read_bytes()).hexdigest()))
    found = json.loads(run(house, "-c", USE_TASK))
    assert found["instruction"] == ["nudge the red block into the box"] * 2
    assert found["limit"] == [450, 450]
    assert found["succeeds"]
    assert found["tasks"] == [*(task.name for task in find_suite("so101").tasks), "Nudging"]
    assert found["in docs"]
    assert found["docs are old"], "the page's own test says so"
    assert "nudge the red block" in page.read_text()


def test_adding_a_method(house):
    """The method's files alone: recipes, presets and the page's three tables know it."""
    pytest.importorskip("torch")
    method, _, recipe, page, _ = (house / file for file in listed("method", "half"))
    method.write_text(METHOD)
    recipe.parent.mkdir(parents=True, exist_ok=True)
    recipe.write_text(RECIPE)
    found = json.loads(run(house, "-c", USE_METHOD, str(recipe)))
    assert found["method"] == 0.5
    assert "half" in found["names"]
    assert found["rows"] == ["| `half`", "| `half`", "| `half:published`"]
    assert found["docs are old"], "the page's own test says so"
    assert "`half:published`" in page.read_text()
