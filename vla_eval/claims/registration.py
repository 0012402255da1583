"""Registrations: what a run will compare, written down before its first episode.

A protocol fixes margin, states and test, and its hash is in every record. It does not say when it was
written: who has seen a run can write one that fits it. A registration is a small file that names the
protocol's hash, the arms with the hashes of their identities, and their roles. Written before the first
episode and *committed*, it shows that the claim was there before its data::

    vlaeval register so101-pick-place --arm student=… --arm teacher=… --candidate student …
    git add registration.json && git commit && git push
    vlaeval run so101-pick-place --arm student=… --arm teacher=… --out runs/parity

The times in the file and in the records are those of the machine that wrote them, and the date of a
commit can be set by hand. What dates a registration for strangers is a copy that its author cannot
change: a push to a public host, a timestamp service. :func:`check` says whether a run is the one that
was registered; :func:`committed_since` says what git can say.

A copy lies at ``RUN/registration.json`` (:func:`keep`), where a verifier finds it (:func:`kept`).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from vla_eval.claims.repository import committed_since, head_of
from vla_eval.errors import (
    InfrastructureError,
    RunFolderError,
    UsageError,
    VlaEvalError,
    did_you_mean,
)
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import ArmName, read_model, read_text
from vla_eval.judging.roles import Roles, sequential_roles
from vla_eval.protocol import Protocol
from vla_eval.released import Standing, standing
from vla_eval.runs.header import Arm, RunHeader, identity_sha256, refuse_unidentified
from vla_eval.spec import build_policy, identity_of

__all__ = [
    "FILE_NAME",
    "RegisteredArm",
    "RegisteredRoles",
    "Registration",
    "check",
    "committed_since",
    "keep",
    "kept",
    "read_registration",
    "refuse_overwriting",
    "register",
    "write_registration",
]

FILE_NAME = "registration.json"
"""What a run folder's copy is called."""


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is a time that no clock shows") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RegisteredArm(_Frozen):
    """One policy that will run."""

    name: ArmName
    spec: str
    identity_sha256: Sha256
    """Of metadata (weights, options), code and spec, as ``run.json`` stores them."""


class RegisteredRoles(_Frozen):
    """Which arm will be what."""

    candidate: ArmName
    reference: ArmName
    control: ArmName | None = None


class Registration(_Frozen):
    """What will be run and judged."""

    format: Literal[1] = 1
    protocol: str
    """Label, for the reader; the hash is what counts."""
    protocol_sha256: Sha256
    standing: Standing
    """How the protocol stood to the released ones when this was written."""
    arms: tuple[RegisteredArm, ...]
    roles: RegisteredRoles
    margin: float
    """The protocol's, for the reader."""
    alpha: float
    """The protocol's, for the reader."""
    registered_at: Moment
    """UTC, by the clock of the machine that wrote it."""
    commit: str | None = None
    """The commit that the file's repository was at, if it lies in one."""


def register(
    protocol: Protocol,
    specs: Mapping[str, str],
    *,
    candidate: str | None = None,
    reference: str | None = None,
    control: str | None = None,
    folder: Path = Path(),
) -> Registration:
    """Say what will be run. The policies are built, so that their identities are those of the run.

    Args:
        protocol: what will be run.
        specs: policy specs by the names of their arms, in the order of the run.
        candidate: which arm has to prove itself; default the protocol's.
        reference: which arm it is measured by; default the protocol's.
        control: which arm must fail; default the protocol's, which may be none.
        folder: where the file will lie; its repository's commit goes into it.

    Raises:
        UsageError: the roles are not complete or not the protocol's, or a policy cannot be built.
        ProtocolError: the protocol only claims to be a released one.
        InfrastructureError: a policy could not be loaded.
    """
    known = standing(protocol)
    roles = _complete(protocol, list(specs), (candidate, reference, control))
    return Registration(
        protocol=protocol.label,
        protocol_sha256=protocol.sha256,
        standing=known,
        arms=tuple(_arm(name, spec) for name, spec in specs.items()),
        roles=roles,
        margin=protocol.analysis.margin,
        alpha=protocol.analysis.alpha,
        registered_at=datetime.now(UTC),
        commit=head_of(folder),
    )


def _arm(name: str, spec: str) -> RegisteredArm:
    try:
        with redirect_stdout(sys.stderr):  # what a policy prints is no result of ours
            metadata = build_policy(spec).metadata
    except VlaEvalError:
        raise
    except Exception as error:
        raise InfrastructureError(
            f"arm '{name}': its policy could not be loaded: {type(error).__name__}: {error}"
        ) from error
    identity = identity_of(spec, metadata)
    refuse_unidentified(Arm(name=name, spec=spec, identity=identity))
    return RegisteredArm(name=name, spec=spec, identity_sha256=identity_sha256(identity))


