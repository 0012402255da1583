"""Refuse committed text that names the host of a package registry or a path of one machine.

    .venv/bin/python tools/check_names.py
    .venv/bin/python tools/check_names.py README.md docs/tasks.md

Such a name ties the project to the network or the disk of its author. Without arguments, all tracked
files are checked. Exit status 1 if a file offends.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

# Put together from pieces, so that this file passes its own check.
FORBIDDEN = re.compile(
    "|".join(
        (
            r"\bpypi" + r"\.org",
            "python" + "hosted",
            r"registry\.npm" + "js",
            r"download\.py" + r"torch\.org",
            r"(?:deb|security)\.deb" + r"ian\.org",
            r"(?:archive|security)\.ub" + r"untu\.com",
            # Home and work folders; a path that goes on inside a URL or a relative path is none.
            r"(?<![\w.~}/-])/" + r"(?:home|Users|root|work)/\w",
        )
    )
)


def offences(path: Path) -> list[str]:
    """Return the lines of a text file with forbidden names, as `path:line: match`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []
    return [
        f"{path}:{number}: names {match.group()!r}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := FORBIDDEN.search(line))
    ]


def main(files: list[str]) -> int:
    """Check the named files, or all tracked ones; return 1 if any offends."""
    if not files:
        tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
        files = [name for name in tracked.stdout.decode().split("\0") if name]
    lines = [line for name in files for line in offences(Path(name))]
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="to check (all tracked files)")
    sys.exit(main(parser.parse_args().files))
