"""Facts from git: the commit of a file and its date; programs of an unknown repository never run."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vla_eval.claims import repository
from vla_eval.claims.registration import committed_since
from vla_eval.errors import UsageError


def git(folder: Path, *arguments: str, date: str = "2026-01-02T03:04:05+01:00") -> str:
    who = {
        f"GIT_{one}_{what}": "x" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    environment = {**os.environ, **who, "GIT_COMMITTER_DATE": date}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path) -> Path:
    """A repository with a registration in its second commit, and a commit after it."""
    top = tmp_path / "repo"
    (top / "sub folder").mkdir(parents=True)
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(top))
    git(top, "commit", "--quiet", "--allow-empty", "--message=first", date="2026-01-01T00:00:00Z")
    (top / "sub folder" / "r.json").write_text("{}\n")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=committer nobody <x> 7 +0000\n\ncommitter a <b> 5 Z")
    git(top, "commit", "--quiet", "--allow-empty", "--message=third", date="2027-01-01T00:00:00Z")
    return top


def test_the_date_is_that_of_the_commit(repo):
    """A committed file has its commit's date, under any name of the commit, from any folder."""
    file = repo / "sub folder" / "r.json"
    git(
        repo,
        "tag",
        "--annotate",
        "--message=t",
        "registered",
        "HEAD~1",
        date="2028-01-01T00:00:00Z",
    )
    expected = datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    for name in ("HEAD~1", "registered", git(repo, "rev-parse", "HEAD~1")):
        assert committed_since(file, name) == expected
    link = repo / "link"
    link.symlink_to(file)
    assert committed_since(link, "registered") == expected


def test_what_a_commit_does_not_hold_is_refused(repo, tmp_path):
    """No commit, not in it, another content, another history, no repository: one sentence each."""
    file, new = repo / "sub folder" / "r.json", repo / "new.json"
    new.write_text("{}\n")
    git(repo, "switch", "--quiet", "--orphan", "elsewhere")
    (repo / "sub folder").mkdir(exist_ok=True)
    file.write_text("{}\n")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "--message=elsewhere")
    git(repo, "switch", "--quiet", "main")
    new.write_text("{}\n")
    outside = tmp_path / "outside.json"
    outside.write_text("{}\n")
    cases = [
        (file, "no-such-commit", "there is no commit 'no-such-commit'"),
        (file, "", "there is no commit ''"),
        (file, "--help", "there is no commit '--help'"),
        (file, "HEAD~2", "is not in commit"),
        (new, "HEAD", "is not in commit"),
        (file, "elsewhere", "not in the history of HEAD"),
        (outside, "HEAD", "in no git repository"),
        (repo / "none.json", "HEAD", "none.json: cannot be read"),
    ]
    for path, commit, message in cases:
        with pytest.raises(UsageError, match=message) as raised:
            committed_since(path, commit)
        assert "\n" not in str(raised.value)
    file.write_text("{ }\n")
    with pytest.raises(UsageError, match="with another content"):
        committed_since(file, "HEAD")


def test_without_git_and_with_a_git_that_hangs(repo, tmp_path, monkeypatch):
    """Both give one sentence; a registration can be made without git."""
    file, programs = repo / "sub folder" / "r.json", tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UsageError, match="git cannot be run"):
        committed_since(file, "HEAD")
    assert repository.head_of(repo) is None
    (programs / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setattr(repository, "_TIMEOUT_S", 0.2)
    with pytest.raises(UsageError, match="did not end"):
        committed_since(file, "HEAD")


def test_nothing_of_a_repositorys_own_is_run(repo, tmp_path):
    """Programs that an unknown repository names are not run, and replaced commits are not trusted."""
    spoiled = tmp_path / "spoiled"
    program = f"touch '{spoiled}'; false"
    git(repo, "config", "core.fsmonitor", program)
    git(repo, "config", "gpg.program", program)
    git(repo, "config", "log.showSignature", "true")
    git(repo, "config", "filter.evil.clean", program)
    git(repo, "config", "diff.evil.textconv", program)
    (repo / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")
    git(repo, "replace", "HEAD~1", "HEAD")
    file = repo / "sub folder" / "r.json"
    spoiled.unlink(missing_ok=True)
    date = committed_since(file, "HEAD~1")
    assert date == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert not repository.is_ignored(repo, "new.json")
    assert not spoiled.exists()


def test_a_hooks_variables_do_not_lead_elsewhere(repo, tmp_path, monkeypatch):
    """Inside a git hook, the file's own repository still gives the facts."""
    git(tmp_path, "init", "--quiet", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert repository.top_of(repo / "sub folder").samefile(repo)
