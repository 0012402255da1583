"""A run with a policy host is killed and interrupted at random moments of its start and its course.

The same command is repeated to the end: then the results must be those of a calm run. Finished lines
must stay as they are, and each command has to end as documented: with 2 after Ctrl-C, SIGTERM or SIGHUP,
once or twice, and with 3 never, since whatever was killed is worth another try.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from blows import Blow, Command, await_handlers, expected_codes, plan_of
from table import Row

from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Traces

__all__ = ["Scene", "Storm", "rows", "scenes"]

ROOT = Path(__file__).resolve().parents[2]
_END_S = 10.0
_RUN_S = 120.0
_MARK = "VLA_EVAL_STORM"

_POINTS = """
schema_version = 1
protocol = "storm"
version = 1
title = "a point on a line"
source = "torture"
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{{task}}-v0"
tasks = ["Point"]
init_states = {{ count = {count} }}
max_steps = 40
env_kwargs = {{ step_s = 0.02 }}
[run]
n_action_steps = 4
limits = {{ retries = 30 }}
[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "a test"
"""


@dataclass(frozen=True)
class Scene:
    """Command that runs during the storm."""

    name: str
    arguments: Sequence[str]
    """Arguments after ``vlaeval``, without ``--out``."""
    program: Sequence[str] = (sys.executable, "-m", "vlaeval_launcher")


class Storm:
    """Storms over one scene, in a folder of its own."""

    def __init__(self, scene: Scene, folder: Path, seed: int, *, kills: bool) -> None:
        self.scene = scene
        self.folder = folder
        self.seed = seed
        self.kills = kills
        self.commands = 0
        self.runs = 0
        self.gave_up = 0
        self.cut_short = 0
        self._sessions: set[str] = set()
        self._shm = _shared_memory()
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*_SOURCES, os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(folder / "tmp"),
            "VLA_EVAL_CACHE": str(folder / "cache"),
            _MARK: str(folder),
        }
        (folder / "tmp").mkdir(parents=True)

    def _start(self, out: Path) -> Command:
        arguments = [*self.scene.program, *self.scene.arguments, "--out", str(out)]
        process = subprocess.Popen(
            arguments,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.commands += 1
        return Command(process)

    def blow(self, signals: int) -> Row:
        """Send at least so many signals, run after run; return the rows with the results."""
        row = Row(f"{_TITLES[self.kills]}: {self.scene.name}")
        calm = self._calm()
        while row.tried < signals:
            out = self.folder / f"run-{self.runs}"
            self.runs += 1
            while row.tried < signals:
                dice = random.Random(f"{self.seed} {row.what} {self.commands}")
                if self._command(out, plan_of(dice, kills=self.kills), dice, row) == 0:
                    break
            self._finish(out, calm, row)
            shutil.rmtree(out, ignore_errors=True)
        self._look_around(row)
        row.seen = (
            f"{self.runs * len(calm)} of {self.runs * len(calm)} results equal the calm run's"
            if not row.bad["difference"]
            else "see the examples"
        )
        row.seen += f" after {self.commands} commands; {self.gave_up} of them gave up too early"
        if self.cut_short:
            row.seen += f"; Python's own start of a child was cut short {self.cut_short} times"
        return row

    def _calm(self) -> list[str]:
        command = self._start(self.folder / "calm")
        command.wait(_RUN_S)
        if command.process.returncode != 0:
            raise RuntimeError(f"{self.scene.name}: the calm run failed: {command.stderr[-500:]}")
        return results(self.folder / "calm")

    def _command(self, out: Path, plan: list[Blow], dice: random.Random, row: Row) -> int:
        """Run one command through its blows; return its exit code."""
        before = finished_lines(out)
        command = self._start(out)
        await_handlers(command.process)
        for blow in plan:
            time.sleep(blow.after_s)
            row.tried += command.send(blow, dice)
        ends = bool(command.sent) and command.sent[-1][1].ends
        command.wait(_END_S if ends else _RUN_S)
        self._judge(command, before, out, row)
        return command.process.returncode

    def _finish(self, out: Path, calm: list[str], row: Row) -> None:
        """Repeat the command undisturbed, and compare the results."""
        before = finished_lines(out)
        command = self._start(out)
        command.wait(_RUN_S)
        self._judge(command, before, out, row)
        found = results(out)
        if found != calm:
            said = f"{len(found)} results, {len(set(found) - set(calm))} of them not the calm run's"
            self._blame(row, "difference", command, said)
        if left := [each.name for each in out.rglob("*.tmp")]:
            self._blame(row, "left over", command, f"{left[0]} in the run folder")
        self._sessions |= {file.name.split("-")[1] for file in out.glob("episodes/*.jsonl")}

    def _judge(self, command: Command, before: dict[str, bytes], out: Path, row: Row) -> None:
        code = command.process.returncode
        if command.hung:
            self._blame(row, "hang", command, command.stderr)
        elif code not in expected_codes(command):
            self.gave_up += code == 3
            self._blame(row, "exit code", command, f"exit code {code}: {command.stderr}")
        said, cut = _START_CUT_SHORT.subn("", command.stderr)
        self.cut_short += cut
        if cut > sum(each.kind == "SIGKILL" and each.whom == "main" for _, each in command.sent):
            said = command.stderr  # the parent was not killed: this is our fault
        if "Traceback" in said or "internal error" in said:
            self._blame(row, "traceback", command, said)
        after = finished_lines(out)
        if any(not after.get(name, b"").startswith(lines) for name, lines in before.items()):
            self._blame(row, "difference", command, "a finished line was changed or lost")
        if orphans := self._orphans():
            self._blame(row, "left over", command, f"process {orphans[0]}")

    def _orphans(self) -> list[str]:
        """Return the processes of this storm that outlive their command, and end them."""
        deadline = time.monotonic() + _END_S
        while (found := self._family()) and time.monotonic() < deadline:
            time.sleep(0.02)
        said = []
        for process in found:
            with suppress(psutil.Error):
                said.append(f"{process.pid} {' '.join(process.cmdline())[-60:]}")
                process.kill()
        return said

    def _family(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == str(self.folder):
                    found.append(process)
        return found

    def _look_around(self, row: Row) -> None:
        left = [f"{each.name} in TMPDIR" for each in (self.folder / "tmp").iterdir()]
        left += [f"{each} in /dev/shm" for each in _unused(_shared_memory() - self._shm)]
        left += [f"socket {each}" for each in _sockets(self._sessions)]
        for each in left:
            row.bad["left over"] += 1
            row.examples.append(f"left over: {each} (seed {self.seed}, {self.scene.name})")

    def _blame(self, row: Row, bad: str, command: Command, said: str) -> None:
        blows = ", ".join(f"{at:.2f} s {each.kind} {each.whom}" for at, each in command.sent)
        last = " | ".join(said.strip().splitlines()[-3:])[-400:]
        row.bad[bad] += 1
        row.examples.append(
            f"{bad}: seed {self.seed}, command {self.commands} of {self.scene.name} "
            f"({blows or 'undisturbed'}): {last}"
        )


_START_CUT_SHORT = re.compile(
    r"Traceback \(most recent call last\):\n"
    r"(?:  .*\n)*    \w+ = reduction\.pickle\.load\(from_parent\)\n(?:  .*\n)*EOFError: .*\n?"
)
"""Output of Python in a child whose parent was ended by SIGKILL in the microseconds between the child's start
and the parent's first message. None of our code runs yet."""

_TITLES = {
    True: "SIGKILL of the main process, a worker, a host",
    False: "Ctrl-C, SIGTERM, SIGHUP (once, twice; one process, all), SIGSTOP",
}
_SOURCES = [
    str(ROOT / each)
    for each in (".", "envs", "policies", "protocols", "tests/fakes", "tools/torture")
]


def results(out: Path) -> list[str]:
    """Return the content of a run's final records, without timings, and of their actions, in the keys' order."""
    final, traces = read_records([out / "episodes"]).final, Traces(out)
    return [
        f"{json.dumps(final[slot].reproducible(), sort_keys=True)} {_kept(traces, final[slot])}"
        for slot in sorted(final)
    ]


def _kept(traces: Traces, record: EpisodeRecord) -> str:
    trace = traces.get(record)
    return "no actions" if trace is None else f"{trace.source.tolist()} {trace.observed.tolist()}"


def finished_lines(out: Path) -> dict[str, bytes]:
    """Return the terminated lines of every file of records or actions."""
    files = out.glob("*/*.jsonl") if out.exists() else []
    return {str(path.relative_to(out)): path.read_bytes().rpartition(b"\n")[0] for path in files}


def _shared_memory() -> set[str]:
    """Return the present objects of multiprocessing in shared memory."""
    folder = Path("/dev/shm")  # noqa: S108 - only read
    names = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    return {each for each in names if each.startswith(("pymp-", "psm_", "sem.", "mp-"))}


def _unused(names: set[str]) -> set[str]:
    """Return those in shared memory that no living process has; others run on this machine too."""
    for process in psutil.process_iter() if names else ():
        with suppress(OSError, psutil.Error):
            maps = Path(f"/proc/{process.pid}/maps").read_text(errors="replace")
            names = {each for each in names if each not in maps}
    return names & _shared_memory()


def _sockets(sessions: set[str]) -> list[str]:
    """Return the policy hosts' sockets that are still there."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
    return [line for line in lines if any(f"vlaeval-{each}" in line for each in sessions)]


def scenes(folder: Path, *, short: bool) -> list[tuple[Scene, str]]:
    """Return what is run, each with its key in the table of how many signals it gets."""
    protocol = folder / "points.toml"
    protocol.write_text(_POINTS.format(count=8 if short else 40))
    arms = ["student=fakes.policies:InWorker?skill=0.8"]
    arms += ["teacher=fakes.policies:InHost?skill=0.9&infer_s=0.005"]
    fakes = Scene("fakes", _run(str(protocol), arms))
    if short:
        return [(fakes, "short")]
    changes = ["--set", "blocks.0.init_states.count=12", "--set", "run.limits.retries=30"]
    so101 = [*_run("so101-quickstart", ["student=hosted:Flow", "teacher=expert"]), *changes]
    return [(fakes, "fakes"), (Scene("SO-101, flow:so101/fm in a host", so101), "so101")]


def _run(protocol: str, arms: Sequence[str]) -> list[str]:
    named = [text for arm in arms for text in ("--arm", arm)]
    return ["run", protocol, *named, "--workers", "2"]


_SIGNALS = {"short": (6, 4), "fakes": (210, 80), "so101": (100, 40)}
"""Numbers of SIGKILLs and of other signals."""


def rows(*, short: bool, seed: int) -> Iterator[Row]:
    """Storm over all scenes, two at a time, and yield two rows of each."""
    with tempfile.TemporaryDirectory(prefix="storm-") as name:
        storms = []
        for scene, size in scenes(Path(name), short=short):
            for kills, signals in zip((True, False), _SIGNALS[size], strict=True):
                folder = Path(name) / str(len(storms))
                storms.append((Storm(scene, folder, seed, kills=kills), signals))
        with ThreadPoolExecutor(2) as pool:
            yield from pool.map(lambda each: each[0].blow(each[1]), storms)
