"""``vlaeval publish``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import say
from vla_eval.errors import EXIT_COMPLETE, UsageError

__all__ = ["publish"]


def publish(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    repo: Annotated[str | None, tyro.conf.arg(metavar="USER/NAME")] = None,
    model: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ARM=USER/POLICY")
    ] = (),
    benchmark: Annotated[str | None, tyro.conf.arg(metavar="ORG/NAME")] = None,
    task_id: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None,
    license: str = "cc-by-4.0",  # noqa: A002 - the flag's name
    show_paths: bool = False,
    videos: bool = False,
) -> int:
    r"""Write a run as folders for the Hugging Face hub: a dataset repository, and model card blocks.

    Example: vlaeval publish runs/parity --out published \
        --repo USER/parity --model student=USER/student

    Needs no network and no token, and prints the command that uploads. The dataset repository holds tables
    that load_dataset opens, the raw records, and every certificate with its report; every reader
    recomputes them with `vlaeval verify`. Names of machines and of your home folder are left out. No model
    card is changed: paste the block yourself.

    Args:
        run: The run folder, complete; it is not changed.
        out: A new folder.
        repo: The dataset repository's name, which the model cards then give as their source.
        model: The model's name on the hub, by arm; can be given several times.
        benchmark: Also write entries of `.eval_results` for this leaderboard.
        task_id: The task of that leaderboard.
        license: Licence of the data, in the hub's words.
        show_paths: Publish paths of this machine, where a policy is named by one.
        videos: Publish the videos too that the run has, from `vlaeval view RUN --render discordant` or
            `vlaeval log RUN --to TRACKER --videos`.
    """
    from vla_eval.publish import Benchmark
    from vla_eval.publish import publish as write

    if (benchmark is None) != (task_id is None):
        raise UsageError("--benchmark ORG/NAME and --task-id ID go together; give both or neither")
    board = None if benchmark is None or task_id is None else Benchmark(benchmark, task_id)
    done = write(
        run,
        out,
        repo=repo,
        models=_models(model),
        benchmark=board,
        licence=license,
        show_paths=show_paths,
        videos=videos,
    )
    say(f"dataset repository: {done.dataset}")
    for arm, file in done.cards.items():
        say(f"head of {arm}'s model card: {file}")
    for arm, file in done.entries.items():
        say(f"leaderboard entry of {arm}: {file}")
    target = shlex.quote(repo or "USER/NAME")
    say(f"upload: hf upload {target} {shlex.quote(str(done.dataset))} . --repo-type dataset")
    return EXIT_COMPLETE


def _models(texts: Sequence[str]) -> dict[str, str]:
    names = {}
    for text in texts:
        arm, equals, name = text.partition("=")
        if not equals or not arm or not name:
            raise UsageError(f"--model {text}: expected ARM=USER/POLICY")
        names[arm] = name
    return names
