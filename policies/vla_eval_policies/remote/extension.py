"""What we say on top of openpi's protocol, where both sides know it. Version 1.

The server's metadata frame carries ``vla_eval``: the versions it speaks, who the policy is, how it
names observations and how it batches. A client that speaks one of the versions adds ``vla_eval`` to
its requests and finds it in the replies; one that does not ignores the key and is served as by any
openpi server. Nothing is assumed of a server that does not say so.

Request, under ``vla_eval``: ``version``, ``type`` (``begin``, ``warm_up``, ``infer``, ``end``) and the
``episode``, a token that the client draws anew for every attempt; ``begin`` carries the episode's
key (or suite and token where the protocol hides keys), ``infer`` the step, the chunk's index and the actions' bounds, ``end`` the outcome. ``warm_up`` and
``infer`` come with an observation. Reply: ``type``, ``episode`` and ``chunk_index`` as they were asked,
and for ``infer`` the function evaluations, the times, the batch and what the policy counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

import numpy as np

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
    "reply_to",
]

FIELD = "vla_eval"
VERSION = 1


@dataclass(frozen=True)
class Offer:
    """What a server of ours says of itself in the metadata frame."""

    policy: PolicyMetadata
    code_sha256: str
    layout: str
    max_batch: int
    batch_wait_ms: float

    def to_wire(self) -> dict[str, Any]:
        """Return the map that goes under ``vla_eval``."""
        return {"versions": [VERSION], **asdict(self)}

    @classmethod
    def from_wire(cls, found: object) -> Offer | None:
        """Return what a server offers, or None where it does not speak our version.

        Raises:
            WireError: it says that it does, and then not what belongs to it.
        """
        if not isinstance(found, Mapping) or VERSION not in _versions(found):
            return None
        try:
            names = {each.name for each in fields(PolicyMetadata)}
            policy = {key: value for key, value in found["policy"].items() if key in names}
            if policy.get("trained_on") is not None:  # a list on the wire
                policy["trained_on"] = tuple(policy["trained_on"])
            return cls(
                policy=PolicyMetadata(**policy),
                code_sha256=str(found["code_sha256"]),
                layout=str(found["layout"]),
                max_batch=int(found["max_batch"]),
                batch_wait_ms=float(found["batch_wait_ms"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WireError(
                f"the server's metadata offer version {VERSION} of our extension and lack "
                f"something of it ({type(error).__name__}: {error})"
            ) from None


def _versions(found: Mapping[str, Any]) -> list[Any]:
    versions = found.get("versions")
    return versions if isinstance(versions, list) else []


def ask(kind: str, episode: str, context: Context | None = None, **more: Any) -> dict[str, Any]:
    """Return what goes under ``vla_eval`` in a request."""
    asked: dict[str, Any] = {"version": VERSION, "type": kind, "episode": episode, **more}
    if context is not None:
        asked |= {
            "step": context.step,
            "chunk_index": context.chunk_index,
            "action_low": np.asarray(context.action_low, np.float32),
            "action_high": np.asarray(context.action_high, np.float32),
        }
    return asked


def key_of(asked: Mapping[str, Any]) -> PolicyKey:
    """Return the key that ``begin`` or ``warm_up`` carries; raises WireError."""
    key = asked.get("key")
    try:
        assert isinstance(key, Mapping)  # noqa: S101 - answered below, like the rest
        if "token" in key:
            return BlindKey(str(key["suite"]), str(key["token"]))
        return EpisodeKey(
            str(key["suite"]),
            str(key["task"]),
            int(key["init_state"]),
            int(key["env_seed"]),
            int(key["policy_seed"]),
        )
    except (AssertionError, KeyError, TypeError, ValueError):
        raise WireError(f"{FIELD}.key is {key!r}; an episode's key is expected") from None


def context_of(asked: Mapping[str, Any], key: PolicyKey, instruction: str) -> Context:
    """Return the context of an ``infer`` or ``warm_up``; raises WireError."""
    try:
        low, high = (np.asarray(asked[name], np.float32) for name in ("action_low", "action_high"))
        step, chunk_index = int(asked["step"]), int(asked["chunk_index"])
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"{FIELD} lacks something ({type(error).__name__}: {error})") from None
    if low.ndim != 1 or low.shape != high.shape or step < 0 or chunk_index < 0:
        raise WireError(f"{FIELD}: bounds {low.shape} and {high.shape}, chunk {chunk_index}")
    return Context(key, step, chunk_index, instruction, low, high)


def outcome_of(asked: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome that ``end`` carries; raises WireError."""
    outcome = asked.get("outcome")
    if outcome is not None and outcome not in get_args(Outcome):
        raise WireError(f"{FIELD}.outcome is {outcome!r}")
    return outcome


def reply_to(asked: Mapping[str, Any], chunk: ActionChunk | None = None) -> dict[str, Any]:
    """Return what goes under ``vla_eval`` in the reply to a request."""
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
    """Return the chunk that came in answer to an ``infer``.

    Raises:
        WireError: it answers something else, or counts and times cannot be.
    """
    check_reply_to(asked, reply)
    assert isinstance(reply, Mapping)  # noqa: S101 - checked one line above
    try:
        counts = (int(reply["nfe"]), int(reply["batch"]))
        times = tuple(float(reply[name]) for name in ("prefix_ms", "denoise_ms", "infer_ms"))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise WireError(f"the reply's {FIELD} lacks something ({error})") from None
    if counts[0] < 0 or counts[1] < 1 or not all(math.isfinite(t) and t >= 0 for t in times):
        raise WireError(f"the reply says nfe and batch {counts}, times {times} ms")
    return ActionChunk(
        actions,
        nfe=counts[0],
        prefix_ms=times[0],
        denoise_ms=times[1],
        batch=counts[1],
        counts=_counters(reply),
        infer_ms=times[2],
    )


def _counters(reply: Mapping[str, Any]) -> dict[str, int]:
    """Return what the policy counted; a server of before there was anything to count says nothing."""
    found = reply.get("counts", {})
    if not isinstance(found, Mapping):
        raise WireError(f"the reply's counts are {type(found).__name__}, no map")
    for name, value in found.items():
        if type(name) is not str or type(value) is not int or value < 0:
            raise WireError(f"the reply counts {name!r} as {value!r}; a whole number is expected")
    return dict(found)


def check_reply_to(asked: Mapping[str, Any], reply: object) -> None:
    """Refuse a reply to something else than what was asked; raises WireError."""
    for name in ("type", "episode", "chunk_index"):
        got = reply.get(name) if isinstance(reply, Mapping) else None
        if got != asked.get(name):
            raise WireError(
                f"the server answered for another request: {name} {asked.get(name)!r} was asked, "
                f"{got!r} came"
            )
