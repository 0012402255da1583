"""Registrations: the plan of a comparison, written down before the run's first episode.

A protocol fixes margin, states and test, and its hash is in every record. But it has no date: an author
who has seen a run can write a protocol that fits it. A registration is a small file with the hash of the
protocol, the arms with the hashes of their identities, and their roles. Written before the first
episode and *committed*, it shows that the claim existed before its data::

    vlaeval register so101-pick-place --arm student=… --arm teacher=… --candidate student …
    git add registration.json && git commit && git push
    vlaeval run so101-pick-place --arm student=… --arm teacher=… --out runs/parity

The times in the file and in the records are those of the machine that wrote them, and the date of a
commit can be set by hand. Others can trust the date of a copy that the author cannot change: a push to
a public host, or a timestamp service. :func:`check` refuses a run that is not the registered one;
:func:`committed_since` returns the date that git knows.

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
from vla_eval.judging.resizing import decides_by_pairs
from vla_eval.judging.roles import AnyRoles, roles_of_recipe, sequential_roles
from vla_eval.protocol import Protocol
from vla_eval.realtime.latency import check_arms, virtual_time
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
"""File name of the copy in a run folder."""


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
    """One registered policy."""

    name: ArmName
    spec: str
    identity_sha256: Sha256
    """Hash of metadata (weights, options), code and spec, as ``run.json`` stores them."""


class RegisteredRoles(_Frozen):
    """Registered arms by their roles."""

    candidate: ArmName | tuple[ArmName, ...]
    """One arm; or the arms of a recipe, one for each training seed."""
    reference: ArmName | tuple[ArmName, ...]
    control: ArmName | None = None


class Registration(_Frozen):
    """The plan of a comparison: protocol, arms and roles."""

    format: Literal[1] = 1
    protocol: str
    """Label of the protocol, for the reader only; the hash decides."""
    protocol_sha256: Sha256
    standing: Standing
    """Relation of the protocol to the released ones at the time of registration."""
    arms: tuple[RegisteredArm, ...]
    roles: RegisteredRoles
    margin: float
    """The protocol's margin, for the reader."""
    alpha: float
    """The protocol's alpha, for the reader."""
    registered_at: Moment
    """Time of registration: UTC, by the clock of the machine that wrote the file."""
    commit: str | None = None
    """Current commit of the file's repository at that time; None without one."""


def register(
    protocol: Protocol,
    specs: Mapping[str, str],
    *,
    candidate: str | None = None,
    reference: str | None = None,
    control: str | None = None,
    folder: Path = Path(),
) -> Registration:
    """Make a registration. The policies are built, so that their identities are those of the run.

    Args:
        protocol: the protocol of the run.
        specs: policy specs by the names of their arms, in the order of the run.
        candidate: the arm that has to prove itself; default the protocol's candidate.
        reference: the arm that it is compared with; default the protocol's reference.
        control: the arm that must fail; default the protocol's negative control, which may be none.
        folder: folder of the file; the current commit of its repository is registered too.

    Raises:
        UsageError: the roles are incomplete or contradict the protocol, or a policy cannot be built.
        ProtocolError: the protocol claims falsely to be a released one.
        InfrastructureError: a policy could not be loaded.
    """
    check_arms(protocol.run.realtime, specs)
    known = standing(protocol)
    roles = _complete(protocol, list(specs), (candidate, reference, control))
    return Registration(
        protocol=protocol.label,
        protocol_sha256=protocol.sha256,
        standing=known,
        arms=tuple(_arm(protocol, name, spec) for name, spec in specs.items()),
        roles=roles,
        margin=protocol.analysis.margin,
        alpha=protocol.analysis.alpha,
        registered_at=datetime.now(UTC),
        commit=head_of(folder),
    )


def _arm(protocol: Protocol, name: str, spec: str) -> RegisteredArm:
    try:
        with redirect_stdout(sys.stderr):  # the output of a policy is no result
            metadata = build_policy(spec).metadata
    except VlaEvalError:
        raise
    except Exception as error:
        raise InfrastructureError(
            f"arm '{name}': its policy could not be loaded: {type(error).__name__}: {error}"
        ) from error
    virtual = virtual_time(protocol.run.realtime, name, metadata)
    identity = identity_of(spec, metadata, virtual)
    refuse_unidentified(Arm(name=name, spec=spec, identity=identity))
    return RegisteredArm(name=name, spec=spec, identity_sha256=identity_sha256(identity))


