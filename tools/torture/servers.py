"""Servers that lie, flood, dribble, hang and steer terminals, against our `openpi:` and `harness:` clients.

Each behaviour meets a client in a process of its own. Bad actions count as taken only if the episode
loop would execute them. A server that does not ask for a token must never see one.
"""

from __future__ import annotations

import http
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from lies import ANSWERS, CONNECTIONS, FRAMES, HTTP, LOCATIONS, OFFERS, VALUES, Frame, bombs
from memory import forget_peak, peak_kb
from table import Row
from websockets.sync.server import ServerConnection, serve

_POLICY = {"name": "p", "method": "m", "chunk_size": 5, "n_action_steps": 5}
_OFFER = {
    "versions": [1],
    "policy": _POLICY,
    "code_sha256": "c",
    "layout": "native",
    "max_batch": 1,
    "batch_wait_ms": 0.0,
}
_TIMEOUT_S = 5
_HANG_S = 10.0
_CLOSE_S = 0.5
"""With less, the library sends neither the answer to an upgrade nor a close."""
_MEMORY_KB = 1_000_000
_SECRET = "secret-of-another-server"  # noqa: S105 - not a real one
_GOOD = {"__ndarray__": True, "data": bytes(120), "dtype": "<f4", "shape": [5, 6]}


@dataclass
class Server:
    """One behaviour of a server, and the tokens that it received."""

    dialect: str
    metadata: Frame | None = None
    """First message (openpi), or answer to HELLO (harness); None: the right one."""
    answer: Frame | None = None
    """Answer to an observation; None: the right one."""
    status: int | None = None
    """HTTP status of the answer to the upgrade; None: the right one."""
    location: str = "ws://127.0.0.1:9/elsewhere"
    """Address to which an upgrade is redirected."""
    deaf_s: float = 0.0
    """Time without reading, s, after the metadata were sent."""
    tokens: set[str] = field(default_factory=set)

    def handle(self, socket: ServerConnection) -> None:
        """Serve one connection."""
        with suppress(Exception):
            if self.dialect == "openpi":
                _say(socket, self.metadata, lambda: msgpack.packb({"config": 1}))
                self._be_deaf(socket)
            for frame in socket:
                self._reply(socket, msgpack.unpackb(frame, strict_map_key=False))

    def _reply(self, socket: ServerConnection, asked: Mapping[str, Any]) -> None:
        if self.dialect == "openpi":
            _say(socket, self.answer, lambda: msgpack.packb({"actions": _GOOD}))
            return
        if asked["type"] == "hello":
            said = {"protocol_version": 1, "model_server": "p"}
            _say(socket, self.metadata, lambda: envelope("hello", said, asked["seq"]))
            self._be_deaf(socket)
        elif asked["type"] == "observation":
            _say(socket, self.answer, lambda: envelope("action", {"actions": _GOOD}, asked["seq"]))

    def _be_deaf(self, socket: ServerConnection) -> None:
        if self.deaf_s:
            with socket.protocol_mutex:  # or else the library reads
                time.sleep(self.deaf_s)

    def gate(self, connection: ServerConnection, request: Any) -> Any:
        """Note the token, and answer the upgrade."""
        self.tokens |= set(request.headers.get_all("Authorization"))
        if self.status is None:
            return None
        response = connection.respond(http.HTTPStatus(self.status), "no\n")
        response.headers["Location"] = self.location
        return response


def envelope(kind: str, payload: Mapping[str, Any], number: int) -> bytes:
    """Return a message of the harness."""
    return bytes(msgpack.packb({"type": kind, "payload": payload, "seq": number, "timestamp": 0.0}))


def _say(socket: ServerConnection, frame: Frame | None, right: Callable[[], bytes]) -> None:
    if callable(frame):
        frame(socket)
    else:
        socket.send(right() if frame is None else frame)


_FIRST_OBSERVATION = 3
"""Number of that message of the harness: a hello and an episode's begin come before it."""


def _upgrades(dialect: str) -> Iterator[tuple[str, Server]]:
    for name, status in HTTP.items():
        yield f"upgrade: {name}", Server(dialect, status=status)
    for name, place in LOCATIONS.items():
        yield f"upgrade: sent on to {name}", Server(dialect, status=302, location=place)


def behaviours(dialect: str) -> Iterator[tuple[str, Server]]:
    """Return every behaviour of a server in a dialect, by its name."""

    def action(value: Any) -> bytes:
        if dialect == "openpi":
            return bytes(msgpack.packb({"actions": value}))
        return envelope("action", {"actions": value}, _FIRST_OBSERVATION)

    for name, value in VALUES.items():
        yield f"actions: {name}", Server(dialect, answer=action(value))
    yield "actions: pictures that grow", Server(dialect, answer=action(bombs()))
    for name, frame in {**FRAMES, **CONNECTIONS}.items():
        yield f"answer: {name}", Server(dialect, answer=frame)
        yield f"metadata: {name}", Server(dialect, metadata=frame)
    for name, frame in ANSWERS.items():
        yield f"answer: {name}", Server(dialect, answer=frame)
    yield from _upgrades(dialect)
    yield "answer: a request that is never read", Server(dialect, deaf_s=15)
    for name, part in OFFERS.items():
        offer = {"vla_eval": {**_OFFER, "policy": {**_POLICY, **part}}}
        hello = {"protocol_version": 1, "model_server": "p", "capabilities": offer}
        said = msgpack.packb(offer) if dialect == "openpi" else envelope("hello", hello, 1)
        yield f"offer: {name}", Server(dialect, metadata=said)
    if dialect == "harness":
        for name, payload in {
            "version a list": {"protocol_version": [1]},
            "name a list": {"protocol_version": 1, "model_server": [1]},
            "wishes a list": {"protocol_version": 1, "observation_params": [1]},
        }.items():
            yield f"hello: {name}", Server(dialect, metadata=envelope("hello", payload, 1))
        yield "answer: another number", Server(dialect, answer=envelope("action", {}, 99))


