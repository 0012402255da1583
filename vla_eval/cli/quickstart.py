"""``vlaeval quickstart``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from vla_eval.cli.common import OptionalWorkers
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE

__all__ = ["quickstart"]

_ARMS = {"impaired": "impaired:expert?action_noise=0.02", "expert": "expert"}


def quickstart(*, out: Path = Path("runs/quickstart"), workers: OptionalWorkers = None) -> int:
    """Evaluate two policies on simulated pick-and-place, paired: the main job in two minutes.

    A scripted expert, and the same expert with noise on its actions, both on the same frozen
    initial states of the SO-101 arm.

    Args:
        out: The run folder; a second call continues it, or shows it again.
        workers: Environments at a time; default one per core.
    """
    from vla_eval.runner import run
    from vla_eval.terminal import report_text

    print(
        "two policies, the same episodes: the expert, and the expert with noise on its actions",
        file=sys.stderr,
    )
    summary = run("so101-quickstart", _ARMS, out, workers=workers)
    print(report_text(summary))
    command = _command()
    print(
        f"\nall of it is in {out}. Next:\n"
        f"  {command} report {out} --json | head -40\n"
        f"  {command} list policies\n"
        f"  {command} run so101-pick-place --arm noisy='impaired:expert?action_noise=0.01' \\\n"
        "      --arm expert=expert --out runs/pick-place"
    )
    return EXIT_COMPLETE if summary.complete else EXIT_INFRASTRUCTURE


def _command() -> str:
    """Return what the reader has to type: in a checkout, .venv/bin is not on the path."""
    if shutil.which("vlaeval"):
        return "vlaeval"
    return os.path.relpath(Path(sys.argv[0]).resolve())