def _complete(
    protocol: Protocol, arms: Sequence[str], asked: tuple[str | None, str | None, str | None]
) -> RegisteredRoles:
    """Fill in the omitted roles; raise UsageError if roles are missing or contradictory."""
    analysis = protocol.analysis
    if analysis.recipe is not None:
        return _of_recipe(protocol, arms, asked)
    # A protocol that names several candidates registers all of them; the first stands in the file.
    first = analysis.candidates[0] if analysis.candidates else analysis.candidate
    fixed = (first, analysis.reference, analysis.negative_control)
    taken = sequential_roles(protocol, arms) if decides_by_pairs(protocol) else (None, None)
    flags = ("candidate", "reference", "control")
    names: list[str | None] = []
    for flag, chosen, planned, looked in zip(flags, asked, fixed, (*taken, None), strict=True):
        name = chosen or planned or looked
        if planned is not None and name != planned:
            raise UsageError(f"{protocol.label} fixes its {flag} as arm '{planned}', not '{name}'")
        if looked is not None and name != looked:
            raise UsageError(
                f"{protocol.label} stops by comparing its first arm with its second, so the "
                f"{flag} is arm '{looked}', not '{name}'; give the arms in that order"
            )
        if name is None and flag != "control":
            raise UsageError(f"which arm is the {flag}? say so with --{flag} NAME")
        if name is not None and name not in arms:
            raise UsageError(f"--{flag}: there is no arm '{name}'{did_you_mean(name, arms)}")
        names.append(name)
    taken_names = [name for name in names if name is not None]
    if len(set(taken_names)) != len(taken_names):
        raise UsageError("one arm cannot have two roles")
    return RegisteredRoles(candidate=str(names[0]), reference=str(names[1]), control=names[2])


def _of_recipe(
    protocol: Protocol, arms: Sequence[str], asked: tuple[str | None, str | None, str | None]
) -> RegisteredRoles:
    roles = roles_of_recipe(protocol, arms)
    planned = (None, None, roles.control)
    for flag, name, fixed in zip(
        ("candidate", "reference", "control"), asked, planned, strict=True
    ):
        if name is not None and name != fixed:
            raise UsageError(
                f"{protocol.label} names the arms of its recipes itself: leave out --{flag}"
            )
    return RegisteredRoles(
        candidate=roles.candidate, reference=roles.reference, control=roles.control
    )


def write_registration(registration: Registration, path: Path) -> None:
    """Write a registration to a new file.

    Raises:
        UsageError: the file exists already.
        StorageError: it cannot be written.
    """
    refuse_overwriting(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent}: cannot be made ({error.strerror})") from None
    write_atomically(path, registration.model_dump_json(indent=2) + "\n")


def refuse_overwriting(path: Path) -> None:
    """Raise UsageError if a registration would replace a file."""
    if path.exists() or path.is_symlink():
        raise UsageError(
            f"{path}: is there already, and a registration is written once; name another file with "
            "--out (a registration that was never run is deleted by hand)"
        )


def read_registration(path: Path) -> Registration:
    """Read a registration; raise UsageError if the file holds none."""
    return read_model(path, Registration, wrong="is no registration")


def _content(path: Path) -> bytes:
    """Return a file's bytes; raise UsageError if there is no file."""
    return read_text(path).encode()


def check(
    registration: Registration, run: RunHeader, roles: AnyRoles, first_episode_at: str
) -> None:
    """Refuse a run that is not the registered one.

    The run may have further arms, which were not registered; claims hold for registered arms only.

    Args:
        registration: the registration from before the run.
        run: the content of ``run.json``.
        roles: the roles for the judgement.
        first_episode_at: start of the first attempt of any arm; ISO 8601 with its zone.

    Raises:
        RunFolderError: the protocol or a policy differs, or an episode is older than the registration.
        UsageError: the roles differ.
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
        if planned != asked and asked not in (run.protocol.analysis.candidates or ()):
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


def _named(arm: str | tuple[str, ...] | None) -> str:
    if isinstance(arm, tuple):
        return f"arms {', '.join(arm)}"
    return "no arm" if arm is None else f"arm '{arm}'"


def _check_protocol(registration: Registration, run: RunHeader) -> None:
    if run.protocol_sha256 != registration.protocol_sha256:
        raise RunFolderError(
            f"the run is of {run.protocol.label} with hash {run.protocol_sha256[:12]}, and "
            f"{registration.protocol} with hash {registration.protocol_sha256[:12]} was registered"
        )
    analysis = run.protocol.analysis
    label, margin, alpha = registration.protocol, registration.margin, registration.alpha
    if (label, margin, alpha) != (run.protocol.label, analysis.margin, analysis.alpha):
        raise RunFolderError(
            f"the registration shows its readers {label}, margin {margin} and alpha {alpha}, "
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
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return _in_utc(moment)
    except ValueError:
        pass
    raise RunFolderError(f"the run's first episode began at {text!r}, which is no time with a zone")


def keep(path: Path, run: Path) -> None:
    """Copy a registration into a run folder, where a verifier finds it.

    Raises:
        UsageError: the file is no registration.
        RunFolderError: the folder holds another registration already.
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
    """Return the registration in a run folder, if any; raise UsageError if it is damaged."""
    copy = run / FILE_NAME
    return read_registration(copy) if copy.exists() or copy.is_symlink() else None
