"""``vlaeval serve``."""

from __future__ import annotations

import os
import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from vla_eval.cli.common import say
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.tools import Serving

__all__ = ["serve"]

_TOKEN_VARIABLE = "VLA_EVAL_TOKEN"  # noqa: S105 - the name of the variable, not a token

_NO_BOUNDS = (
    "note: clients of other makes do not send the actions' bounds and will be refused; for them add "
    "--suite so101, --layout libero, or --action-low=… and --action-high=…"
)

Numbers = Annotated[str | None, tyro.conf.arg(metavar="N,N,...")]


def serve(
    policy: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPEC")],
    *,
    dialect: Literal["openpi", "harness"] = "openpi",
    host: str = "127.0.0.1",
    port: int = 8000,
    layout: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    images: Annotated[str | None, tyro.conf.arg(metavar="KEY=CAMERA,...")] = None,
    suite: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    action_low: Numbers = None,
    action_high: Numbers = None,
    max_batch: int = 1,
    batch_wait_ms: float = 2.0,
    token_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    max_frame_mb: int = 64,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Serve a policy to openpi clients, or to AllenAI's harness, until interrupted.

    Example: vlaeval serve 'random?chunk_size=10' --layout libero --port 8000

    A run on any machine then takes it as: --policy openpi:ws://HOST:8000

    Args:
        policy: The policy; see: vlaeval list policies
        dialect: The protocol of the clients.
        host: Address to listen on; only this machine by default.
        port: 0 takes a free one.
        layout: Names of observations on the wire: native (default), libero, harness-libero.
        images: Names of pictures on the wire, with the camera for each.
        suite: Take the bounds of this suite's actions, for clients that do not send them.
        action_low: Lower bounds of the actions, for clients that do not send them; with an equals
            sign, as in --action-low=-1,-1
        action_high: Upper bounds.
        max_batch: Most observations per inference; 1 keeps the last bits reproducible.
        batch_wait_ms: Longest wait for more observations, if max-batch is above 1.
        token_file: File with a token that clients must send; or set VLA_EVAL_TOKEN.
        max_frame_mb: Largest accepted message, in MiB.
        seed: Policy seed of clients that do not send one.
        json: Print the address and the policy's identity as one line of JSON.
    """
    if max_batch < 1 or batch_wait_ms < 0 or max_frame_mb < 1 or not 0 <= port < 65536:
        raise UsageError(
            "--max-batch and --max-frame-mb are at least 1, --batch-wait-ms at least 0, --port 0 to "
            "65535"
        )
    low, high = _numbers("--action-low", action_low), _numbers("--action-high", action_high)
    if suite is not None:
        low, high = _bounds_of(suite, low or high)
    from vla_eval.tools import POLICY_SERVER, ServeOptions, load_tool

    options = ServeOptions(
        dialect=dialect,
        host=host,
        port=port,
        layout=layout,
        images=images,
        action_low=low,
        action_high=high,
        max_batch=max_batch,
        batch_wait_ms=batch_wait_ms,
        token=_token(token_file),
        max_frame_mb=max_frame_mb,
        seed=seed,
    )
    if host not in ("127.0.0.1", "::1", "localhost") and options.token is None:
        say(f"warning: anybody who can reach {host} can use this policy", file=sys.stderr)
    serve_policy = load_tool(POLICY_SERVER)
    if dialect == "openpi" and layout in (None, "native") and low is None:
        say(_NO_BOUNDS, file=sys.stderr)
    serve_policy(policy, options, lambda serving: _ready(serving, dialect, json=json))
    return EXIT_COMPLETE


def _bounds_of(
    suite: str, given: tuple[float, ...] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from vla_eval.inspection import action_bounds

    if given is not None:
        raise UsageError(
            "--suite gives the actions' bounds; leave --action-low and --action-high out"
        )
    return action_bounds(suite)


def _ready(serving: Serving, dialect: str, *, json: bool) -> None:
    if json:
        say(dumps({"url": serving.url, "dialect": dialect, **serving.offer}))
    else:
        say(f"serving {serving.policy} on {serving.url} ({dialect}); Ctrl-C ends it")
    sys.stdout.flush()


def _numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{flag} {text}: expected numbers, separated by commas") from None


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(_TOKEN_VARIABLE) or None
    from vla_eval.files.jsonfile import read_text

    token = read_text(file, most_bytes=100_000).strip()
    if not token:
        raise UsageError(f"--token-file {file}: is empty")
    return token
