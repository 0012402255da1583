"""Which code a file asks to be run: modules that protocols and specs name.

Reading a run folder imports nothing that it names. Running what it names (``vlaeval replay``,
``vlaeval verify --replay``, ``vlaeval sweep``) imports its environments and policies. What comes with
an installed distribution's entry points was trusted when that was installed; every other module is
code that somebody else's file chooses, and needs the user's word.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.files.plain import printable
from vla_eval.protocol import Protocol
from vla_eval.spec import PolicySpec, policy_kinds

__all__ = ["foreign_code", "need_trust", "tell_code"]

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_RUNS_CODE = {"plugin": "the package '{}'", "trust_remote_code": "code of model repositories"}
"""Options of specs that let a checkpoint bring code."""


def foreign_code(protocol: Protocol | None, specs: Iterable[str]) -> list[str]:
    """Return what would be imported or connected to, each in words; empty: what is installed only.

    Args:
        protocol: its environments' modules count.
        specs: of policies.
    """
    found: list[str] = []
    if protocol is not None:
        ours = {each.module.partition(".")[0] for each in entry_points(group="vla_eval.envs")}
        for block in protocol.blocks:
            module = block.env_id.partition(":")[0]
            if module.partition(".")[0] not in ours:
                found.append(f"the module '{module}' for {block.suite}'s environments")
    for spec in specs:
        found += _code_of(spec)
    return list(dict.fromkeys(found))


def _code_of(text: str) -> Iterator[str]:
    try:
        spec = PolicySpec.parse(text)
    except PolicySpecError:
        return  # whoever runs it says so
    if spec.kind not in policy_kinds():
        if spec.target and _MODULE.fullmatch(spec.kind):
            yield f"the module '{spec.kind}' for the policy '{text}'"
        return
    for option, words in _RUNS_CODE.items():
        if spec.options.get(option, "false").lower() not in ("false", "0", "no", "off", "f", "n"):
            yield f"{words.format(spec.options[option])} for the policy '{text}'"
    if spec.target and re.match(r"wss?://", spec.target):
        yield f"the server {spec.target}, which is sent what the cameras see"
    elif spec.target:
        yield from _code_of(spec.target)


def tell_code(where: str, foreign: Iterable[str]) -> None:
    """Say on stderr what a file that the user chose asks to be run."""
    if names := printable("; ".join(foreign)):
        sys.stderr.write(f"{where} names, and it is used: {names}\n")


def need_trust(where: str, foreign: Iterable[str], *, trust: bool) -> None:
    """Say what a file asks to be run; go on only with the user's word.

    On a terminal the user is asked; elsewhere ``--trust`` (in Python ``trust=True``) is that word.

    Args:
        where: the file that asks.
        foreign: what it names, see :func:`foreign_code`.
        trust: whether the user has agreed.

    Raises:
        UsageError: the user has not agreed; nothing was imported.
    """
    names = printable("; ".join(foreign))
    if not names:
        return
    if trust:
        tell_code(where, [names])
        return
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"{where} names code that is not installed with vla_eval: {names}\n")
        sys.stderr.write("Run it? Only if you trust who made the file. [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise UsageError(
        f"{where} names code that would be run: {names}; if you trust who made it, add --trust "
        "(in Python: trust=True)"
    )
