"""``vlaeval submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from vla_eval.cli.common import Changes, ProtocolName, parse_arms, say
from vla_eval.errors import EXIT_COMPLETE, UsageError

__all__ = ["submit"]


def submit(
    scheduler: tyro.conf.Positional[Literal["slurm"]],
    protocol: ProtocolName,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    jobs: Annotated[int, tyro.conf.arg(metavar="N")],
    arm: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=SPEC")
    ] = (),
    policy: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    set_: Changes = (),
    set_slurm: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE")
    ] = (),
    print_: Annotated[bool, tyro.conf.arg(name="print")] = False,
) -> int:
    r"""Submit a run as an array of jobs, one shard each, on a shared folder.

    Example: vlaeval submit slurm libero-spatial --arm 'one=lerobot:student?nfe=1' \
        --arm 'ten=lerobot:teacher' --out /shared/parity --jobs 16 --set-slurm gres=gpu:1

    The jobs are ordinary calls of `vlaeval run --shard`. A job that is preempted, or whose look waits
    for other shards, is queued again. Prefer few jobs with a GPU each to many small ones.

    Args:
        scheduler: The cluster's scheduler.
        protocol: Name of a shipped protocol, or path of a .toml file on a shared file system.
        out: The run folder, on a shared file system.
        jobs: Number of shards, and of jobs.
        arm: One policy; repeat for each arm.
        policy: Short for a single arm, named 'policy'.
        set_: Change a field of the protocol. Repeatable.
        set_slurm: An option of sbatch, for example partition=gpu or cpus-per-task=16. Repeatable.
        print_: Print the script for sbatch, and submit nothing.
    """
    del scheduler  # there is one so far
    from vla_eval.engine.slurm import array_script, parse_settings
    from vla_eval.engine.slurm import submit as give
    from vla_eval.released import load_protocol
    from vla_eval.spec import placement_of

    if jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least one job is needed")
    load_protocol(protocol, overrides=set_)
    arms = parse_arms(arm, policy)
    for spec in arms.values():
        placement_of(spec)
    file = Path(protocol)
    arguments = ["run", str(file.resolve()) if file.is_file() else protocol]
    arguments += [part for name, spec in arms.items() for part in ("--arm", f"{name}={spec}")]
    arguments += ["--out", str(out.resolve())]
    arguments += [part for change in set_ for part in ("--set", change)]
    script = array_script(arguments, jobs, parse_settings(set_slurm))
    say(script if print_ else give(script), end="" if print_ else "\n")
    return EXIT_COMPLETE
