"""Facts from git: commits, contents, dates.

A repository's own configuration can name programs that git then runs (a file-system monitor, hooks,
transports of a partial clone). Certifying or verifying a folder of unknown origin must not run them, so
this module uses git's plumbing only, with those settings off.
"""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import read_regular

__all__ = ["committed_since", "git", "head_of", "is_ignored", "top_of"]

_TIMEOUT_S = 20.0
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_HIDDEN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""Variables that git sets for its hooks, for example; they are removed, so that the folder decides."""


def git(folder: Path, *arguments: str) -> tuple[int, bytes]:
    """Run a plumbing command in a folder; return its exit code and its output.

    Raises:
        UsageError: git is not installed, or does not end in time.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    try:
        process = subprocess.run(
            ["git", *_SAFE, "-C", str(folder), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment | _ENVIRONMENT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except OSError:
        raise UsageError("git cannot be run, and only git knows what is in a commit") from None
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"{folder}: git {arguments[0]} did not end within {_TIMEOUT_S:.0f} s"
        ) from None
    return process.returncode, process.stdout


def top_of(folder: Path) -> Path:
    """Return the top folder of a folder's work tree.

    Raises:
        UsageError: git is not installed, the folder is in no repository, or git refuses it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    code, printed = git(folder, "rev-parse", "--show-toplevel")
    if code:
        raise UsageError(f"{folder}: is in no git repository that git would read (see: git status)")
    return Path(os.fsdecode(printed.removesuffix(b"\n")))


def head_of(folder: Path) -> str | None:
    """Return the current commit of a folder's repository; None without a repository or a commit."""
    try:
        code, printed = git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    except UsageError:
        return None
    return None if code else printed.decode().strip()


def is_ignored(top: Path, name: str) -> bool:
    """Return whether git ignores a file of that name at the top of a repository."""
    return git(top, "check-ignore", "--quiet", "--", name)[0] == 0


def committed_since(path: Path, commit: str) -> datetime:
    """Return the date of a commit that holds a file exactly as it is now.

    The date shows that the checked-out history of this repository has a commit with this content and
    this committer's date. It does not show that the date is true: a committer can set the date by
    hand, and can rewrite the history. A date that the author could not choose comes from a public host
    that the commit was pushed to, or from a timestamp service.

    Args:
        path: a file inside a git repository, such as a registration.
        commit: a commit, or a tag or branch that names one.

    Returns:
        The committer's date, in UTC.

    Raises:
        UsageError: there is no git, no repository or no such commit; the commit is not in the history
            of HEAD; or it does not hold the file with this content.
    """
    file = path.resolve()
    try:
        content = read_regular(file)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    top = top_of(file.parent)
    code, printed = 1, b""
    if not commit.startswith("-"):  # git would take it as an option
        code, printed = git(top, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if code:
        raise UsageError(f"{top}: there is no commit '{commit}' in this repository")
    sha = printed.decode().strip()
    inside = file.relative_to(top.resolve()).as_posix()
    code, committed = git(top, "cat-file", "blob", f"{sha}:{inside}")
    if code:
        raise UsageError(f"{path}: is not in commit {sha[:12]}; commit it before the run")
    if committed != content:
        raise UsageError(
            f"{path}: is in commit {sha[:12]} with another content; it must not change after that"
        )
    if git(top, "merge-base", "--is-ancestor", sha, "HEAD")[0]:
        raise UsageError(
            f"{top}: commit {sha[:12]} is not in the history of HEAD (as far as this copy of the "
            "repository reaches back)"
        )
    return _committer_date(sha, git(top, "cat-file", "commit", sha)[1])


def _committer_date(sha: str, commit: bytes) -> datetime:
    """Return the date in a commit object: ``committer NAME <MAIL> SECONDS ZONE``."""
    try:
        line = next(row for row in commit.split(b"\n") if row.startswith(b"committer "))
        return datetime.fromtimestamp(int(line.split()[-2]), UTC)
    except (StopIteration, ValueError, IndexError, OverflowError, OSError):
        raise UsageError(f"commit {sha[:12]} has no date that can be read") from None
