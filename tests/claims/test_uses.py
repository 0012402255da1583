"""The count of uses: what counts as an attempt, where it is stored, and that it never fails."""

from __future__ import annotations

import json
import math
import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vla_eval.claims import uses
from vla_eval.claims.uses import LEDGER_NAME, Attempt, attempt
from vla_eval.stats.multiplicity import attempt_alpha


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VLA_EVAL_CACHE", str(folder))
    return folder


@pytest.fixture
def repo(tmp_path, cache) -> Path:
    """A repository whose runs are ignored, as ours is."""
    top = tmp_path / "repo"
    (top / "runs" / "a").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", str(top)], check=True)
    (top / ".gitignore").write_text("/runs/\n")
    return top


@pytest.fixture
def run(tmp_path, cache) -> Path:
    """A run folder in no repository."""
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def certify(run: Path, candidate: str, **changes: str) -> Attempt:
    fields = {
        "protocol_sha256": "p",
        "label": "fake@1",
        "reference_sha256": "r",
        "records_sha256": f"records of {candidate}",
    }
    return attempt(run, candidate_sha256=candidate, **(fields | changes))


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_distinct_candidates_are_counted(run, cache):
    """The first is 1, the second 2; certifying one again keeps its number and adds no line."""
    assert [certify(run, name).number for name in "abcbca"] == [1, 2, 3, 2, 3, 1]
    found = lines(cache / "uses.jsonl")
    assert [(each["candidate_sha256"], each["attempt"]) for each in found] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
    ]
    assert set(found[0]) >= {"protocol_sha256", "label", "reference_sha256", "records_sha256", "at"}


def test_protocols_and_references_are_counted_apart(run):
    """Another protocol or another reference is another question."""
    certify(run, "a")
    certify(run, "b")
    assert certify(run, "c", protocol_sha256="other").number == 1
    assert certify(run, "c", reference_sha256="other").number == 1
    assert certify(run, "c", label="another name of the same").number == 3


def test_a_candidate_that_was_run_again_leaves_a_line(run, cache):
    """Other records of the same candidate keep its number, and give a warning."""
    certify(run, "a")
    certify(run, "b")
    again = certify(run, "a", records_sha256="better ones")
    assert again.number == 1
    assert "with other records (records of a)" in again.warnings[0]
    assert len(lines(cache / "uses.jsonl")) == 3
    assert certify(run, "c").number == 3


def test_a_repository_has_a_file_of_its_own(repo, cache):
    """A run that git ignores is counted at the top of its repository, in a file that git sees."""
    made = certify(repo / "runs" / "a", "a")
    ledger = repo / LEDGER_NAME
    assert made.files == (cache / "uses.jsonl", ledger)
    assert lines(ledger) == lines(cache / "uses.jsonl")
    status = ["git", "-C", str(repo), "status", "--porcelain"]
    seen = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    assert f"?? {LEDGER_NAME}" in seen
    assert not ledger.stat().st_mode & 0o113, "no program, and nobody else writes it"
    assert {each.name for each in repo.iterdir()} == {".git", ".gitignore", "runs", LEDGER_NAME}
    assert list((repo / "runs" / "a").iterdir()) == []


def test_both_files_are_read(repo, run, cache):
    """Lines that colleagues committed and lines in this machine's cache count together."""
    ledger = repo / LEDGER_NAME
    for name in "ab":
        certify(repo / "runs" / "a", name)
    (cache / "uses.jsonl").unlink()
    assert certify(run, "x").number == 1  # the file is in a repository that this run is not in
    assert certify(repo / "runs" / "a", "c").number == 4
    ledger.unlink()
    assert certify(repo / "runs" / "a", "d").number == 5
    assert certify(repo / "runs" / "a", "x").number == 1
    assert [each["candidate_sha256"] for each in lines(ledger)] == ["d", "x"]


def test_files_of_two_people_put_together(repo, cache):
    """Two candidates that got one number in separate files keep it; the next comes after all of them."""
    ledger = repo / LEDGER_NAME
    for name in "ab":
        certify(repo, name)
    here = ledger.read_text()
    (cache / "uses.jsonl").unlink()
    ledger.write_text(here.splitlines()[0] + "\n")
    assert certify(repo, "c").number == 2
    ledger.write_text(here + ledger.read_text().splitlines()[1] + "\n")
    assert [certify(repo, name).number for name in "bcd"] == [2, 2, 4]


def test_where_it_would_be_ignored_there_is_no_file(repo, cache):
    """A repository that ignores the name gets no file; the cache counts alone."""
    (repo / ".gitignore").write_text("*.jsonl\n")
    made = certify(repo / "runs" / "a", "a")
    assert made == Attempt(1, (cache / "uses.jsonl",), ())
    assert not (repo / LEDGER_NAME).exists()


