"""Generate a task's file of initial states: print it, and print its sha256 on stderr.

Example: ``python -m vla_eval_envs.freeze stacking``. A new task pins the printed sha256.
"""

from __future__ import annotations

import argparse
import hashlib
import sys

from vla_eval_envs.lekiwi.states import ShoppingStates
from vla_eval_envs.manipulation.tasks import task_classes
from vla_eval_envs.so101.frozen import FrozenStates

__all__ = ["frozen_states"]


def frozen_states() -> dict[str, FrozenStates | ShoppingStates]:
    """Return the initial states of every task, by the names of their files."""
    so101 = [kind.frozen for kind in task_classes("vla_eval_envs.so101")]
    lekiwi = [
        states for kind in task_classes("vla_eval_envs.lekiwi") for states in kind.frozen.values()
    ]
    return {states.name: states for states in (*so101, *lekiwi)}


def main() -> None:
    """Print the file that the command's argument names."""
    known = frozen_states()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(known))
    text = known[parser.parse_args().name].generate()
    sys.stdout.write(text)
    sys.stderr.write(f"sha256 {hashlib.sha256(text.encode()).hexdigest()}\n")


if __name__ == "__main__":
    main()
