"""LIBERO's catalogue: complete, in LIBERO's own order, and free of LIBERO."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import vla_eval_envs
from vla_eval.errors import UsageError
from vla_eval_envs.libero.catalog import instruction_of, suites, task_names

HEAVY = ("mujoco", "robosuite", "libero", "torch", "matplotlib")


def libero_file(relative: str) -> Path:
    """Return a file of hf-libero, found without importing it; skip without hf-libero."""
    try:
        path = Path(str(distribution("hf-libero").locate_file("libero/libero"))) / relative
    except PackageNotFoundError:
        pytest.skip("hf-libero is not installed")
    return path


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_five_suites_with_130_tasks():
    """The five suites hold 10, 10, 10, 10 and 90 tasks, named by their index."""
    sizes = {suite.name: len(suite.tasks) for suite in suites()}
    assert sizes == {
        "libero_spatial": 10,
        "libero_object": 10,
        "libero_goal": 10,
        "libero_10": 10,
        "libero_90": 90,
    }
    for suite in suites():
        assert [task.name for task in suite.tasks] == [str(i) for i in range(len(suite.tasks))]


def test_time_limits_and_initial_states():
    """The registered limits are LeRobot's, and every task has 50 initial states."""
    limits = {suite.name: {task.max_steps for task in suite.tasks} for suite in suites()}
    assert limits == {
        "libero_spatial": {280},
        "libero_object": {280},
        "libero_goal": {300},
        "libero_10": {520},
        "libero_90": {400},
    }
    assert {task.init_states for suite in suites() for task in suite.tasks} == {50}


def test_every_task_is_registered():
    """Importing the package registers each env_id with its limit and its constructor arguments."""
    assert vla_eval_envs.__all__ == []
    for suite in suites():
        for task in suite.tasks:
            spec = gymnasium.spec(task.env_id.partition(":")[2])
            assert spec.max_episode_steps == task.max_steps
            assert spec.kwargs == {"suite": suite.name, "task": int(task.name)}
    assert suites()[0].task("4").env_id == "vla_eval_envs:libero/spatial-4-v0"


@pytest.mark.parametrize("package", HEAVY)
def test_catalogue_imports_nothing_heavy(package: str):
    """Looking up the catalogue and registering loads no simulator and no PyTorch."""
    code = f"import vla_eval_envs, sys; print('{package}' in sys.modules)"
    assert run_python(code) == "False"


def test_heavy_import_would_be_noticed():
    """The check above can fail: it sees a package that is imported."""
    assert run_python("import json, sys; print('json' in sys.modules)") == "True"


def test_names_equal_those_of_hf_libero():
    """The static list equals hf-libero's own map, in order."""
    source = libero_file("benchmark/libero_suite_task_map.py").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(source, "libero_suite_task_map", "exec"), names)  # noqa: S102  a literal dict
    for suite in suites():
        assert list(task_names(suite.name)) == names["libero_task_map"][suite.name]


def test_instructions_equal_those_of_hf_libero():
    """Instructions equal those that LIBERO's benchmark derives, by its own function."""
    source = libero_file("benchmark/__init__.py").read_text(encoding="utf-8")
    wanted = "grab_language_from_filename"
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", "") == wanted]
    names: dict[str, Any] = {}
    exec(compile(tree, "benchmark", "exec"), names)  # noqa: S102  the one function, no imports
    for suite in suites():
        for task, name in zip(suite.tasks, task_names(suite.name), strict=True):
            assert task.instruction == instruction_of(name) == names[wanted](f"{name}.bddl")


def test_every_task_has_its_files():
    """hf-libero holds a scene description and initial states for every task of the catalogue."""
    for suite in suites():
        for name in task_names(suite.name):
            assert libero_file(f"bddl_files/{suite.name}/{name}.bddl").is_file()
            assert libero_file(f"init_files/{suite.name}/{name}.pruned_init").is_file()


def test_unknown_suite_names_the_nearest():
    """A misspelt suite is refused with the nearest name."""
    with pytest.raises(UsageError, match="libero_spatial"):
        task_names("libero_spacial")
