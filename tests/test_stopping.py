"""Ctrl-C, SIGTERM and SIGHUP: exit code 2, from the first millisecond of the command to its last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_eval.engine.process import shielded_from_interrupt
from vla_eval.stopping import stop_signals

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "import sys\nfrom vlaeval_launcher import main\nsys.exit(main())"
"""What the script `vlaeval` says."""
NAMES = ["SIGINT", "SIGTERM", "SIGHUP"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def handles_signals(process: subprocess.Popen[str]) -> bool:
    caught = int(Path(f"/proc/{process.pid}/status").read_text().split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.fixture
def start(tmp_path, protocol_file) -> Callable[..., subprocess.Popen[str]]:
    def go(*before: str) -> subprocess.Popen[str]:
        protocol = str(protocol_file(count=200, step_s=0.05))
        spec = "fakes.policies:InHost"
        arguments = ["run", protocol, "--policy", spec, "--out", str(tmp_path / "out")]
        command = [*before, sys.executable, "-c", COMMAND, *arguments, "--workers", "2"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and not handles_signals(process):
            time.sleep(0.0005)
        return process

    return go


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, stderr = process.communicate(timeout=10)
    finally:
        process.kill()
    return process.returncode, stderr


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_while_the_command_starts_gives_2(start, name):
    """At its first line, while it imports, and when it has begun: no traceback, nothing else than 2."""
    for after_s in (0.0, 0.02, 0.1, 0.3, 0.6, 1.0):
        process = start()
        time.sleep(after_s)
        process.send_signal(signal.Signals[name])
        code, stderr = end(process)
        assert (code, "Traceback" in stderr) == (2, False), (after_s, stderr)
        assert "interrupted" in stderr


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_two_signals_give_2_and_end_it_at_once(start, name):
    """The second one, while the run is put in order, changes the time and not the code."""
    for gap_s in (0.0, 0.01, 0.1):
        process = start()
        time.sleep(1.5)
        for _ in range(2):
            process.send_signal(signal.Signals[name])
            time.sleep(gap_s)
        code, stderr = end(process)
        assert (code, "Traceback" in stderr) == (2, False), (gap_s, stderr)


def test_what_the_command_was_told_to_ignore_stays_ignored(start):
    """Under nohup a run goes on when the terminal is gone, and still ends by SIGTERM."""
    process = start("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    process.send_signal(signal.SIGHUP)
    time.sleep(1.0)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 2


@pytest.mark.parametrize("when", ["now", "atexit.register(now)"])
def test_after_its_end_a_signal_changes_nothing(when):
    """The exit code that was settled is the one that is seen, also while Python shuts down."""
    program = (
        "import atexit, os, signal, sys\n"
        "from vlaeval_launcher.stopping import Stopping\n"
        "def now(): os.kill(os.getpid(), signal.SIGTERM)\n"
        "class Last:\n"
        "    def __del__(self, kill=os.kill, me=os.getpid()): kill(me, 15)\n"
        "last = Last()\n"
        "stopping = Stopping(); stopping.install(); stopping.be_orderly(); stopping.settle(6)\n"
        f"{when}\n"
        "sys.exit(6)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=20)
    assert done.returncode == 6


def test_an_interrupted_exec_gives_2(tmp_path):
    """`python -m` would end by SIGINT after it, though it was caught; dataclasses are made by exec."""
    (tmp_path / "interrupted.py").write_text(
        "import os, signal, sys\n"
        "from vlaeval_launcher.stopping import Stopping\n"
        "stopping = Stopping(); stopping.install(); stopping.be_orderly()\n"
        "try: exec('os.kill(os.getpid(), signal.SIGHUP); [None for _ in range(10**6)]')\n"
        "except KeyboardInterrupt: stopping.settle(2)\n"
        "sys.exit(2)"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 2


def test_a_signal_in_the_middle_of_an_import_gives_2(tmp_path):
    """Extension modules turn an interrupt into an ImportError, which would be called a bug of ours."""
    (tmp_path / "extension.py").write_text(
        "import os, signal\n"
        "try: os.kill(os.getpid(), signal.SIGTERM); [None for _ in range(10**6)]\n"
        "except KeyboardInterrupt: raise ImportError('initialization failed')\n"
    )
    program = (
        "from vlaeval_launcher.stopping import Stopping\n"
        "stopping = Stopping(); stopping.install(); stopping.be_orderly()\n"
        "import extension"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == 2


def test_a_signal_while_a_child_starts_is_handled_afterwards():
    """It is neither lost nor does it stop the start half-way."""
    reached = []

    def start_a_child() -> None:
        with shielded_from_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            reached.append("the end of the start")

    with pytest.raises(KeyboardInterrupt):
        start_a_child()
    assert reached
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.SIGINT in stop_signals()