def _complete(
    protocol: Protocol, arms: Sequence[str], asked: tuple[str | None, str | None, str | None]
) -> RegisteredRoles:
    """Fill the roles that were left out; refuse those that nobody could certify."""
    analysis = protocol.analysis
    fixed = (analysis.candidate, analysis.reference, analysis.negative_control)
    looks = analysis.stopping != "fixed"
    taken = sequential_roles(protocol, arms) if looks else (None, None)
    flags = ("candidate", "reference", "control")
    names: list[str | None] = []
    for flag, given, planned, looked in zip(flags, asked, fixed, (*taken, None), strict=True):
        name = given or planned or looked
        if planned is not None and name != planned:
            raise UsageError(f"{protocol.label} fixes its {flag} as arm '{planned}', not '{name}'")
        if looked is not None and name != looked:
            raise UsageError(
                f"{protocol.label} stops by looking at its first arm against its second, so the "
                f"{flag} is arm '{looked}', not '{name}'; give the arms in that order"
            )
        if name is None and flag != "control":
            raise UsageError(f"which arm is the {flag}? say so with --{flag} NAME")
        if name is not None and name not in arms:
            raise UsageError(f"--{flag}: there is no arm '{name}'{did_you_mean(name, arms)}")
        names.append(name)
    given_names = [name for name in names if name is not None]
    if len(set(given_names)) != len(given_names):
        raise UsageError("one arm cannot have two roles")
    return RegisteredRoles(candidate=str(names[0]), reference=str(names[1]), control=names[2])


def write_registration(registration: Registration, path: Path) -> None:
    """Write a registration to a new file.

    Raises:
        UsageError: the file is there already.
        StorageError: it cannot be written.
    """
    refuse_overwriting(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent}: cannot be made ({error.strerror})") from None
    write_atomically(path, registration.model_dump_json(indent=2) + "\n")


def refuse_overwriting(path: Path) -> None:
    """Raise UsageError where a registration would replace something."""
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"{path}: is there already, and a registration is written once; name another file with "
            "--out (a registration that was never run is deleted by hand)"
        )


def read_registration(path: Path) -> Registration:
    """Read a registration; raises UsageError where it is none."""
    return read_model(path, Registration, wrong="is no registration")


def _content(path: Path) -> bytes:
    """Return a file's bytes; raises UsageError where there is no file."""
    return read_text(path).encode()


def check(registration: Registration, run: RunHeader, roles: Roles, first_episode_at: str) -> None:
    """Refuse a run that is not the registered one.

    Arms that were not registered may run along; what is claimed is claimed of registered ones.

    Args:
        registration: what was said beforehand.
        run: the content of ``run.json``.
        roles: with which the run is to be judged.
        first_episode_at: when the first attempt of any arm began; ISO 8601 with its zone.

    Raises:
        RunFolderError: another protocol, another policy, or episodes from before the registration.
        UsageError: other roles.
    """
    _check_protocol(registration, run)
    arms = {arm.name: arm for arm in run.arms}
    for registered in registration.arms:
        _check_arm(registered, arms.get(registered.name))
    for role, planned, asked in (
        ("candidate", registration.roles.candidate, roles.candidate),
        ("reference", registration.roles.reference, roles.reference),
        ("negative control", registration.roles.control, roles.control),
    ):
        if planned != asked:
            raise UsageError(
                f"the {role} was registered as {_named(planned)}, not {_named(asked)}; "
                "roles cannot change after the fact"
            )
    begun = _moment(first_episode_at)
    if begun <= registration.registered_at:
        raise RunFolderError(
            f"the run's first episode began at {begun.isoformat()}, and it was registered at "
            f"{registration.registered_at.isoformat()}: what is written down afterwards registers "
            "nothing; run again in a new folder"
        )


def _named(arm: str | None) -> str:
    return "no arm" if arm is None else f"arm '{arm}'"


def _check_protocol(registration: Registration, run: RunHeader) -> None:
    if run.protocol_sha256 != registration.protocol_sha256:
        raise RunFolderError(
            f"the run is of {run.protocol.label} with hash {run.protocol_sha256[:12]}, and "
            f"{registration.protocol} with hash {registration.protocol_sha256[:12]} was registered"
        )
    analysis = run.protocol.analysis
    said = (registration.protocol, registration.margin, registration.alpha)
    if said != (run.protocol.label, analysis.margin, analysis.alpha):
        raise RunFolderError(
            f"the registration shows its readers {said[0]}, margin {said[1]} and alpha {said[2]}, "
            f"and the protocol with its hash is {run.protocol.label}, margin {analysis.margin} and "
            f"alpha {analysis.alpha}: it was edited"
        )


def _check_arm(registered: RegisteredArm, arm: Arm | None) -> None:
    if arm is None or arm.identity is None:
        raise RunFolderError(
            f"arm '{registered.name}' was registered, and no policy of that name ran"
        )
    if arm.spec != registered.spec:
        raise RunFolderError(
            f"arm '{arm.name}' was registered as {registered.spec}, and {arm.spec} ran"
        )
    ran = identity_sha256({**arm.identity, "spec": arm.spec})
    if ran != registered.identity_sha256:
        raise RunFolderError(
            f"arm '{arm.name}' ran with other weights, options or code than were registered "
            f"(identity {ran[:12]}, registered {registered.identity_sha256[:12]})"
        )


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return _in_utc(found)
    except ValueError:
        pass
    raise RunFolderError(f"the run's first episode began at {text!r}, which is no time with a zone")


def keep(path: Path, run: Path) -> None:
    """Put a copy of a registration where the verifier of a run folder finds it.

    Raises:
        UsageError: it is no registration.
        RunFolderError: the folder holds another one already.
    """
    read_registration(path)
    copy = run / FILE_NAME
    if not copy.exists():
        write_atomically(copy, _content(path).decode())
    elif _content(copy) != _content(path):
        raise RunFolderError(
            f"{copy}: is another registration than {path}; a run is registered once"
        )


def kept(run: Path) -> Registration | None:
    """Return the registration that lies in a run folder; raises UsageError where it is damaged."""
    copy = run / FILE_NAME
    return read_registration(copy) if copy.exists() or copy.is_symlink() else None
