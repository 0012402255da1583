"""Our extension of openpi's protocol, used if both sides support it. Version 1.

The server's metadata frame carries ``vla_eval``: its versions of the extension, the policy's metadata,
the names of observations, and the batching. A client that supports one of the versions adds
``vla_eval`` to its requests and finds it in the replies. Any other client ignores the key, and the
server behaves like any openpi server. A server without the key is treated as a plain openpi server.

Request, under ``vla_eval``: ``version``, ``type`` (``begin``, ``warm_up``, ``infer``, ``end``) and the
``episode``, a token that the client draws anew for every attempt. ``begin`` carries the episode's key
(or suite and token, if the protocol hides keys), ``infer`` the step, the chunk's index and the actions'
bounds, ``end`` the outcome. ``warm_up`` and ``infer`` come with an observation. Reply: ``type``,
``episode`` and ``chunk_index`` of the request, and for ``infer`` the function evaluations, the times,
the batch and the policy's counts.

In virtual time an ``infer`` also has ``executed``, ``expected_delay`` and, if asynchronous, ``left_over``,
see :class:`~vla_eval.policy.Context`. A server may ignore them; then its policy is naive.
"""

from __future__ import annotations

import functools
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from vla_eval.errors import InvalidActionError, PolicySpecError
from vla_eval.files.complaints import first_complaint
from vla_eval.keys import BlindKey, EpisodeKey, PolicyKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.record import Outcome
from vla_eval_policies.remote.codec import WireError

__all__ = [
    "FIELD",
    "VERSION",
    "Offer",
    "ask",
    "check_reply_to",
    "chunk_of_reply",
    "context_of",
    "key_of",
    "outcome_of",
    "rectangular",
    "reply_to",
    "virtual_of",
    "with_virtual",
]

FIELD = "vla_eval"
VERSION = 1
_LONGEST_CHUNK = 100_000
"""Largest number of actions in a chunk, or observations in a history, that a server may declare."""


@dataclass(frozen=True)
class Offer:
    """Content of the metadata frame of our servers."""

    policy: PolicyMetadata
    code_sha256: str
    layout: str
    max_batch: int
    batch_wait_ms: float

    def to_wire(self) -> dict[str, Any]:
        """Return the map to send under ``vla_eval``."""
        return {"versions": [VERSION], **asdict(self)}

    @classmethod
    def from_wire(cls, found: object) -> Offer | None:
        """Return a server's offer, or None if it does not support our version.

        Raises:
            WireError: the server declares our version, but its offer is not valid.
        """
        if not isinstance(found, Mapping) or VERSION not in _versions(found):
            return None
        try:
            offer = _offers().validate_json(json.dumps(_known_parts(found)), strict=True)
        except ValidationError as error:
            raise _unusable(first_complaint(error)) from None
        except (PolicySpecError, TypeError, ValueError, RecursionError) as error:
            raise _unusable(str(error)) from None
        policy = offer.policy
        if policy.privileged:
            raise _unusable("policy.privileged: no server can read the simulator")
        if max(policy.chunk_size, policy.n_action_steps, policy.n_obs_steps) > _LONGEST_CHUNK:
            raise _unusable(f"policy: chunks of at most {_LONGEST_CHUNK} actions are expected")
        if not math.isfinite(offer.batch_wait_ms):
            raise _unusable(f"batch_wait_ms: {offer.batch_wait_ms}")
        return offer


@functools.cache
def _offers() -> TypeAdapter[Offer]:
    return TypeAdapter(Offer)


