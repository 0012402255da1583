"""Tools of other packages: found by entry point, refused in a sentence, and named nowhere in the core."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from vla_eval import tools
from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.recording.writer import DATASET_WRITER
from vla_eval.tools import POLICY_SERVER, TRAINER, load_tool

ROOT = Path(__file__).parents[1]
ROOMS = re.compile(r"\bvla_eval_(envs|policies|protocols)\b")


def strings_naming_rooms(source: str) -> list[str]:
    """Return the strings of a module that name a room.

    A string that is a statement of its own is a docstring: of a module, a class, a function or an
    attribute. Those are for people and may name whatever helps; every other string is for the program.
    """
    tree = ast.parse(source)
    for_people = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in for_people
        and ROOMS.search(node.value)
    ]


@pytest.mark.long
@pytest.mark.parametrize("package", ["vla_eval", "vlaeval_launcher"])
def test_no_string_of_the_core_names_a_room(package: str):
    """What import-linter cannot see: a module named by a string, to be imported later."""
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / package).rglob("*.py")
        if (names := strings_naming_rooms(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('HOME = "vla_eval_policies.lerobot.writer:Writer"', 1),
        ('import_module(f"vla_eval_envs.{name}")', 1),
        ('def f():\n    """Text."""\n    return "vla_eval_protocols"', 1),
        ('"""As vla_eval_envs:so101/PickPlace-v0 is."""', 0),
        ('class A:\n    id: str\n    """For example vla_eval_envs:so101/PickPlace-v0."""', 0),
        ('GROUP = "vla_eval.tools"', 0),
    ],
)
def test_the_search_finds_strings_and_passes_over_docstrings(source: str, count: int):
    """A string that the program uses is found, wherever it stands; text for people is not."""
    assert len(strings_naming_rooms(source)) == count


@pytest.mark.parametrize("tool", [DATASET_WRITER, POLICY_SERVER, TRAINER])
def test_every_tool_is_offered(tool):
    """The package brings one of each."""
    assert callable(load_tool(tool))


@pytest.mark.long
def test_looking_for_tools_loads_nothing_heavy():
    """A tool says what is missing when it is used; to find it takes no extra."""
    program = (
        "import sys\n"
        "from vla_eval.recording.writer import DATASET_WRITER\n"
        "from vla_eval.tools import POLICY_SERVER, TRAINER, load_tool\n"
        "[load_tool(tool) for tool in (DATASET_WRITER, POLICY_SERVER, TRAINER)]\n"
        "print(*sorted(set(sys.modules) & {'torch', 'lerobot', 'websockets', 'safetensors'}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def offering(*modules: str):
    def found(*, group: str, name: str) -> list[EntryPoint]:
        return [EntryPoint(name, f"{module}:tool", group) for module in modules]

    return found


def test_a_tool_that_nobody_offers(monkeypatch):
    """One sentence says which, and what to run."""
    monkeypatch.setattr(tools, "entry_points", offering())
    with pytest.raises(UsageError, match=r"no installed package offers a trainer .*; run: .+"):
        load_tool(TRAINER)


def test_a_tool_that_two_packages_offer(monkeypatch):
    """Nobody could say which one runs."""
    monkeypatch.setattr(tools, "entry_points", offering("a", "b"))
    with pytest.raises(UsageError, match=r"two installed packages .*'a:tool' and 'b:tool'"):
        load_tool(DATASET_WRITER)


@pytest.mark.parametrize(
    "arguments",
    [
        ["serve", "random"],
        ["train", "recipe.toml", "--out", "run"],
        ["train", "--base", "lerobot:x", "--out", "run"],
    ],
)
def test_the_verbs_say_it(monkeypatch, capsys, arguments):
    """Exit code 4 and one sentence."""
    monkeypatch.setattr(tools, "entry_points", offering())
    assert main(arguments) == 4
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no installed package offers a ")
    assert len(captured.err.strip().splitlines()) == 1
