"""``vlaeval completion``."""

from __future__ import annotations

from typing import Literal

import tyro

__all__ = ["completion"]


def completion(shell: tyro.conf.Positional[Literal["bash", "zsh"]]) -> int:
    """Print the script that completes verbs and flags of this command in a shell.

    Example: vlaeval completion bash

    For bash, write it to ~/.local/share/bash-completion/completions/vlaeval; for zsh, as `_vlaeval` into a
    folder of `$fpath`. Then start a new shell.

    Args:
        shell: The shell.
    """
    from vla_eval.cli import main

    return main(["--tyro-print-completion", shell])