def _known_parts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the known entries of an offer, without additions of newer servers."""
    parts = {field.name: found[field.name] for field in fields(Offer) if field.name in found}
    policy = parts.get("policy")
    if isinstance(policy, Mapping):
        names = {field.name for field in fields(PolicyMetadata)}
        parts["policy"] = {key: value for key, value in policy.items() if key in names}
    return parts


def _unusable(why: str) -> WireError:
    return WireError(
        f"the server offers version {VERSION} of our extension, and what it says of its policy "
        f"cannot be used ({why})"
    )


def _versions(found: Mapping[str, Any]) -> list[Any]:
    versions = found.get("versions")
    return versions if isinstance(versions, list) else []


def ask(kind: str, episode: str, context: Context | None = None, **more: Any) -> dict[str, Any]:
    """Return the entry ``vla_eval`` of a request."""
    asked: dict[str, Any] = {"version": VERSION, "type": kind, "episode": episode, **more}
    if context is not None:
        asked |= {
            "step": context.step,
            "chunk_index": context.chunk_index,
            "action_low": np.asarray(context.action_low, np.float32),
            "action_high": np.asarray(context.action_high, np.float32),
            **virtual_of(context),
        }
    return asked


def virtual_of(context: Context) -> dict[str, Any]:
    """Return what a request says of virtual time; nothing where inferences take no time."""
    if context.left_over is None and context.expected_delay == 0:
        return {}
    said: dict[str, Any] = {
        "executed": context.executed,
        "expected_delay": context.expected_delay,
    }
    if context.left_over is not None:
        said["left_over"] = np.asarray(context.left_over, np.float32)
    return said


def with_virtual(context: Context, asked: Mapping[str, Any]) -> Context:
    """Return the context with what a request says of virtual time; raises WireError."""
    executed, delay = asked.get("executed", context.step), asked.get("expected_delay", 0)
    if not all(type(count) is int and count >= 0 for count in (executed, delay)):
        raise WireError(
            f"{FIELD}: executed {reprlib.repr(executed)}, expected_delay {reprlib.repr(delay)}; "
            "whole numbers from 0 are expected"
        )
    left_over = asked.get("left_over")
    if left_over is not None:
        try:
            left_over = np.asarray(left_over, np.float32)
        except (TypeError, ValueError):
            raise WireError(f"{FIELD}.left_over is no array") from None
        if left_over.shape[1:] != context.action_low.shape or not np.isfinite(left_over).all():
            raise WireError(f"{FIELD}.left_over is no finite (n, A): {left_over.shape}")
    stalled = context.step - executed
    return replace(context, stalled=stalled, expected_delay=delay, left_over=left_over)


def key_of(asked: Mapping[str, Any]) -> PolicyKey:
    """Return the key in a ``begin`` or ``warm_up``; raises WireError."""
    key = asked.get("key")
    parts = key if isinstance(key, Mapping) else {}
    kind = BlindKey if "token" in parts else EpisodeKey
    names = [field.name for field in fields(kind)]
    types = {"suite": str, "task": str, "token": str}
    if not all(type(parts.get(name)) is types.get(name, int) for name in names):
        raise WireError(f"{FIELD}.key is {reprlib.repr(key)}; an episode's key is expected")
    return kind(**{name: parts[name] for name in names})


def context_of(asked: Mapping[str, Any], key: PolicyKey, instruction: str) -> Context:
    """Return the context of an ``infer`` or ``warm_up``; raises WireError."""
    try:
        low, high = (np.asarray(asked[name], np.float32) for name in ("action_low", "action_high"))
        step, chunk_index = asked["step"], asked["chunk_index"]
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"{FIELD} lacks something ({type(error).__name__}: {error})") from None
    if low.ndim != 1 or low.shape != high.shape:
        raise WireError(f"{FIELD}: bounds {low.shape} and {high.shape}; twice (A,) is expected")
    if not all(type(count) is int and count >= 0 for count in (step, chunk_index)):
        raise WireError(
            f"{FIELD}: step {reprlib.repr(step)}, chunk_index {reprlib.repr(chunk_index)}; "
            "whole numbers from 0 are expected"
        )
    return with_virtual(Context(key, step, chunk_index, instruction, low, high), asked)


def outcome_of(asked: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome in an ``end``; raises WireError."""
    outcome = asked.get("outcome")
    if outcome is None:
        return None
    if not isinstance(outcome, str) or outcome not in get_args(Outcome):
        raise WireError(f"{FIELD}.outcome is {reprlib.repr(outcome)}")
    return cast("Outcome", outcome)


def reply_to(asked: Mapping[str, Any], chunk: ActionChunk | None = None) -> dict[str, Any]:
    """Return the entry ``vla_eval`` of the reply to a request."""
    reply = {name: asked.get(name) for name in ("type", "episode", "chunk_index")}
    if chunk is not None:
        reply |= {
            "nfe": chunk.nfe,
            "prefix_ms": chunk.prefix_ms,
            "denoise_ms": chunk.denoise_ms,
            "infer_ms": chunk.infer_ms,
            "batch": chunk.batch,
            "counts": dict(chunk.counts),
        }
    return reply


def chunk_of_reply(actions: Any, asked: Mapping[str, Any], reply: object) -> ActionChunk:
    """Return the chunk in the reply to an ``infer``.

    Raises:
        WireError: the reply is to another request, or its counts or times are not valid.
    """
    check_reply_to(asked, reply)
    assert isinstance(reply, Mapping)  # noqa: S101 - checked one line above
    nfe, batch = (_count(reply, name, least) for least, name in enumerate(("nfe", "batch")))
    prefix_ms, denoise_ms, infer_ms = (
        _milliseconds(reply, name) for name in ("prefix_ms", "denoise_ms", "infer_ms")
    )
    return ActionChunk(
        rectangular(actions),
        nfe=nfe,
        prefix_ms=prefix_ms,
        denoise_ms=denoise_ms,
        batch=batch,
        counts=_counters(reply),
        infer_ms=infer_ms,
    )


def _count(reply: Mapping[str, Any], name: str, least: int) -> int:
    value = reply.get(name)
    if type(value) is not int or value < least:
        raise WireError(f"the reply says {name} {reprlib.repr(value)}; a count is expected")
    return value


def _milliseconds(reply: Mapping[str, Any], name: str) -> float:
    value = reply.get(name)
    plain = isinstance(value, int | float) and type(value) is not bool
    if value is None or not plain or not math.isfinite(value) or value < 0:
        raise WireError(f"the reply says {name} {reprlib.repr(value)}; a time is expected")
    return float(value)


def rectangular(actions: Any) -> NDArray[Any]:
    """Return a server's actions as an array.

    Raises:
        InvalidActionError: the actions are lists of unequal lengths.
    """
    try:
        return np.asarray(actions)
    except ValueError:
        raise InvalidActionError("actions come in lists of unequal lengths") from None


def _counters(reply: Mapping[str, Any]) -> dict[str, int]:
    """Return the policy's counts; older servers send none."""
    counts = reply.get("counts", {})
    if not isinstance(counts, Mapping):
        raise WireError(f"the reply's counts are {type(counts).__name__}, no map")
    for name, value in counts.items():
        if type(name) is not str or type(value) is not int or value < 0:
            raise WireError(
                f"the reply counts {reprlib.repr(name)} as {reprlib.repr(value)}; "
                "a whole number is expected"
            )
    return dict(counts)


def check_reply_to(asked: Mapping[str, Any], reply: object) -> None:
    """Refuse a reply to another request; raises WireError."""
    for name in ("type", "episode", "chunk_index"):
        got = reply.get(name) if isinstance(reply, Mapping) else None
        wanted = asked.get(name)
        if type(got) is not type(wanted) or got != wanted:
            raise WireError(
                f"the server answered for another request: {name} {wanted!r} was asked, "
                f"{reprlib.repr(got)} came"
            )
