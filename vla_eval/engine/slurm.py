"""The script of a Slurm array whose jobs run the shards of one run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

from vla_eval.errors import EXIT_INTERRUPTED, EXIT_NOTHING_TO_DO, InfrastructureError, UsageError

__all__ = ["array_script", "parse_settings", "submit"]

_DEFAULTS = {
    "job-name": "vlaeval",
    "requeue": "",
    "open-mode": "append",
    "signal": "TERM@120",
}
"""SIGTERM two minutes before the time limit: the episodes in flight are lost, nothing else."""
_OURS = ("array",)


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Read ``--set-slurm KEY=VALUE``, or ``KEY`` for a switch; raises UsageError."""
    settings = {}
    for text in texts:
        key, _, value = text.partition("=")
        if not re.fullmatch(r"[a-z][a-z-]*", key) or not re.fullmatch(r"[^\s#]*", value):
            raise UsageError(
                f"--set-slurm {text}: expected an option of sbatch without its dashes, for example "
                "partition=gpu"
            )
        if key in _OURS:
            raise UsageError(f"--set-slurm {text}: --jobs decides it")
        settings[key] = value
    return settings


def array_script(arguments: Sequence[str], jobs: int, settings: Mapping[str, str]) -> str:
    """Return the text for ``sbatch``.

    Args:
        arguments: those of ``vlaeval`` for the whole run, without ``--shard``.
        jobs: number of shards.
        settings: options of sbatch; an empty value is a switch.
    """
    options = {**_DEFAULTS, **settings, "array": f"1-{jobs}"}
    head = [
        f"#SBATCH --{key}={value}" if value else f"#SBATCH --{key}"
        for key, value in options.items()
    ]
    command = shlex.join([sys.executable, "-m", "vlaeval_launcher", *arguments])
    return "\n".join(
        [
            "#!/bin/bash",
            *head,
            "",
            f'srun {command} --shard "$SLURM_ARRAY_TASK_ID/{jobs}"',
            "code=$?",
            f"if [ $code -eq {EXIT_NOTHING_TO_DO} ]; then exit 0; fi  # this shard is empty",
            f"if [ $code -eq {EXIT_INTERRUPTED} ]; then  # preempted, or a look waits for other shards",
            '    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"',
            "fi",
            "exit $code",
            "",
        ]
    )


def submit(script: str) -> str:
    """Give a script to ``sbatch``, and return its answer.

    Raises:
        UsageError: there is no sbatch here.
        InfrastructureError: sbatch refused the script.
    """
    try:
        done = subprocess.run(["sbatch"], input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UsageError(
            "there is no sbatch on this machine; submit from a login node, or see the script with "
            "--print"
        ) from None
    if done.returncode:
        raise InfrastructureError(f"sbatch refused the jobs: {done.stderr.strip()}")
    return done.stdout.strip()
