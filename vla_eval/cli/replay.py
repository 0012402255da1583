"""``vlaeval replay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import say
from vla_eval.errors import EXIT_COMPLETE, EXIT_REFUTED

__all__ = ["replay"]


def replay(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    key: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="KEY")],
    *,
    arm: Annotated[str, tyro.conf.arg(metavar="ARM")],
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    trust: bool = False,
) -> int:
    r"""Run one recorded episode again, check that it is the same, and write a video of it.

    Example: vlaeval replay runs/parity so101/PickPlace/i104/e0/p0 --arm student \
        --video failure.mp4

    Exit code 0 when scene, actions and outcome are reproduced bit for bit, 1 when not. Reports list
    the keys of the episodes in which two arms differ, with this command.

    Args:
        run: The run folder.
        key: suite/task/initial state/environment seed/policy seed, as reports write it.
        arm: The arm that ran the episode.
        video: A .mp4 (needs imageio[ffmpeg]) or .gif file: all cameras side by side.
        trust: Run code that the folder names and no installed package provides; see docs/trust.md.
    """
    from vla_eval.recording.replay import replay as run_again

    done = run_again(run, key, arm, video=video, trust=trust)
    reason = f" ({done.record.reason})" if done.record.reason else ""
    say(f"{arm} {key}: {done.record.outcome}{reason} after {done.record.steps} steps")
    if video is not None:
        say(f"video: {video}", file=sys.stderr)
    for name, (then, now) in done.differences.items():
        say(f"{name}: {then} in the record, {now} now")
    if done.differences:
        say("NOT REPRODUCED: this is another episode than the recorded one", file=sys.stderr)
        return EXIT_REFUTED
    say("reproduced: the same scene and the same actions")
    return EXIT_COMPLETE
