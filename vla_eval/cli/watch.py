"""``vlaeval watch``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vla_eval.cli.common import OptionalWorkers, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_NOTHING_TO_DO

__all__ = ["watch"]


def watch(
    checkpoints: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CHECKPOINTS")],
    *,
    protocol: Annotated[str, tyro.conf.arg(metavar="PROTOCOL")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    policy: Annotated[str, tyro.conf.arg(metavar="SPEC")] = "lerobot:{checkpoint}",
    reference: Annotated[str | None, tyro.conf.arg(metavar="RUN|SPEC")] = None,
    episodes: Annotated[int, tyro.conf.arg(metavar="N")] = 50,
    workers: OptionalWorkers = None,
    states: Literal["development", "any"] = "development",
    margin: float | None = None,
    every: Annotated[int, tyro.conf.arg(metavar="N")] = 1,
    newest_first: bool = False,
    once: bool = False,
    idle_exit: Annotated[float | None, tyro.conf.arg(metavar="MIN")] = None,
    settle: Annotated[float, tyro.conf.arg(metavar="S")] = 10.0,
    ready_file: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
) -> int:
    r"""Evaluate the checkpoints of a training in another process, one after the other.

    Example: vlaeval watch outputs/train --out runs/curve \
        --protocol so101-pick-place --policy 'lerobot:{checkpoint}?nfe=1'

    Knows the folders of LeRobot, transformers and openpi; takes complete checkpoints only, and holds
    them by hard links while their trainer may delete them. The same command continues. A file
    named 'stop' in DIR ends the watch.

    Args:
        checkpoints: The trainer's output folder.
        protocol: Name of a shipped protocol or path of a .toml file.
        out: Folder for one run folder a checkpoint, and the journal watch.jsonl.
        policy: Spec with {checkpoint} in the place of the checkpoint's folder.
        reference: A run folder on the same states, or the spec of a policy, evaluated once first.
        episodes: Most episodes a checkpoint, dealt out equally to the tasks.
        workers: Environments at a time; default one per usable core.
        states: 'any' takes the protocol's own states, those of certificates too.
        margin: How much worse than the reference is still good enough; default the protocol's.
        every: Evaluate only steps that are multiples of N.
        newest_first: If evaluating is slower than training, take the newest first.
        once: End when no complete checkpoint is left.
        idle_exit: End after so many minutes without a new checkpoint.
        settle: Seconds in which no file of a checkpoint may change (not needed for LeRobot).
        ready_file: Name of the file that another trainer writes last into a checkpoint.
    """
    from vla_eval.released import load_protocol
    from vla_eval.trust import foreign_code, tell_code
    from vla_eval.watching.curve import curve_text
    from vla_eval.watching.watch import Watch
    from vla_eval.watching.watch import watch as watch_folder

    asked = Watch(
        checkpoints,
        protocol,
        out,
        policy=policy,
        reference=reference,
        episodes=episodes,
        workers=workers,
        states=states,
        margin=margin,
        every=every,
        newest_first=newest_first,
        once=once,
        idle_exit_s=None if idle_exit is None else 60 * idle_exit,
        settle_s=settle,
        ready_file=ready_file,
    )
    tell_code(protocol, foreign_code(load_protocol(protocol), []))
    curve = watch_folder(asked, lambda sentence: say(sentence, file=sys.stderr))
    if curve is None:
        say(f"{checkpoints}: no complete checkpoint was evaluated")
        return EXIT_NOTHING_TO_DO
    say(curve_text(curve, states=states))
    return EXIT_COMPLETE