def rows(*, short: bool, seed: int) -> Iterator[Row]:
    """Try every behaviour, or some of each kind."""
    del seed  # nothing is drawn
    for dialect in ("openpi", "harness"):
        tried = list(behaviours(dialect))
        if short:
            tried = tried[:: len(tried) // 5]
        kinds = dict.fromkeys(name.partition(":")[0] for name, _ in tried)
        found = {kind: Row(f"`{dialect}:` client, {kind}") for kind in kinds}
        longest_s = dict.fromkeys(kinds, 0.0)
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            met = pool.map(meet, [server for _, server in tried])
            for (name, _), (bad, why, took_s) in zip(tried, met, strict=True):
                kind = name.partition(":")[0]
                found[kind].add(bad, f"{dialect} {name}: {why}")
                longest_s[kind] = max(longest_s[kind], took_s)
        for kind, row in found.items():
            row.seen = f"refused within {longest_s[kind]:.1f} s"
            yield row


def meet(server: Server) -> tuple[str | None, str, float]:
    """Connect a client to a server; return the fault, its reason, and the duration, s."""
    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}
    with serve(
        server.handle,
        "127.0.0.1",
        0,
        process_request=server.gate,
        close_timeout=_CLOSE_S,
        **options,
    ) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        port = listening.socket.getsockname()[1]
        command = [sys.executable, str(Path(__file__).resolve()), server.dialect, str(port)]
        environ = {**os.environ, "VLA_EVAL_TOKEN": _SECRET, "VLA_EVAL_TOKENS": f"a:1={_SECRET}"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environ, timeout=40, check=False
            )
        except subprocess.TimeoutExpired:
            return "hang", "no end within 40 s", 40.0
        finally:
            listening.socket.close()
    try:
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return "traceback", f"ended with {done.returncode}: {done.stderr[-300:]}", 0.0
    return (*_judge(said, server), said["s"])


def _judge(said: Mapping[str, Any], server: Server) -> tuple[str | None, str]:
    """Return the fault in a client's message, if any, and its reason."""
    bad = {
        "traceback": said["what"] if said["kind"] == "other" else "",
        "hang": f"{said['s']:.1f} s" if said["s"] > _HANG_S else "",
        "memory": f"{said['grown_kb']} kB" if said["grown_kb"] > _MEMORY_KB else "",
    }
    wrong = {
        "the server got a token that it did not ask for": bool(server.tokens),
        f"taken: {said['what']}": said["kind"] == "taken",
        f"the message steers a terminal: {said['what']!r}": not said["what"].isprintable(),
    }
    bad["difference"] = "; ".join(why for why, holds in wrong.items() if holds)
    return next(((name, why) for name, why in bad.items() if why), (None, ""))


def _client(dialect: str, port: int) -> dict[str, Any]:
    """Build the client, ask it for actions as the episode loop does; say what came of it."""
    import numpy as np

    from vla_eval.chunks import check_chunk, check_reply
    from vla_eval.errors import VlaEvalError
    from vla_eval.keys import EpisodeKey
    from vla_eval.policy import Context
    from vla_eval.spec import build_policy

    low = -np.ones(6, np.float32)
    context = Context(EpisodeKey("s", "t", 0, 0, 0), 0, 0, "x", low, -low)
    pixels = {"top": np.zeros((2000, 2000, 3), np.uint8)}  # more than a socket holds unread
    observation: Any = {"pixels": pixels, "agent_pos": np.zeros(6, np.float32)}
    layout = "&layout=native" if dialect == "openpi" else ""
    spec = f"{dialect}:ws://127.0.0.1:{port}?timeout_s={_TIMEOUT_S}&connect_s=2{layout}"
    forget_peak()
    before, begun = peak_kb(), time.monotonic()
    try:
        policy = build_policy(f"{spec}&n_action_steps=5")
        chunk = check_reply(policy.infer([observation], [context]), 1)[0]
        found = {"kind": "taken", "what": str(check_chunk(chunk, low).shape)}
    except VlaEvalError as error:
        found = {"kind": "refused", "what": str(error)}
    except BaseException as error:  # noqa: BLE001 - every exception that is not one of ours
        found = {"kind": "other", "what": f"{type(error).__name__}: {error}"[:300]}
    return {**found, "s": time.monotonic() - begun, "grown_kb": peak_kb() - before}


if __name__ == "__main__":
    print(json.dumps(_client(sys.argv[1], int(sys.argv[2]))))
