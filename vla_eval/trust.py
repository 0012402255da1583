"""Trust in the code that a file names: modules in protocols and specs.

Reading a run folder imports none of this code. Running its episodes (``vlaeval replay``, ``vlaeval
verify --replay``, ``vlaeval sweep``) imports its environments and policies. The user trusted the entry
points of an installed distribution by installing it; every other module is chosen by another person's
file, and needs the user's consent.
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
"""Options of specs that let a checkpoint run its own code."""


def foreign_code(protocol: Protocol | None, specs: Iterable[str]) -> list[str]:
    """Return descriptions of the foreign modules and servers that would be used; may be empty.

    Args:
        protocol: its environments' modules count.
        specs: specs of policies.
    """
    foreign: list[str] = []
    if protocol is not None:
        points = entry_points(group="vla_eval.envs")
        ours = {point.module.partition(".")[0] for point in points}
        for block in protocol.blocks:
            module = block.env_id.partition(":")[0]
            if module.partition(".")[0] not in ours:
                foreign.append(f"the module '{module}' for {block.suite}'s environments")
    for spec in specs:
        foreign += _code_of(spec)
    return list(dict.fromkeys(foreign))


def _code_of(text: str) -> Iterator[str]:
    try:
        spec = PolicySpec.parse(text)
    except PolicySpecError:
        return  # running it raises the error
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
    """Report on stderr the foreign code of a file that the user chose."""
    if names := printable("; ".join(foreign)):
        sys.stderr.write(f"{where} names, and it is used: {names}\n")


def need_trust(where: str, foreign: Iterable[str], *, trust: bool) -> None:
    """Report a file's foreign code; continue only with the user's consent.

    On a terminal the user is asked; elsewhere ``--trust`` (in Python ``trust=True``) gives the consent.

    Args:
        where: the file that names the code.
        foreign: its foreign code, see :func:`foreign_code`.
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
