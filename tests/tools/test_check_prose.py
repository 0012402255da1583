"""The check of prose finds every habit that it names, and leaves clean text and code alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("check_prose", ROOT / "tools" / "check_prose.py")
check_prose = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_prose)


def offences(folder: Path, name: str, text: str) -> list[str]:
    file = folder / name
    file.write_text(text)
    return [line.removeprefix(f"{file}:").partition(":")[0] for line in check_prose.offences(file)]


@pytest.mark.parametrize(
    "line",
    [
        "Rendering is dear.",
        "It was mended later.",
        "Whatever many ask at once.",
        "Nobody reads it, whoever writes it.",
        "This is said in the report.",
        "It shall be written.",
        "The other is done likewise.",
        "The end thereof.",
    ],
)
def test_a_habit_is_found_in_pages_docstrings_and_comments(tmp_path, line):
    """Each habit, wherever people read it."""
    assert offences(tmp_path, "page.md", f"# Title\n\n{line}\n")[0] == "3"
    assert offences(tmp_path, "module.py", f'"""Title.\n\n{line}\n"""\n')[0] == "3"
    assert offences(tmp_path, "module.py", f"x = 1  # {line}\n")[0] == "1"


def test_a_docstring_without_its_noun(tmp_path):
    """Only a docstring that begins with "Of"; not a sentence inside."""
    assert offences(tmp_path, "module.py", 'x: int\n"""Of the arm, in m."""\n') == ["2"]
    assert offences(tmp_path, "module.py", 'x: int\n"""Length.\n\nOf the arm.\n"""\n') == []


def test_long_sentences(tmp_path):
    """46 words are too many, 45 are not; lines of a paragraph belong together, items do not."""
    words = ["word"] * 45
    assert offences(tmp_path, "page.md", f"{' '.join(words)}.\n") == []
    assert offences(tmp_path, "page.md", f"{' '.join(words)}\nmore.\n") == ["1"]
    assert (
        offences(tmp_path, "page.md", f"- {' '.join(words[:30])}\n- {' '.join(words[:30])}.\n")
        == []
    )


def test_code_is_left_alone(tmp_path):
    """Code blocks, code in a line, tables and strings are no prose."""
    page = "```\nnobody\n```\n\n    nobody\n\nCall `nobody`.\n\n| nobody |\n"
    assert offences(tmp_path, "page.md", page) == []
    assert offences(tmp_path, "module.py", 'print("nobody")\n') == []


def test_the_command(tmp_path, capsys):
    """Exit status and message: file, line and what to write instead."""
    file = tmp_path / "page.md"
    file.write_text("It is dear.\n")
    assert check_prose.main([str(file)]) == 1
    assert capsys.readouterr().err == f'{file}:1: write "expensive"\n'
    file.write_text("It is expensive.\n")
    assert check_prose.main([str(file)]) == 0
