"""Every ``vlaeval`` command that a page tells the reader to type is one that the command line takes.

The commands that need neither a run nor a simulator are run; of the others, the verb, its flags and
their values are parsed, and nothing is run.
"""

from __future__ import annotations

import functools
import re
import shlex
from pathlib import Path

import pytest

from vla_eval import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = ("list", "audit", "check", "verify docs", "report docs", "plan so101", "stats", "power --")
"""Beginnings of commands that are run as they stand."""
ELSEWHERE = ("bring-your-environment.md", "extend.md")
"""Pages whose commands speak of a package that is not installed here."""
COMMAND = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?vlaeval (?P<words>.+)$")


def commands() -> list[tuple[str, str]]:
    """Return the page and the words of every command in a code block; lines that continue are joined."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"^( *)```[^\n]*\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)
        lines = [line for _, block in blocks for line in block.splitlines()]
        lines += [line for line in text.splitlines() if line.startswith("    ")]
        matches = {match["words"]: page.name for line in lines if (match := COMMAND.match(line))}
        found += [(name, words) for words, name in matches.items()]
    return found


COMMANDS = commands()


def test_there_are_commands():
    """The pages do hold commands, README's first ones among them."""
    assert len(COMMANDS) > 30
    assert ("README.md", "report runs/parity                               # rates, paired tables, where the time went") in COMMANDS  # fmt: skip


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=lambda text: text[:60])
def test_a_command_of_the_pages_is_taken(page, words, monkeypatch, capsys):
    """It is run, where that needs no simulator, and otherwise parsed."""
    arguments = shlex.split(words.partition(" > ")[0], comments=True)
    if any(character in arguments for character in ("…", "...")) or arguments[0] == "VERB":
        pytest.skip("a pattern, and no command")
    if words.startswith(RUN) and "runs/" not in words and page not in ELSEWHERE:
        monkeypatch.chdir(ROOT)
        assert cli.main(arguments) in (0, 1, 6), capsys.readouterr().err
        return
    stub_verbs(monkeypatch)
    assert cli.main(arguments) == 0, f"{page}: vlaeval {words}: {capsys.readouterr().err}"


def stub_verbs(monkeypatch) -> None:
    """Let every verb take what it takes, and do nothing."""
    stubs = {
        name: functools.wraps(verb)(lambda *_args, **_options: 0)
        for name, verb in cli._VERBS.items()
    }
    monkeypatch.setattr(cli, "_VERBS", stubs)


@pytest.mark.parametrize("words", ["run so101-pick-place --policies hold", "look runs/a", "plan"])
def test_a_wrong_command_would_be_noticed(words, monkeypatch):
    """A flag or a verb that does not exist, and an argument that is missing, are refused by the stubs too."""
    stub_verbs(monkeypatch)
    assert cli.main(shlex.split(words)) == 4
