"""Refuse committed text that names a package registry's host or a path of one machine.

Such a name ties the project to the network or the disk of whoever wrote it. Files to check are
the arguments; without any, all tracked files are checked.
"""

from __future__ import annotations

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
    """Lines of a text file that name what they must not, as `path:line: match`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []
    return [
        f"{path}:{number}: names {match.group()!r}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := FORBIDDEN.search(line))
    ]


def main(arguments: list[str]) -> int:
    """Check the named files, or all tracked ones; 1 if any offends."""
    if not arguments:
        tracked = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True)
        arguments = [name for name in tracked.stdout.decode().split("\0") if name]
    found = [line for name in arguments for line in offences(Path(name))]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
