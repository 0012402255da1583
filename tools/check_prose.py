"""Refuse the habits that make our text hard to read for people whose English is learned.

    .venv/bin/python tools/check_prose.py
    .venv/bin/python tools/check_prose.py docs/runs.md vla_eval/episode.py

Checked are docstrings and comments of Python files, and Markdown outside code. Without arguments, all
tracked files are checked but the changelog. Exit status 1 if a file offends.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

HABITS = {
    r"^\s*(?:r?\"\"\")Of ": 'a docstring begins with its noun: "Time limit of …", not "Of …"',
    r"\bdear(?:er|est)?\b": 'write "expensive"',
    r"\bmend(?:s|ed|ing)?\b": 'write "repair"',
    r"\bwhatever many\b": "say how many of what",
    r"\b(?:nobody|somebody|whoever)\b": "name who: the user, the server, a caller",
    r"\b(?:is|are) said\b": 'write "is reported", "is stated" or "is given"',
    r"\bshall\b": 'write "must" or "should"',
    r"\blikewise\b": 'write "too", or say it again',
    r"\bthereof\b|\bwhereof\b|\bherein\b": 'write "of it" or "in it"',
}
MOST_WORDS = 45
"""Longest sentence of a page."""


def prose(path: Path, text: str) -> list[tuple[int, str]]:
    """Return the numbered lines of a file that people read, code left out."""
    lines = list(enumerate(text.splitlines(), start=1))
    if path.suffix == ".md":
        inside, kept = False, []
        for number, line in lines:
            inside ^= line.lstrip().startswith("```")
            if not inside and not line.startswith(("    ", "|", "<!--")):
                kept.append((number, re.sub(r"`[^`]*`", "", line)))
        return kept
    spoken, kept = False, []
    for number, line in lines:
        if spoken or '"""' in line:
            kept.append((number, line))
        elif "#" in line:
            kept.append((number, line.partition("#")[2]))
        spoken ^= line.count('"""') % 2 == 1
    return kept


def offences(path: Path) -> list[str]:
    """Return the hard passages of a file, as `path:line: what to write instead`."""
    try:
        lines = prose(path, path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []
    found = [
        f"{path}:{number}: {advice}"
        for number, line in lines
        for habit, advice in HABITS.items()
        if re.search(habit, line, flags=0 if habit.startswith("^") else re.IGNORECASE)
    ]
    return found + (_long_sentences(path, lines) if path.suffix == ".md" else [])


def _long_sentences(path: Path, lines: list[tuple[int, str]]) -> list[str]:
    found: list[str] = []
    sentence: list[str] = []
    first = 0
    for number, line in [*lines, (0, "")]:
        if not line.strip() or line.lstrip().startswith(("- ", "* ", "#", ">")):
            sentence = []
        for word in line.split():
            first = first if sentence else number
            sentence.append(word)
            if word.rstrip(")*_\"'").endswith((".", ":", ";", "?", "!")):
                if len(sentence) > MOST_WORDS:
                    found.append(f"{path}:{first}: a sentence of {len(sentence)} words; make two")
                sentence = []
    return found


def main(files: list[str]) -> int:
    """Check the named files, or all tracked ones; return 1 if any offends."""
    if not files:
        command = ["git", "ls-files", "-z", "*.py", "*.md", ":!CHANGELOG.md", ":!tests"]
        command += [":!docs/certificates", ":!benchmarks/results", ":!docs/robustness.md"]
        tracked = subprocess.run(command, capture_output=True, check=True)
        files = [name for name in tracked.stdout.decode().split("\0") if name]
    this = Path(__file__).resolve()
    lines = [
        line for name in files if Path(name).resolve() != this for line in offences(Path(name))
    ]
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "files", nargs="*", help="default: all tracked Python and Markdown files"
    )
    raise SystemExit(main(arguments.parse_args().files))
