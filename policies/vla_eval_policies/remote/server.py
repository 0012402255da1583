"""``vlaeval serve``: serves our policies to any openpi client, or to AllenAI's harness."""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.stopping import stop_signals
from vla_eval.tools import ServeOptions, Serving
from vla_eval_policies.remote.harness_session import HarnessSession
from vla_eval_policies.remote.held import connections
from vla_eval_policies.remote.layouts import layout_of
from vla_eval_policies.remote.served import ServedPolicy
from vla_eval_policies.remote.sessions import ClientSession, OpenpiSession, Setting

__all__ = ["serve_policy"]

_PING_S, _PONG_S = 60.0, 600.0
"""Long limits, since a client's simulator may take minutes; a client that is gone is still noticed."""
_GRACE_S = 5.0
"""Longest wait of a stopping server for its clients and its policy."""
_LAST_S = 3.0
"""Longest time for its process to end after that."""


def serve_policy(spec: str, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
    """Serve until the process is interrupted or terminated; a second signal ends it at once.

    If the policy hangs, the process still ends after some seconds, with exit code 0.

    Args:
        spec: the policy.
        options: settings of the server.
        ready: called when clients can connect.

    Raises:
        PolicySpecError: the policy cannot be built or cannot be served.
        UsageError: options contradict each other, or the address cannot be used.
    """
    name = options.layout or ("native" if options.dialect == "openpi" else "harness-libero")
    layout = layout_of(name, images=options.images, state=None, prompt=None, size=None)
    if (options.action_low is None) != (options.action_high is None):
        raise UsageError("--action-low and --action-high belong together")
    if options.action_low is not None and options.action_high is not None:
        if len(options.action_low) != len(options.action_high):
            raise UsageError("--action-low and --action-high are of different lengths")
        layout = replace(layout, action_low=options.action_low, action_high=options.action_high)
    policy = ServedPolicy(
        spec, layout=name, max_batch=options.max_batch, batch_wait_ms=options.batch_wait_ms
    )
    setting = Setting(policy, layout, options.seed, options.max_frame_mb << 20)
    asyncio.run(_serve(setting, options, ready))


async def _serve(setting: Setting, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
    session: type[ClientSession] = OpenpiSession if options.dialect == "openpi" else HarnessSession

    async def handle(socket: ServerConnection) -> None:
        try:
            await session(setting).run(socket)
        except ConnectionClosed:
            return  # a client may leave at any time

    stop = asyncio.Event()
    _stop_on_signals(stop)
    try:
        server = await serve(
            handle,
            options.host,
            options.port,
            compression=None,
            max_size=options.max_frame_mb << 20,
            ping_interval=_PING_S,
            ping_timeout=_PONG_S,
            process_request=_gate(options.token),
            max_queue=1,
            create_connection=connections(options.max_frame_mb << 20),  # type: ignore[arg-type]
        )
    except OSError as error:
        raise UsageError(
            f"{options.host}:{options.port} cannot be listened on ({error.strerror or error}); "
            "choose another --host or --port"
        ) from None
    port = server.sockets[0].getsockname()[1]
    host = f"[{options.host}]" if ":" in options.host else options.host
    offer = setting.policy.offer
    ready(Serving(f"ws://{host}:{port}", offer.policy.name, offer.to_wire()))
    await stop.wait()
    threading.Thread(target=_leave_anyway, daemon=True).start()
    server.close()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.wait_closed(), _GRACE_S)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Set the event at the first signal; the second signal kills the process."""
    loop = asyncio.get_running_loop()
    numbers = stop_signals()

    def first() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, first)


def _leave_anyway() -> None:
    """End the process some time after it should have ended by itself."""
    time.sleep(_GRACE_S + _LAST_S)
    sys.stderr.write("the policy does not answer; left without waiting for it\n")
    sys.stderr.flush()
    os._exit(EXIT_COMPLETE)


def _gate(
    token: str | None,
) -> Callable[[ServerConnection, Request], Response | None]:
    """Answer health checks of both dialects; refuse web pages, and clients without the token."""

    def process(connection: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return connection.respond(HTTPStatus.OK, "OK\n")
        if path == "/health":
            return connection.respond(HTTPStatus.OK, '{"status": "ok"}\n')
        if request.headers.get_all("Origin"):
            return connection.respond(
                HTTPStatus.FORBIDDEN, "web pages (requests with an Origin) are not served\n"
            )
        if token is not None:
            kind, _, given = ",".join(request.headers.get_all("Authorization")).partition(" ")
            known = hmac.compare_digest(given.strip().encode(), token.encode())
            if kind not in ("Api-Key", "Bearer") or not known:
                return connection.respond(HTTPStatus.UNAUTHORIZED, "a token is needed\n")
        return None

    return process
