"""``vlaeval log``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import say
from vla_eval.errors import EXIT_COMPLETE

__all__ = ["log"]


def log(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    to: Annotated[str, tyro.conf.arg(metavar="TRACKER")],
    videos: bool = False,
    trust: bool = False,
) -> int:
    """Send a run to an experiment tracker, after the run.

    Example: vlaeval log runs/first --to tensorboard:runs/board

    Sends rates and differences with their intervals, tables of tasks and pairs, the report, and a grid
    of videos of new failures. What the tracker had of this run is replaced.

    Args:
        run: A run folder, or the folder of a training with a run for each step.
        to: NAME[:TARGET][?option=value&...]: tensorboard[:DIR], trackio[:PROJECT],
            wandb[:PROJECT][?mode=offline], mlflow[:URI].
        videos: Make videos of up to 4 failures from the stored actions, those that the reference won
            first; without, videos are sent that exist.
        trust: With --videos, run code that the folder names and no installed package provides.
    """
    from vla_eval.sinks.send import send

    arms = send(run, to, render=videos, trust=trust)
    say(f"sent to {to}: {', '.join(arms)}")
    return EXIT_COMPLETE
