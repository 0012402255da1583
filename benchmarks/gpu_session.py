"""Everything that this suite wants to know of a GPU, in at most 25 minutes, step by step.

    python benchmarks/gpu_session.py --folder benchmarks/results/gpu
    python benchmarks/gpu_session.py --folder benchmarks/results/gpu --only smolvla pi05
    python benchmarks/gpu_session.py --rehearse --folder /tmp/rehearsal

Each step is a benchmark of this folder with its options for a GPU, and writes its own results into FOLDER. A
step that has ended well is not run again, so the same command continues a session that was stopped; a step that
takes too long is stopped, and keeps what it has written. FOLDER/session.json and session.md say what ran.
``--rehearse`` runs the same steps with tiny models on the processor.

Needs the extras `libero` and `lerobot` and LIBERO's assets.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from common.machine import in_words, machine
from common.results import FOLDER_VARIABLE
from common.script import parser, run

from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, UsageError, did_you_mean
from vla_eval.files.atomic import write_atomically

HERE = Path(__file__).resolve().parent
_GPU = ("--full", "--device", "cuda")
_NFES = tuple(str(nfe) for nfe in range(1, 11))
_BATCHES = ("1", "2", "4", "8", "16", "32")
_LATENCY = ("--dtypes", "bfloat16", "--compile", *_GPU)
_TINY = ("--nfes", "1", "2", "--repeats", "3")


@dataclass(frozen=True)
class Step:
    """One benchmark of the session."""

    name: str
    question: str
    minutes: float
    """It is stopped after this time; together at most 25."""
    gpu: tuple[str, ...]
    """Script and options on a GPU."""
    rehearsal: tuple[str, ...]
    """The same with tiny models on the processor."""


STEPS = (
    Step(
        "doctor",
        "Is everything there?",
        1,
        ("vlaeval", "doctor", "--json"),
        ("vlaeval", "doctor", "--json"),
    ),
    Step(
        "pictures",
        "EGL on the GPU: ms a camera, and how its pixels differ from software OpenGL's",
        2,
        ("pictures_gl.py",),
        ("pictures_gl.py", "--states", "1"),
    ),
    Step(
        "smolvla",
        "SmolVLA, 450 M: prefix, step and T(N), N = 1 to 10, eager and as CUDA graph",
        3,
        ("policy_latency.py", "--policies", "smolvla", *_LATENCY, "--nfes", *_NFES, "--repeats", "20",
         "--out", "smolvla"),
        ("policy_latency.py", "--policies", "smolvla", *_TINY, "--out", "smolvla"),
    ),
    Step(
        "smolvla_batches",
        "its time by the size of the batch",
        3,
        ("policy_latency.py", "--policies", "smolvla", *_LATENCY, "--nfes", "1", "10", "--batches", *_BATCHES,
         "--repeats", "10", "--out", "smolvla_batches"),
        ("policy_latency.py", "--policies", "smolvla", *_TINY, "--batches", "1", "2",
         "--out", "smolvla_batches"),
    ),
    Step(
        "pi05",
        "pi0.5, 3 B: the same",
        4,
        ("policy_latency.py", "--policies", "pi05", *_LATENCY, "--nfes", *_NFES, "--repeats", "10",
         "--out", "pi05"),
        ("policy_latency.py", "--policies", "pi05", *_TINY, "--out", "pi05"),
    ),
    Step(
        "pi05_batches",
        "its time by the size of the batch",
        4,
        ("policy_latency.py", "--policies", "pi05", *_LATENCY, "--nfes", "1", "10", "--batches", *_BATCHES,
         "--repeats", "5", "--out", "pi05_batches"),
        ("policy_latency.py", "--policies", "pi05", *_TINY, "--batches", "1", "2", "--out", "pi05_batches"),
    ),
    Step(
        "libero",
        "LIBERO episodes an hour with a SmolVLA of the published size, against lerobot-eval",
        4,
        ("libero_lerobot.py", "--policy", "smolvla", *_GPU, "--workers", str(os.cpu_count() or 1),
         "--horizons", "10", "--steps", "140", "--episodes", str(os.cpu_count() or 1), "--ours", "4",
         "--physics", "exact"),
        ("libero_lerobot.py", "--policy", "smolvla", "--horizons", "10", "--steps", "20", "--episodes", "2",
         "--ours", "1", "--physics", "exact"),
    ),
    Step(
        "training",
        "Steps a second and memory of a student by SnapFlow, MeanFlow and drifting",
        3,
        ("training_speed.py", *_GPU, "--dtype", "bfloat16", "--batch", "32", "--steps", "200", "--workers", "8"),
        ("training_speed.py", "--steps", "3"),
    ),
    Step(
        "batch_invariance",
        "Do actions depend on what shares the batch, and does padding remove that?",
        1,
        ("batch_invariance.py", *_GPU, "--policies", "smolvla", "--dtypes", "bfloat16", "float32"),
        ("batch_invariance.py", "--nfe", "1"),
    ),
)  # fmt: skip


def main() -> int:
    """Run the steps that have not ended well; return 3 if one did not now."""
    arguments = parser(__doc__)
    arguments.add_argument("--folder", type=Path, required=True, help="where results are written")
    arguments.add_argument("--rehearse", action="store_true", help="tiny models, on the processor")
    arguments.add_argument("--only", nargs="+", metavar="STEP", help="these steps, also again")
    chosen = arguments.parse_args()
    steps = _named(chosen.only) if chosen.only else STEPS
    chosen.folder.mkdir(parents=True, exist_ok=True)
    session = go_through(steps, chosen.folder, rehearse=chosen.rehearse, again=bool(chosen.only))
    sys.stdout.write((chosen.folder / "session.md").read_text(encoding="utf-8"))
    ended = all(session["steps"].get(step.name, {}).get("state") == "done" for step in steps)
    return EXIT_COMPLETE if ended else EXIT_INFRASTRUCTURE


def _named(names: Sequence[str]) -> tuple[Step, ...]:
    known = {step.name: step for step in STEPS}
    for name in names:
        if name not in known:
            raise UsageError(f"no step is named '{name}'{did_you_mean(name, known)}")
    return tuple(known[name] for name in names)


def go_through(
    steps: Sequence[Step], folder: Path, *, rehearse: bool, again: bool
) -> dict[str, Any]:
    """Run steps, and write after each what has run so far.

    Args:
        steps: the steps, in order.
        folder: where the session is, or begins.
        rehearse: whether to run the steps' rehearsals.
        again: whether to run steps again that have ended well.

    Raises:
        UsageError: the folder holds a session of the other kind.
    """
    file = folder / "session.json"
    fresh = {"machine": machine(), "rehearsal": rehearse, "steps": {}}
    session: dict[str, Any] = json.loads(file.read_text()) if file.exists() else fresh
    if session["rehearsal"] != rehearse:
        kind = "a rehearsal" if session["rehearsal"] else "no rehearsal"
        raise UsageError(f"{folder}: holds {kind}; use another folder")
    for step in steps:
        if session["steps"].get(step.name, {}).get("state") == "done" and not again:
            continue
        print(f"{step.name}: at most {step.minutes:g} minutes", file=sys.stderr, flush=True)
        session["steps"][step.name] = one(step, folder, rehearse=rehearse)
        write_atomically(file, json.dumps(session, indent=1) + "\n")
        write_atomically(folder / "session.md", table(session))
    return session


def one(step: Step, folder: Path, *, rehearse: bool) -> dict[str, Any]:
    """Run one step; return its state and its seconds. Its output is in ``NAME.log``."""
    script, *options = step.rehearsal if rehearse else step.gpu
    program = ["-m", "vlaeval_launcher"] if script == "vlaeval" else [str(HERE / script)]
    environment = os.environ | {FOLDER_VARIABLE: str(folder.resolve())}
    limit_s = None if rehearse else 60 * step.minutes
    began = perf_counter()
    with (folder / f"{step.name}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *program, *options],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
            state = "done" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            state = "out of time"
        finally:
            _stop(process)
    return {"state": state, "seconds": round(perf_counter() - began, 1)}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a step that still runs, with its workers: politely, and after ten seconds for good."""
    for number, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
        if process.poll() is None:
            os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)


def table(session: Mapping[str, Any]) -> str:
    """Return the session as a Markdown page."""
    kind = "Rehearsal of a GPU session" if session["rehearsal"] else "GPU session"
    lines = [
        f"# {kind}",
        "",
        f"By `benchmarks/gpu_session.py`: {in_words(session['machine'])}.",
        *(
            [
                "Tiny models on the processor: it shows that every step runs. No time of it says anything of a GPU."
            ]
            if session["rehearsal"]
            else []
        ),
        "",
        "| step | what for | state | s | limit on a GPU, min |",
        "|---|---|---|---|---|",
    ]
    for step in STEPS:
        found = session["steps"].get(step.name, {"state": "not run", "seconds": 0})
        lines.append(
            f"| {step.name} | {step.question} | {found['state']} | {found['seconds']:.0f} | {step.minutes:g} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
