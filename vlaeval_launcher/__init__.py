"""Entry point of the `vlaeval` command: checks that `vla_eval` is this project's, then starts it.

It is outside `vla_eval` because PyPI's distribution `vla-eval` (an unrelated evaluation harness of
AllenAI) installs a package with the same name. The one that is installed last overwrites the other's
files; this package survives that and reports it.
"""

from __future__ import annotations

import gc
import sys

from vlaeval_launcher.stopping import EXIT_INTERRUPTED, Stopping

__all__ = ["collision", "main"]

EXIT_USAGE = 4
_OBJECTS_OF_IMPORTS = 300_000

_REPAIR = """\
Keep the two in separate environments. To repair this one:
  pip uninstall vla-eval
  pip install --force-reinstall --no-deps vla-eval-suite    (from a checkout: -e . instead)"""


def collision() -> str | None:
    """Check that the `vla_eval` that would be imported is this project's.

    Returns:
        One paragraph with the problem and the commands that repair it, or None without a problem.
    """
    import importlib.metadata  # here, so that signals are handled before 100 ms of imports
    import importlib.util
    from pathlib import Path

    try:
        foreign = importlib.metadata.version("vla-eval")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        return (
            f"The distribution vla-eval {foreign} (AllenAI's harness, unrelated to this one) is "
            "installed in this environment. It and vla-eval-suite both install the package "
            "`vla_eval`, so the files of one have overwritten, or hide, those of the other, and no "
            f"result computed here could be trusted.\n{_REPAIR}"
        )

    here = Path(__file__).resolve().parent
    spec = importlib.util.find_spec("vla_eval")
    origin = spec.origin if spec else None
    # Wheel, sdist and editable installs all put the two packages side by side.
    if origin is None or Path(origin).resolve().parent != here.with_name("vla_eval"):
        state = f"comes from {origin}" if origin else "is missing or incomplete"
        return (
            f"The package `vla_eval` {state}, but the one that belongs to this command is "
            f"{here.with_name('vla_eval')}. Another distribution of that name, a leftover of one, "
            f"or a folder `vla_eval` in the current directory is in the way.\n{_REPAIR}"
        )
    return None


def main() -> int:
    """Run the `vlaeval` command, unless another package has taken its place.

    Returns:
        The command's exit code, or 4 when it refuses to start.
    """
    stopping = Stopping()
    stopping.install()
    try:
        code = _run(stopping)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    stopping.settle(code)
    return code


def _run(stopping: Stopping) -> int:
    problem = collision()
    if problem is not None:
        print(f"vlaeval: refusing to start. {problem}", file=sys.stderr)
        return EXIT_USAGE

    _search_garbage_later()
    from vla_eval.cli import main as run  # only once it is known to be ours

    stopping.be_orderly()
    return run()


def _search_garbage_later() -> None:
    """Put off the first search for garbage until after imports; from then on it is searched as usual.

    Imports make many objects and no garbage, and searching for it takes a twentieth of a short command.
    """
    usual = gc.get_threshold()

    def begun(_phase: str, _info: dict[str, int]) -> None:
        gc.callbacks.remove(begun)
        gc.set_threshold(*usual)

    gc.callbacks.append(begun)
    gc.set_threshold(_OBJECTS_OF_IMPORTS, *usual[1:])
