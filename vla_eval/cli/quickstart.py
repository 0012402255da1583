"""``vlaeval quickstart``."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import OptionalWorkers, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, MissingExtraError

__all__ = ["quickstart"]


@dataclass(frozen=True)
class _Show:
    """A comparison for a first try."""

    words: str
    protocol: str
    arms: dict[str, str]
    folder: str
    next: str
    pairs: tuple[tuple[str, str], ...] | None = None
    """Pairs of arms to show; None: all."""


_TRAINED = _Show(
    "a one-step student and its ten-step teacher in real time, at published latencies of 83 and 274 ms, and "
    "the student with noise as a control; beside them both while the world stands still",
    "so101-real-time-look",
    {
        "student": "flow:so101/snapflow",
        "teacher": "flow:so101/fm?nfe=10",
        "control": "impaired:flow:so101/snapflow?action_noise=0.03",
        "student-paused": "flow:so101/snapflow",
        "teacher-paused": "flow:so101/fm?nfe=10",
    },
    "runs/quickstart",
    "certify {folder}",
    (("student", "teacher"), ("student-paused", "teacher-paused")),
)
_SCRIPTED = _Show(
    "two policies, the same episodes: the expert, and the expert with noise on its actions",
    "so101-quickstart",
    {"impaired": "impaired:expert?action_noise=0.02", "expert": "expert"},
    "runs/scripted",
    "run so101-pick-place --arm noisy='impaired:expert?action_noise=0.01' \\\n"
    "      --arm expert=expert --out runs/pick-place",
)


def quickstart(
    *,
    scripted: bool = False,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    workers: OptionalWorkers = None,
) -> int:
    """Compare a one-step policy with its ten-step teacher, in real time and paused: about a minute.

    Both were trained on demonstrations of a simulated SO-101 arm and ship with the package.

    Example: vlaeval quickstart

    Args:
        scripted: Without torch: a scripted expert against itself with noise, in half a minute.
        out: The run folder; a second call continues it, or shows it again.
        workers: Environments at a time; default one per usable core.
    """
    from vla_eval.engine.runner import run
    from vla_eval.summary.text import report_text

    show = _SCRIPTED if scripted else _TRAINED
    folder = out or Path(show.folder)
    say(show.words, file=sys.stderr)
    try:
        summary = run(show.protocol, show.arms, folder, workers=workers)
    except MissingExtraError:
        if not scripted:
            say("without torch: vlaeval quickstart --scripted", file=sys.stderr)
        raise
    say(report_text(summary, show.pairs))
    command = _command()
    say(
        f"\nall of it is in {folder}. Next:\n"
        f"  {command} report {folder} --json | head -40\n"
        f"  {command} list policies\n"
        f"  {command} {show.next.format(folder=folder)}"
    )
    return EXIT_COMPLETE if summary.complete else EXIT_INFRASTRUCTURE


def _command() -> str:
    """Return the command that the reader must type: in a checkout, .venv/bin is not on the path."""
    if shutil.which("vlaeval"):
        return "vlaeval"
    return os.path.relpath(Path(sys.argv[0]).resolve())
