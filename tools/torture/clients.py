"""Clients that lie, flood, stall and come by the hundred, against `vlaeval serve` in both dialects.

Beside every attack a good client continues to ask, and must get an answer within 10 s. At the end the server gets a
signal to stop while its policy hangs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from lies import FRAMES, VALUES, bombs, texts
from memory import forget_peak, peak_kb
from mutate import any_bytes
from servers import envelope
from table import Row
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

_ROOT = Path(__file__).resolve().parents[2]
_MOST_S = 10.0
_MEMORY_MB = 1000
_IMAGE = {"__ndarray__": True, "data": bytes(192), "dtype": "|u1", "shape": [8, 8, 3]}
_PICTURE = {"__ndarray__": True, "data": bytes(150_528), "dtype": "|u1", "shape": [224, 224, 3]}
_STATE = {"__ndarray__": True, "data": bytes(32), "dtype": "<f4", "shape": [8]}
_TOKEN = "s" * 40


@dataclass
class Served:
    """A running `vlaeval serve`."""

    dialect: str
    url: str
    process: subprocess.Popen[str]
    log: Path
    trouble: list[str] = field(default_factory=list)
    """Fault of the good client."""
    longest_s: float = 0.0
    """Its longest wait."""
    base_mb: int = 0
    """Its memory before the first client came."""

    @property
    def port(self) -> int:
        """Port on which it listens."""
        return int(self.url.rpartition(":")[2])

    def connect(self) -> ClientConnection:
        """Return a connection that has had its metadata."""
        found = connect(
            self.url,
            compression=None,
            max_size=None,
            proxy=None,
            ping_interval=None,
            open_timeout=20,
            close_timeout=0.2,
        )
        if self.dialect == "openpi":
            found.recv(timeout=20)
        return found

    def question(self, **changes: Any) -> bytes:
        """Return a request for actions."""
        if self.dialect == "harness":
            images = {"agentview": _IMAGE, "wrist": _IMAGE}
            payload = {"images": images, "states": _STATE, "task_description": "x"}
            return envelope("observation", {**payload, **changes}, 1)
        parts = {"observation/image": _IMAGE, "observation/wrist_image": _IMAGE}
        parts |= {"observation/state": _STATE, "prompt": "x"}
        return bytes(msgpack.packb({**parts, **changes}))

    def real_question(self) -> bytes:
        """Return a request with pictures of the size that robots send."""
        if self.dialect == "harness":
            return self.question(images={"agentview": _PICTURE, "wrist": _PICTURE})
        return self.question(**{"observation/image": _PICTURE, "observation/wrist_image": _PICTURE})

    def send(self, frame: bytes | str, timeout_s: float = 20) -> None:
        """Send a frame on a new connection, and wait for any answer."""
        with suppress(TimeoutError, WebSocketException, OSError), self.connect() as there:
            there.send(frame)
            there.recv(timeout=timeout_s)

    def raw(self, data: bytes, headers: str = "") -> socket.socket:
        """Return a connection below messages, after the upgrade, that has sent something."""
        found = socket.create_connection(("127.0.0.1", self.port), 10)
        found.sendall(
            f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
            "".encode("latin-1")
        )
        with suppress(OSError):
            found.sendall(data)
        return found

    def peak_mb(self) -> int:
        """Return its largest resident memory so far."""
        return peak_kb(self.process.pid) // 1000

    def keep_asking(self, stop: threading.Event) -> None:
        """Act as a good client until the signal to stop."""
        with ExitStack() as stack:
            try:
                there = stack.enter_context(self.connect())
                while not stop.is_set():
                    began = time.monotonic()
                    there.send(self.real_question())
                    if isinstance(there.recv(timeout=60), str):
                        self.trouble.append("an error in answer to a right question")
                    self.longest_s = max(self.longest_s, time.monotonic() - began)
                    time.sleep(0.02)
            except (OSError, TimeoutError, WebSocketException) as error:
                self.trouble.append(repr(error)[:100])


@contextmanager
def serving(dialect: str, spec: str, *flags: str, **environ: str) -> Iterator[Served]:
    """Serve a policy in a process of its own."""
    layout = "libero" if dialect == "openpi" else "harness-libero"
    command = [sys.executable, "-m", "vlaeval_launcher", "serve", spec, "--dialect", dialect]
    fakes = str(_ROOT / "tests" / "fakes")
    path = os.pathsep.join(filter(None, (fakes, os.environ.get("PYTHONPATH"))))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context((folder / "log").open("w"))
        process = subprocess.Popen(
            [*command, "--layout", layout, "--port", "0", "--json", *flags],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **environ},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        stack.callback(process.stdout.close)
        url = json.loads(process.stdout.readline())["url"]
        served = Served(dialect, url, process, folder / "log")
        served.base_mb = served.peak_mb()
        yield served


Attack = Callable[[Served, random.Random], object]
"""Attacks a server. Its result is ignored; the good client beside it shows the damage."""


def _each(frames: Mapping[str, bytes | str]) -> dict[str, Attack]:
    return {name: lambda to, _, frame=frame: to.send(frame) for name, frame in frames.items()}


def _lies(to: Served, _: random.Random) -> None:
    for value in VALUES.values():
        to.send(to.question(**{_STATE_OF[to.dialect]: value}))


_STATE_OF = {"openpi": "observation/state", "harness": "states"}
_ODD: dict[str, list[Any]] = {
    "openpi": [
        {"vla_eval": {"version": 1, "type": kind, "episode": "t", **more}}
        for kind in ("begin", "infer", "warm_up", "end", "x", 5, None, [1])
        for more in (
            {},
            {"key": 5},
            {"key": {"suite": "s", "task": "t", "init_state": float("inf")}},
            {"step": float("inf"), "chunk_index": -1},
            {"outcome": [1]},
        )
    ]
    + [{"vla_eval": {"version": each}} for each in (VALUES["no action"], [1], "1", 2)]
    + [{"vla_eval": []}, [], 5, None, {"prompt": 5}, {5: 5}, {"vla_eval": None}],
    "harness": [
        {"type": kind, "payload": payload, "seq": 1, "timestamp": 0.0}
        for kind in ("hello", "episode_start", "observation", "episode_end", "error", "x")
        for payload in (
            {},
            {"metrics": [1]},
            {"metrics": {"success": {}}},
            {"task": []},
            {"task": {"episode_idx": 2**63, "suite": [1]}},
            {"images": [], "states": [[1], [2, 3]], "task_description": 5},
        )
    ]
    + [{"type": [1], "payload": {}, "seq": 1, "timestamp": 0}, [], 5, None, {"type": "hello"}],
}


def _order(to: Served, _: random.Random) -> None:
    for each in _ODD[to.dialect]:
        to.send(msgpack.packb(each), 0.5)


def _mutants(to: Served, rng: random.Random) -> None:
    for _ in range(150):
        to.send(any_bytes(rng, to.question()), 0.1)


def _sockets(count: int, data: bytes, wait_s: float) -> Attack:
    def attack(to: Served, _: random.Random) -> None:
        open_ = [to.raw(data) for _ in range(count)]
        time.sleep(wait_s)
        for connection in open_:
            connection.close()

    return attack


def _half_open(to: Served, _: random.Random) -> None:
    open_ = [socket.create_connection(("127.0.0.1", to.port), 10) for _ in range(200)]
    for connection in open_:
        connection.sendall(b"GET / HTTP/1.1\r\n")
    time.sleep(1)
    for connection in open_:
        connection.close()


def _head(size: int) -> bytes:
    return bytes([0x82, 0xFF]) + size.to_bytes(8, "big") + bytes(4)


def _flood(to: Served, _: random.Random) -> None:
    large = to.question(more=bytes(20 << 20))
    with suppress(OSError, WebSocketException, TimeoutError), to.connect() as there:
        for _ in range(15):
            there.send(large)


def _withheld(to: Served, _: random.Random) -> None:
    """Begin large frames on many connections at once, and end none."""
    open_ = []
    for _ in range(25):
        with suppress(OSError):
            open_.append(to.raw(_head(63 << 20) + bytes(60 << 20)))
    for connection in open_:
        connection.close()


def _unread_pongs(to: Served, _: random.Random) -> None:
    pings = (bytes([0x89, 0x80 | 125]) + bytes(4) + b"x" * 125) * 8000
    there = to.raw(b"")
    there.settimeout(3)
    until = time.monotonic() + 20
    with suppress(OSError), there:
        while time.monotonic() < until:
            there.sendall(pings)


def _pictures(picture: Callable[[], dict[str, Any]], count: int) -> Attack:
    """Send many pictures in a frame, on four connections at once."""

    def attack(to: Served, _: random.Random) -> None:
        frame = to.question(more=[picture()] * count)
        senders = [threading.Thread(target=to.send, args=(frame,)) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    return attack


def _many_questions(to: Served, _: random.Random) -> None:
    before = to.peak_mb()
    with to.connect() as there:
        for _ in range(2000):
            there.send(to.question())
            there.recv(timeout=20)
    grown = to.peak_mb() - before
    if grown > 50:
        to.trouble.append(f"2,000 questions cost {grown} MB")


def _one_by_one(to: Served, _: random.Random) -> None:
    for _ in range(200):
        to.connect().close()


def _web_page(to: Served, _: random.Random) -> None:
    there = to.raw(b"", "Origin: https://evil.example\r\n")
    if b" 403 " not in there.recv(1000):
        to.trouble.append("a web page was let in")
    there.close()


ATTACKS: dict[str, Attack] = {
    **_each(
        {
            f"frame: {name}": frame
            for name, frame in FRAMES.items()
            if isinstance(frame, bytes | str)
        }
    ),
    "lies in the place of the state": _lies,
    "wrong order, keys and types": _order,
    "mutated questions": _mutants,
    "pictures that grow": lambda to, _: to.send(to.question(**bombs())),
    "a frame of 2 GB": _sockets(5, _head(2 << 30), 0.2),
    "a frame of 2^63": _sockets(5, _head(2**63 - 1), 0.2),
    "ends in the middle of frames": _sockets(50, _head(60 << 20) + bytes(100_000), 0.0),
    "large frames without an end": _sockets(10, _head(63 << 20) + bytes(20 << 20), 1.0),
    "25 large frames that are withheld": _withheld,
    "pings whose pongs are not read": _unread_pongs,
    "pictures with long texts": _pictures(texts, 900),
    "10,000 small pictures in a frame": _pictures(lambda: texts(0), 10_000),
    "300 idle connections": _sockets(300, b"", 1.0),
    "frames that are not masked": _sockets(5, bytes([0x82, 5]) + b"hello", 0.2),
    "half-open TCP": _half_open,
    "a flood of large frames": _flood,
    "2,000 questions at once": _many_questions,
    "connections one by one": _one_by_one,
    "a web page": _web_page,
}


def rows(*, short: bool, seed: int) -> Iterator[Row]:
    """Attack a server of each dialect, then end servers whose policy hangs."""
    for dialect in ("openpi", "harness"):
        yield _attacked(dialect, random.Random(seed), short=short)
    yield _tokens()
    yield _ends(("openpi",) if short else ("openpi", "harness"), short=short)


_SHORT = ("pictures that grow", "a web page", "frame: 60 million maps", "half-open TCP")


def _attacked(dialect: str, rng: random.Random, *, short: bool) -> Row:
    row = Row(f"attacks on `vlaeval serve --dialect {dialect}`")
    longest = 0.0
    with serving(dialect, "random?chunk_size=10") as served:
        most = 0
        for name in _SHORT if short else ATTACKS:
            bad, why = attacked(served, ATTACKS[name], rng)
            longest = max(longest, served.longest_s)
            most = max(most, served.peak_mb() - served.base_mb)
            row.add(bad, f"{dialect}, {name}: {why}")
            if served.process.poll() is not None:
                break
        row.seen = f"a good client waited {longest:.1f} s at most; {most} MB more at most"
        log = served.log.read_text(encoding="utf-8", errors="replace")
        row.add("traceback" if "Traceback" in log else None, log[-300:])
    return row


def attacked(served: Served, attack: Attack, rng: random.Random) -> tuple[str | None, str]:
    """Attack a server beside a good client; return the fault and its reason."""
    served.trouble, served.longest_s = [], 0.0
    forget_peak(served.process.pid)
    stop = threading.Event()
    good = threading.Thread(target=served.keep_asking, args=(stop,))
    good.start()
    try:
        attack(served, rng)
    except (OSError, TimeoutError, WebSocketException) as error:
        served.trouble.append(f"the attack itself: {error!r}"[:100])
    time.sleep(0.1)
    stop.set()
    good.join(70)
    if served.process.poll() is not None:
        return "exit code", f"the server ended with {served.process.returncode}"
    if served.trouble:
        return "difference", "; ".join(served.trouble[:3])
    if served.longest_s > _MOST_S:
        return "hang", f"a good client waited {served.longest_s:.1f} s"
    if (grown := served.peak_mb() - served.base_mb) > _MEMORY_MB:
        return "memory", f"{grown} MB"
    return None, ""


_HEADERS = {
    "": b"401",
    "Authorization: Api-Key x\r\n": b"401",
    f"Authorization: Basic {_TOKEN}\r\n": b"401",
    f"Authorization: {_TOKEN}\r\n": b"401",
    "Authorization: Api-Key \xff\r\n": b"401",
    f"Authorization: Api-Key a\r\nAuthorization: Api-Key {_TOKEN}\r\n": b"401",
    f"Authorization: Api-Key {_TOKEN}\r\n": b"101",
    f"Authorization: Bearer {_TOKEN}\r\n": b"101",
    f"Origin: https://evil.example\r\nAuthorization: Api-Key {_TOKEN}\r\n": b"403",
}


def _tokens() -> Row:
    """Try the door of a server that wants a token."""
    row = Row(
        "keys for a door that wants a token", seen="401, 403 for web pages, 101 for the token"
    )
    with serving("openpi", "random?chunk_size=10", VLA_EVAL_TOKEN=_TOKEN) as served:
        for header, code in _HEADERS.items():
            there = served.raw(b"", header)
            there.settimeout(10)
            answer = there.recv(100)
            there.close()
            row.add(None if code in answer[:20] else "difference", f"{header!r}: {answer[:20]!r}")
    return row


def _ends(dialects: tuple[str, ...], *, short: bool) -> Row:
    """End servers while their policy hangs, with one signal and with two."""
    row = Row("SIGTERM, SIGINT and SIGHUP to a server whose policy hangs")
    slowest = 0.0
    kinds = (signal.SIGTERM,) if short else (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    cases = [
        (dialect, number, leaves, twice)
        for dialect in dialects
        for number in kinds
        for leaves, twice in ((True, False), (False, False), (False, True))
        if not short or twice
    ]
    for dialect, number, leaves, twice in cases:
        took = _ended(dialect, number, leaves=leaves, twice=twice)
        slowest = max(slowest, took)
        row.add(
            "hang" if took > (2.0 if twice else _MOST_S) else None,
            f"{dialect}, {number.name}{' twice' if twice else ''}: {took:.1f} s",
        )
    row.seen = f"ended within {slowest:.1f} s; after a second signal at once"
    return row


def _ended(dialect: str, number: signal.Signals, *, leaves: bool, twice: bool) -> float:
    """Return how long a server lives after a signal, in seconds."""
    with serving(dialect, "fakes.policies:InWorker?infer_s=3600") as served:
        there = served.connect()
        there.send(served.question())
        time.sleep(0.5)
        if leaves:
            there.close()
        began = time.monotonic()
        served.process.send_signal(number)
        if twice:
            time.sleep(0.3)
            served.process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            served.process.wait(30)
        return time.monotonic() - began
