"""``vlaeval replay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import say
from vla_eval.errors import EXIT_COMPLETE, EXIT_REFUTED, UsageError

if TYPE_CHECKING:
    from vla_eval.record import EpisodeRecord

__all__ = ["replay"]


def replay(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    key: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="KEY")] = "",
    *,
    arm: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    video: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    size: Annotated[int | None, tyro.conf.arg(metavar="PX")] = None,
    with_policy: bool = False,
    grid: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    camera: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    trust: bool = False,
) -> int:
    r"""Show one recorded episode again, check that it is the same, and write a video of it.

    Example: vlaeval replay runs/parity so101/PickPlace/i104/e0/p0 --arm student \
        --video failure.mp4

    Example: vlaeval replay runs/parity --grid differences.mp4

    The episode is played from the actions that the run kept: without its policy, weights or GPU. Where
    none were kept, or with --with-policy, its policy runs again. Exit code 0 when scene, actions and
    outcome are reproduced, 1 when not. Reports list the keys of the episodes in which two arms differ,
    with this command.

    Args:
        run: The run folder.
        key: suite/task/initial state/environment seed/policy seed, as reports write it.
        arm: The arm that ran the episode.
        video: A .mp4 (needs imageio[ffmpeg]) or .gif file: all cameras side by side.
        size: Height and width of each camera's picture in px, from stored actions only; default: as the
            policy saw them.
        with_policy: Run the policy again, and compare its actions too.
        grid: A .mp4 file of the first twelve episodes in which the arms differ, all at once, from stored
            actions; leave out KEY and --arm.
        camera: With --grid, the camera to show, or "side" for the environment's own view; default: the
            first one.
        trust: Run code that the folder names and no installed package provides; see docs/trust.md.
    """
    if grid is not None:
        return _grid(run, grid, size, camera, trust=trust)
    if not key or arm is None:
        raise UsageError("which episode? give its KEY and --arm NAME, or --grid FILE for several")
    from vla_eval.recording.replay import replay as run_again
    from vla_eval.recording.replay import replay_actions

    if not with_policy:
        shown = replay_actions(run, key, arm, video=video, size=size, trust=trust)
        if shown is not None:
            _tell(shown, video)
            say("reproduced: the same scene, and the same end by the same actions")
            return EXIT_COMPLETE
    if size is not None:
        raise UsageError("--size is for stored actions: a policy sees the pictures of its protocol")
    done = run_again(run, key, arm, video=video, trust=trust)
    _tell(done.record, video)
    for name, (then, now) in done.differences.items():
        say(f"{name}: {then} in the record, {now} now")
    if done.differences:
        say("NOT REPRODUCED: this is another episode than the recorded one", file=sys.stderr)
        return EXIT_REFUTED
    say("reproduced: the same scene and the same actions")
    return EXIT_COMPLETE


def _tell(record: EpisodeRecord, video: Path | None) -> None:
    reason = f" ({record.reason})" if record.reason else ""
    say(f"{record.arm} {record.key}: {record.outcome}{reason} after {record.steps} steps")
    if video is not None:
        say(f"video: {video}", file=sys.stderr)


def _grid(run: Path, file: Path, size: int | None, camera: str | None, *, trust: bool) -> int:
    from vla_eval.cli.films import make_films
    from vla_eval.cores import usable_cores
    from vla_eval.view.films import FilmStyle
    from vla_eval.view.gather import read_runs
    from vla_eval.view.grid import MOST_EPISODES, write_grid
    from vla_eval.view.studio import Studio, chosen

    if file.suffix != ".mp4":
        raise UsageError(f"--grid {file}: name a .mp4 file")
    style = FilmStyle(size, side=camera == "side")
    episodes = chosen(read_runs([run]), "discordant")
    if not episodes:
        raise UsageError(f"{run}: in no episode do the arms differ, so there is no grid to show")
    with Studio(workers=usable_cores(), style=style, trust=trust) as studio:
        make_films(studio, episodes[:MOST_EPISODES])
    write_grid(file, episodes, style, camera=camera)
    left = len(episodes) - MOST_EPISODES
    say(
        f"video: {file}" + (f" (without {left} more episodes)" if left > 0 else ""), file=sys.stderr
    )
    return EXIT_COMPLETE
