"""Mutants: each is tested against its own text, results outlive the command, and stale lists are found."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "tools" / "mutants"))

from bench import Bench, Fault
from figures import HEADING, Row, add_to_page
from results import Mutant, Result, Results, equivalents
from rooms import changed, files_of, rooms
from tests_of import Known

ROOT = Path(__file__).parents[3]
SOURCE = """LIMIT = 3


def double(x):
    return x + x


def unused(x):
    while x < LIMIT:
        x = x + 1
    return x


def half(x):
    return x / 2


def third(x):
    return x / 3


def table():
    return {"one": 1}


TABLE = table()
"""
TEST = """import os
import subprocess
import sys

import vla_eval.gate.sums as sums
from vla_eval.gate.sums import LIMIT, TABLE


def test_limit():
    assert LIMIT == 3


def test_table():
    assert TABLE["one"] == 1


def test_double():
    assert sums.double(3) == 6


def test_unused():
    assert sums.unused(2) == 3


def test_in_a_process_of_its_own():
    command = "import vla_eval.gate.sums as sums; print(sums.half(8))"
    assert subprocess.check_output([sys.executable, "-c", command], text=True) == "4.0\\n"


def test_in_a_fork():
    child = os.fork()
    if child == 0:
        os._exit(int(sums.third(9)))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
