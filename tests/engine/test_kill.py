"""SIGKILL at random moments: the same command continues, and the records end up the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Traces

pytestmark = pytest.mark.long

KILLS = 8
ARMS = [
    "--arm",
    "student=fakes.policies:InWorker?skill=0.8",
    "--arm",
    "teacher=fakes.policies:InHost?skill=0.9&infer_s=0.005",
]


def command(protocol: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "vlaeval_launcher", "run", str(protocol), *ARMS,
        "--out", str(out), "--workers", "2",
    ]  # fmt: skip


def reproducible(out: Path) -> list[str]:
    final = read_records([out / "episodes"]).final
    return [json.dumps(final[slot].reproducible(), sort_keys=True) for slot in sorted(final)]


def finished_lines(out: Path) -> dict[str, bytes]:
    """Return the terminated lines of every file of records or actions."""
    files = out.glob("*/*.jsonl") if out.exists() else []
    return {str(path): path.read_bytes().rpartition(b"\n")[0] for path in files}


def victims(run: subprocess.Popen[bytes], kind: str) -> list[psutil.Process]:
    main = psutil.Process(run.pid)
    children = [
        child
        for child in main.children(recursive=True)
        if "resource_tracker" not in " ".join(child.cmdline())
    ]
    if kind == "main":
        return [main]
    if kind == "all":
        return [main, *children]
    return [random.choice(children)] if children else []


def kill(run: subprocess.Popen[bytes], kind: str) -> int:
    """SIGKILL the named processes; return their number."""
    try:
        chosen = victims(run, kind)
    except psutil.NoSuchProcess:
        return 0
    hit = 0
    for process in chosen:
        try:
            os.kill(process.pid, signal.SIGKILL)
            hit += 1
        except ProcessLookupError:
            continue
    return hit


def wait_for_orphans(pids: list[int]) -> None:
    """Workers die with their supervisor; give the kernel a moment."""
    deadline = time.monotonic() + 10
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    alive = [pid for pid in pids if psutil.pid_exists(pid)]
    zombies = [pid for pid in alive if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE]
    assert alive == zombies, "a worker outlived its supervisor"


def wait_for_more(out: Path, run: subprocess.Popen[bytes]) -> None:
    """Wait until another line is on disk, so that a kill hits a run that works and not its start."""
    before = sum(map(len, finished_lines(out).values()))
    while run.poll() is None and sum(map(len, finished_lines(out).values())) == before:
        time.sleep(0.02)


@pytest.mark.timeout(280)
def test_killed_at_random_moments_the_run_ends_as_if_undisturbed(tmp_path, protocol_file):
    """8 kills of a worker or host, of the main process, or of all lose and change no record and no actions."""
    random.seed(20261120)
    protocol = protocol_file(count=60, step_s=0.01, limits="retries = 30")
    done = subprocess.run(command(protocol, tmp_path / "calm"), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = reproducible(tmp_path / "calm")
    assert len(expected) == 120

    out = tmp_path / "stormy"
    kills = 0
    while kills < KILLS:
        before = finished_lines(out)
        run = subprocess.Popen(
            command(protocol, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        stopped = False
        while not stopped:
            wait_for_more(out, run)
            time.sleep(random.uniform(0.0, 0.5))
            if run.poll() is not None:
                break
            family = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
            kind = random.choice(["child", "child", "main", "all"])
            kills += kill(run, kind) > 0
            stopped = kind != "child" or kills >= KILLS
            if kind != "child":
                run.wait()
                wait_for_orphans(family)
        run.kill()
        _, stderr = run.communicate()
        assert run.returncode in (0, -signal.SIGKILL), stderr.decode()
        after = finished_lines(out)
        for name, lines in before.items():
            assert after[name].startswith(lines), "finished episodes are kept byte for byte"
        if run.returncode == 0:
            break
    assert kills == KILLS, "the run was over too soon; give it more episodes"

    done = subprocess.run(command(protocol, out), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert reproducible(out) == expected
    attempts = read_records([out / "episodes"]).attempts
    traces = Traces(out)
    lost = [each for each in attempts if each.actions_sha256 and traces.get(each) is None]
    assert not lost, "a record on disk has its actions"
    good = [each for each in attempts if each.outcome != "error"]
    assert len(good) - len(expected) <= 2 * KILLS, "at most the episodes in flight are repeated"
