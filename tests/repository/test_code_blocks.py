"""Python on the pages parses, imports what exists, and calls our functions with arguments that they take.

TOML and JSON blocks parse too. What the blocks do is tested beside their subjects; commands are in test_commands.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = ("vla_eval", "vla_eval_envs", "vla_eval_policies", "vla_eval_protocols")


def blocks(language: str) -> list[tuple[str, str]]:
    """Return page and text of every block of a language."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    return [
        (page.name, textwrap.dedent(text))
        for page in PAGES
        for _, text in re.findall(pattern, page.read_text(), flags=re.DOTALL | re.MULTILINE)
    ]


def faults(text: str) -> list[str]:
    """Return what is wrong with a block of Python: our names that do not exist, arguments not taken."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            module = importlib.import_module(node.module)
            found += [f"{node.module}.{a.name}" for a in node.names if not hasattr(module, a.name)]
        elif isinstance(node, ast.Attribute) and _name(node.value) == "vla_eval":
            found += [] if hasattr(importlib.import_module("vla_eval"), node.attr) else [node.attr]
        elif isinstance(node, ast.Call) and (_name(node.func) or "").startswith("vla_eval."):
            found += _refused(node)
    return found


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        inner = _name(node.value)
        return f"{inner}.{node.attr}" if inner else None
    return node.id if isinstance(node, ast.Name) else None


def _refused(call: ast.Call) -> list[str]:
    function = getattr(
        importlib.import_module("vla_eval"), _name(call.func).partition(".")[2], None
    )
    if function is None:
        return []
    given = {word.arg: None for word in call.keywords if word.arg}
    try:
        inspect.signature(function).bind_partial(*call.args, **given)
    except TypeError as error:
        return [f"{_name(call.func)}: {error}"]
    return []


PYTHON = blocks("python")


@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[f"{page}-{i}" for i, (page, _) in enumerate(PYTHON)])  # fmt: skip
def test_python_of_the_pages_fits_the_code(page, text):
    """A reader who copies it meets no name and no argument that is gone."""
    if page in {"tasks.md", "bring-your-environment.md"}:
        pytest.importorskip("mujoco", reason="imports the environments")
    assert faults(text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("import vla_eval\nvla_eval.evaluat(1)", "evaluat"),
        ("from vla_eval import Polcy", "vla_eval.Polcy"),
        ("import vla_eval\nvla_eval.evaluate(p, 'x', folder='y')", "vla_eval.evaluate: got an unexpected keyword argument 'folder'"),
    ],
)  # fmt: skip
def test_a_wrong_block_would_be_noticed(text, fault):
    """A misspelt name and an argument that the function does not take."""
    assert fault in faults(text)


def test_toml_and_json_of_the_pages_parse():
    """Protocols, recipes and entry points can be copied."""
    found = blocks("toml") + blocks("json")
    assert len(found) > 5
    for _, text in blocks("toml"):
        tomllib.loads(text)
    for _, text in blocks("json"):
        json.loads(text if text.startswith(("{", "[")) else f"{{{text}}}")  # or a part of an object
