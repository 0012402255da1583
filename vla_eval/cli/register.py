"""``vlaeval register``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import Changes, ProtocolName, parse_arms, say
from vla_eval.errors import EXIT_COMPLETE
from vla_eval.files.plain import printable_json

if TYPE_CHECKING:
    from vla_eval.claims.registration import Registration

__all__ = ["register"]

RoleName = Annotated[str | None, tyro.conf.arg(metavar="NAME")]


def register(
    protocol: ProtocolName,
    *,
    arm: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=SPEC")
    ] = (),
    candidate: RoleName = None,
    reference: RoleName = None,
    control: RoleName = None,
    set_: Changes = (),
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("registration.json"),
    json: bool = False,
) -> int:
    r"""Register a run's comparison in a file, before its first episode; commit that file.

    Example: vlaeval register so101-pick-place --out registration.json \
        --arm student=flow:student.safetensors --arm teacher=expert \
        --candidate student --reference teacher

    The policies are built, so that the file holds the hashes of their weights, options and code.
    Without a registration a certificate is flagged, because its protocol may have been chosen after
    the results. The dates in it are this machine's; a push to a public host proves the date to
    others.

    Args:
        protocol: Name of a shipped protocol (see: vlaeval list protocols) or path of a .toml file.
        arm: One policy; repeat for each arm, in the order of the run.
        candidate: The arm to be certified; default the protocol's.
        reference: The arm that the candidate is compared with; default the protocol's.
        control: An arm that must fail; default the protocol's, which may have none.
        set_: Change a field of the protocol, as the run will. Repeatable.
        out: The new file.
        json: Print the registration itself.
    """
    from vla_eval.catalog import check_catalogue
    from vla_eval.claims import registration
    from vla_eval.released import load_protocol
    from vla_eval.runs.folder import check_arm_names

    registration.refuse_overwriting(out)
    loaded, specs = load_protocol(protocol, overrides=set_), parse_arms(arm, None)
    check_arm_names(specs)
    check_catalogue(loaded)
    made = registration.register(
        loaded,
        specs,
        candidate=candidate,
        reference=reference,
        control=control,
        folder=out.resolve().parent,
    )
    registration.write_registration(made, out)
    say(printable_json(made.model_dump_json(indent=2)) if json else "\n".join(_lines(made)))
    say(f"registration: {out}", file=sys.stderr)
    for line in _next_steps(made, out, protocol, set_):
        say(line, file=sys.stderr)
    return EXIT_COMPLETE


def _lines(made: Registration) -> list[str]:
    sides = {
        "candidate": made.roles.candidate,
        "reference": made.roles.reference,
        "negative control": made.roles.control,
    }
    roles = {
        name: role
        for role, names in sides.items()
        for name in (names if isinstance(names, tuple) else (names,))
    }
    return [
        f"{made.protocol} {made.protocol_sha256[:12]}, {made.standing}",
        f"margin {100 * made.margin:g} points, alpha {made.alpha:g}",
        *(
            f"{roles.get(arm.name, 'without a role')} {arm.name}: {arm.spec}\n"
            f"  identity {arm.identity_sha256[:12]}"
            for arm in made.arms
        ),
    ]


def _next_steps(made: Registration, out: Path, protocol: str, changes: Sequence[str]) -> list[str]:
    """Return the next steps with the file, as commands to copy."""
    arms = [word for arm in made.arms for word in ("--arm", f"{arm.name}={arm.spec}")]
    sets = [word for change in changes for word in ("--set", change)]
    roles = []
    if isinstance(made.roles.candidate, str) and isinstance(made.roles.reference, str):
        roles = ["--candidate", made.roles.candidate, "--reference", made.roles.reference]
        roles += ["--control", made.roles.control] if made.roles.control else []
    run = ["vlaeval", "run", protocol, *arms, *sets, "--out", "runs/NAME"]
    certify = ["vlaeval", "certify", "runs/NAME", *roles, "--registration", str(out)]
    return [
        "next:",
        f"  git add {shlex.quote(str(out))} && git commit && git push",
        f"  {shlex.join(run)}",
        f"  {shlex.join(certify)} --since COMMIT",
    ]
