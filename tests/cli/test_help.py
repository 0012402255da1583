"""Help pages: 80 columns, examples that paste, no default where there is none."""

from __future__ import annotations

import functools
import re
import shlex

import pytest

from vla_eval import cli

PAGES = [*([verb] for verb in cli._VERBS), *(["stats", table] for table in ("paired", "clustered"))]


@pytest.fixture
def page(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def show(*arguments: str) -> str:
        assert cli.main([*arguments, "--help"]) == 0
        return capsys.readouterr().out

    return show


def examples(page: str) -> list[str]:
    """The commands behind `Example:`, over as many lines as end with a backslash."""
    return re.findall(r"^Example: ((?:.*\\\n)*.*)$", page, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], *PAGES], ids=" ".join)
def test_pages_fit_a_terminal_of_80_columns(page, arguments):
    """Prose, usage and tables; and what has no default has none on the page."""
    shown = page(*arguments)
    assert max(map(len, shown.splitlines())) <= 80
    assert "None" not in shown
    assert "(default: )" not in shown


@pytest.mark.parametrize("arguments", PAGES, ids=" ".join)
def test_every_example_pastes(page, arguments, monkeypatch):
    """A shell and the command line take each example as it stands; nothing is run."""
    shown = page(*arguments)
    monkeypatch.setattr(
        cli,
        "_VERBS",
        {name: functools.wraps(verb)(lambda *_, **__: 0) for name, verb in cli._VERBS.items()},
    )
    commands = examples(shown)
    assert commands or arguments == ["stats", "paired"]
    for command in commands:
        program, *words = shlex.split(command.replace("\\\n", " "))
        assert program == "vlaeval"
        assert cli.main(words) == 0


def test_a_broken_example_does_not_paste():
    """Without the backslash the second line is lost."""
    whole = "Example: vlaeval run p \\\n    --out here\n"
    assert examples(whole) == ["vlaeval run p \\\n    --out here"]
    assert examples(whole.replace("\\", "")) == ["vlaeval run p "]


def test_an_argument_is_one_paragraph(page):
    """Where a docstring breaks a line, the page does not."""
    assert "worst-repeat: a state lost in any repeat is lost, and won only\n" in page(
        "stats", "clustered"
    )
    assert "it is copied into the run folder for verifiers" in " ".join(page("certify").split())