"""


@pytest.fixture
def repository(tmp_path):
    """A small repository with a module and its tests."""
    root = tmp_path / "repository"
    for name, text in {
        "vla_eval/__init__.py": "",
        "vla_eval/gate/__init__.py": "",
        "vla_eval/gate/sums.py": SOURCE,
        "tests/gate/test_sums.py": TEST,
        "pytest.ini": "[pytest]\nmarkers =\n    slow\n    long\naddopts = --import-mode=importlib\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)
    return root


def mutant(was: str, became: str) -> Mutant:
    line = next(at for at, text in enumerate(SOURCE.splitlines(), 1) if was in text)
    return Mutant("vla_eval/gate/sums.py", line, was, became, SOURCE.replace(was, became))


@pytest.mark.long
@pytest.mark.parametrize("collected", [True, False])
def test_each_mutant_meets_the_tests_that_call_its_function(repository, tmp_path, collected):
    """Equal sizes in one second are told apart; an endless loop ends; the copy is whole again after."""
    files = ["tests/gate/test_sums.py"]

    def tests_for(fault: Mutant) -> list[str]:
        function = known.function(fault.module, fault.line, files)
        return known.wanted(fault.module, function, files, 5)

    def outcome(fault: Mutant, wanted: list[str], processor_s: float = 20) -> int | None:
        function = known.function(fault.module, fault.line, files)
        return bench.trial(Fault(fault.module, function, fault.code), wanted, processor_s)["code"]

    with Bench(repository, tmp_path / "bench") as bench:
        known = Known(repository, tmp_path / "tests.json", long=False)
        bench.warm(known.learn(files, bench))
        if collected:
            bench.collect(files)
        outcomes = {}
        for became in ("return x - x", "return x * x", "return 2 * x", "return x + x"):
            fault = mutant("return x + x", became)
            wanted = tests_for(fault)
            assert wanted == ["tests/gate/test_sums.py::test_double"]
            outcomes[became] = outcome(fault, wanted)
        assert outcomes == {
            "return x - x": 1,
            "return x * x": 1,
            "return 2 * x": 0,
            "return x + x": 0,
        }
        for fault, test in (
            (mutant("x / 2", "x * 2"), "test_in_a_process_of_its_own"),
            (mutant("x / 3", "x * 3"), "test_in_a_fork"),
        ):
            wanted = tests_for(fault)
            assert wanted == [f"tests/gate/test_sums.py::{test}"]
            assert outcome(fault, wanted) == 1
        endless = mutant("x = x + 1", "x = x - 1")
        wanted = tests_for(endless)
        assert outcome(endless, wanted, 1) is None
        assert (tmp_path / "bench/tree/vla_eval/gate/sums.py").read_text() == SOURCE
        outside = known.function(endless.module, 1, files)
        every = known.wanted(endless.module, outside, files, 5)
        assert len(every) == 6, "those of files that import the module, too"
        called_by_an_import = mutant('"one": 1', '"one": 2')
        assert outcome(called_by_an_import, every) == 1
        assert outcome(mutant("LIMIT = 3", "LIMIT = 4"), every) == 1
        assert outcome(mutant("def double(x):", "def double(x, y):"), every) == 1


def test_changed_lines_are_those_since_the_branch_began(repository):
    """A line that was changed, one that was added; no line of other packages."""
    module = repository / "vla_eval/gate/sums.py"
    module.write_text(SOURCE.replace("LIMIT = 3", "LIMIT = 4") + "TWO = 2\n")
    (repository / "tests/gate/test_sums.py").write_text("")
    assert changed(repository, "main", 9).modules == ("vla_eval/gate/sums.py:1-1,27-27",)


def test_results_are_found_again_until_the_module_changes(tmp_path):
    """They are kept by the faulty text; a half line would end the command, so each is one write."""
    fault = mutant("x + x", "x - x")
    kept = Results(tmp_path / "results.jsonl")
    kept.add(Result(fault.name, "survived", "", "a", 1.0))
    kept.add(Result(fault.name, "noticed", "tests/a.py::test", "b", 1.0))
    again = Results(tmp_path / "results.jsonl")
    assert again.get(fault).outcome == "noticed"
    assert again.get(mutant("x + x", "x * x")) is None


def test_an_equivalent_mutant_is_named_by_its_lines(tmp_path):
    """Spaces do not count, every other character does."""
    listed = tmp_path / "equivalent.toml"
    entry = 'module = "vla_eval/gate/sums.py"\nwas = "x  + x"\nbecame = ["2 * x"]\nwhy = "a sum"\n'
    listed.write_text(f"[[equivalent]]\n{entry}")
    one, other = mutant("x + x", "2 * x"), mutant("x + x", "3 * x")
    assert equivalents(listed, [one, other]) == {one.name: "a sum"}


def test_no_equivalent_mutant_is_stale_or_without_a_reason():
    """What was is still a line of the module, so that a list of the past does not hide a fault."""
    text = (ROOT / "tools/mutants/equivalent.toml").read_text(encoding="utf-8")
    for entry in tomllib.loads(text).get("equivalent", []):
        module = " ".join((ROOT / entry["module"]).read_text(encoding="utf-8").split())
        assert " ".join(entry["was"].split()) in module, entry
        assert len(entry["why"]) > 20


def test_every_room_has_modules_and_no_module_has_two():
    """Names in rooms.toml stand for files that exist."""
    every = rooms(ROOT).values()
    modules = [module for room in every for module in room.modules]
    assert all(room.modules for room in every)
    assert len(modules) == len(set(modules)) > 200
    assert all((ROOT / name).exists() for room in every for name in room.tests)


def test_a_module_is_tested_where_its_tests_stand():
    """A room of the core, a module of the core itself, and an environment."""
    stats = rooms(ROOT)["stats"]
    assert "tests/stats/test_paired.py" in files_of(stats, "vla_eval/stats/paired.py", ROOT)
    assert "tests/test_episode.py" in files_of(stats, "vla_eval/episode.py", ROOT)
    files = files_of(stats, "envs/vla_eval_envs/so101/units.py", ROOT)
    assert files[0].startswith("tests/envs/so101/")


def test_the_section_replaces_itself_and_nothing_else(tmp_path):
    """The share counts what is not equivalent; a second writing leaves one section."""
    page = tmp_path / "page.md"
    page.write_text("# Robustness\n\ntorture\n")
    row = Row("stats", modules=1, target=95, equivalent=2)
    for outcome in ("noticed", "timed out", "noticed", "survived"):
        row.add(mutant("x + x", "x - x"), Result("a", outcome, "", "", 1.0))
    for seed in (1, 2):
        add_to_page(page, [row], f"Seed {seed}.")
    text = page.read_text()
    assert text.startswith("# Robustness\n\ntorture\n")
    assert text.count(HEADING) == 1
    assert "Seed 1" not in text
    assert "| stats | 1 | 6 | 2 | 2 | 1 | 1 | 75.0 % | 95 % |" in text