def test_damaged_lines_are_passed_over(repo, cache):
    """Conflict marks, half lines and foreign lines give one warning, and never stop a command."""
    certify(repo, "a")
    ledger = repo / LEDGER_NAME
    whole = ledger.read_text()
    bad = [
        "<<<<<<< HEAD",
        whole[:40],
        "\x00\xff",
        "[1]",
        whole.strip().replace('"attempt":1', '"attempt":0'),
        whole.strip().replace('"attempt":1', '"attempt":true'),
        whole.strip().replace("Z", ""),
        "",
    ]
    ledger.write_text("\n".join([*bad, whole.strip()]))  # no end of line: torn by a kill
    made = certify(repo, "b")
    assert made.number == 2
    assert len(made.warnings) == 1
    assert f"{ledger}: 7 lines hold no use" in made.warnings[0]
    last = ledger.read_text().splitlines()[-2:]
    assert [json.loads(line)["candidate_sha256"] for line in last] == ["a", "b"]


def test_keys_of_a_later_version_are_passed_over(run, cache):
    """A line with keys that this version does not know still counts."""
    certify(run, "a")
    file = cache / "uses.jsonl"
    file.write_text(json.dumps({**lines(file)[0], "later": 1}) + "\n")
    assert certify(run, "b") == Attempt(2, (file,), ())


def test_what_cannot_be_written_is_a_warning(repo, cache, tmp_path, monkeypatch):
    """Without a cache, or with a folder or link in a file's place, the use is counted where possible."""
    target = tmp_path / "precious"
    target.write_text("mine\n")
    (repo / LEDGER_NAME).symlink_to(target)
    made = certify(repo, "a")
    assert made.number == 1
    assert "is a link" in made.warnings[0]
    assert target.read_text() == "mine\n"
    (repo / LEDGER_NAME).unlink()
    (repo / LEDGER_NAME).mkdir()
    made = certify(repo, "b")
    assert made.number == 2
    assert made.files == (cache / "uses.jsonl",)
    assert "cannot be read" in made.warnings[0]
    assert "cannot be written" in made.warnings[1]
    monkeypatch.setenv("VLA_EVAL_CACHE", str(target))
    made = certify(tmp_path, "c")
    assert (made.number, made.files) == (1, ())
    assert "set VLA_EVAL_CACHE" in made.warnings[0]


def test_read_only_folders_are_a_warning(repo, cache):
    """A read-only cache and a read-only repository do not stop a certification."""
    cache.mkdir()
    for folder in (cache, repo):
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if os.access(cache, os.W_OK):
            pytest.skip("nothing is read-only to root")
        made = certify(repo, "a")
    finally:
        for folder in (cache, repo):
            folder.chmod(stat.S_IRWXU)
    assert (made.number, made.files) == (1, ())
    assert sum("cannot be written" in each for each in made.warnings) == 2


def test_a_pipe_in_a_ledgers_place_is_not_waited_for(repo):
    """A named pipe is neither read nor written."""
    os.mkfifo(repo / LEDGER_NAME)
    made = certify(repo, "a")
    assert made.number == 1
    assert "cannot be read (it is no file)" in made.warnings[0]
    assert len(made.files) == 1


def test_a_lock_that_somebody_holds_is_a_warning(run, cache, monkeypatch):
    """A command that does not get the lock counts anyway, and warns."""
    cache.mkdir()
    monkeypatch.setattr(uses, "_PATIENCE_S", 0.1)
    with uses.FileLock(cache / "uses.lock"):
        made = certify(run, "a")
    assert made.number == 1
    assert "cannot be locked (Timeout)" in made.warnings[0]


def test_certifying_at_once_gives_each_a_number(repo):
    """Twelve at the same time get twelve numbers."""
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(lambda name: certify(repo, name), "abcdefghijkl"))
    assert sorted(each.number for each in made) == list(range(1, 13))
    assert len(lines(repo / LEDGER_NAME)) == 12


def test_the_environments_have_the_same_cache(cache):
    """The core's rule for the cache is that of the environments, which it must not import."""
    from vla_eval_envs.cache import cache_folder

    warnings: list[str] = []
    assert cache_folder("x").parent == uses._cache_folder(warnings)
    assert warnings == []


def test_what_all_attempts_err_together():
    """Full alpha once, and attempt_alpha from the second on, add up to 1.39 alpha."""
    total = 1 + sum(attempt_alpha(m, alpha=1.0) for m in range(2, 200_000))
    assert total == pytest.approx(2 - 6 / math.pi**2, abs=1e-4)
    assert total == pytest.approx(1.392, abs=1e-3)
