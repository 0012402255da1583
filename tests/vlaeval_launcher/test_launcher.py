"""The launcher refuses to run where `vla_eval` may not be ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def launch(*arguments: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    if first_on_path is not None:
        environment["PYTHONPATH"] = str(first_on_path)
    return subprocess.run(
        [sys.executable, *(arguments or ("-m", "vlaeval_launcher", "--help"))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def foreign_distribution(tmp_path: Path) -> Path:
    info = tmp_path / "vla_eval-0.3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vla-eval\nVersion: 0.3.1\n")
    return tmp_path


@pytest.mark.long
def test_help_runs_where_nothing_collides():
    """Without a collision the launcher hands over to the command line."""
    done = launch()
    assert done.returncode == 0, done.stderr
    assert "refusing" not in done.stderr


def test_refuses_beside_the_foreign_distribution(foreign_distribution: Path):
    """An installed `vla-eval` stops it with code 4, a reason and the repair, all on stderr."""
    done = launch(first_on_path=foreign_distribution)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "vla-eval 0.3.1" in done.stderr
    assert "pip uninstall vla-eval" in done.stderr
    assert "pip install --force-reinstall --no-deps vla-eval-suite" in done.stderr


@pytest.mark.long
def test_our_own_distribution_is_not_taken_for_the_foreign_one(tmp_path: Path):
    """`vla-eval-suite` begins with the foreign name and still does not collide."""
    info = tmp_path / "vla_eval_suite-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vla-eval-suite\nVersion: 0.1.0\n")
    assert launch(first_on_path=tmp_path).returncode == 0


def test_refuses_another_package_of_that_name_without_importing_it(tmp_path: Path):
    """A `vla_eval` found first that is not the launcher's neighbour is named, and never run."""
    package = tmp_path / "vla_eval"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('was imported')\n")
    done = launch(first_on_path=tmp_path)
    assert done.returncode == 4
    assert str(package) in done.stderr
    assert "was imported" not in done.stderr


def test_refuses_what_is_left_after_the_foreign_one_was_removed(tmp_path: Path):
    """A `vla_eval` folder without `__init__.py`, as an uninstall leaves behind, is refused."""
    (tmp_path / "vlaeval_launcher").symlink_to(ROOT / "vlaeval_launcher")
    (tmp_path / "vla_eval").mkdir()
    program = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import vlaeval_launcher; sys.exit(vlaeval_launcher.main())"
    )
    done = launch("-S", "-c", program)
    assert done.returncode == 4
    assert "missing or incomplete" in done.stderr


def test_collision_answers_the_doctor(foreign_distribution: Path):
    """`collision()` is None here, and a paragraph where the foreign distribution is installed."""
    program = "import vlaeval_launcher; print(vlaeval_launcher.collision())"
    assert launch("-c", program).stdout.strip() == "None"
    with_foreign = launch("-c", program, first_on_path=foreign_distribution)
    assert with_foreign.returncode == 0
    assert "separate environments" in with_foreign.stdout


def test_garbage_is_searched_as_usual_after_the_imports():
    """The first search comes late, and the second no later than in any other program."""
    program = """
import gc
from vlaeval_launcher import _search_garbage_later
usual, kept = gc.get_threshold(), []
_search_garbage_later()
searches = lambda: sum(generation["collections"] for generation in gc.get_stats())
before = searches()
kept += [[] for _ in range(200_000)]
assert searches() == before, "as many as imports make"
kept += [[] for _ in range(200_000)]
assert gc.get_threshold() == usual
assert searches() > before + 100
"""
    done = launch("-c", program)
    assert done.returncode == 0, done.stderr
