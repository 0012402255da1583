"""A server that misbehaves as the path of the address says. Prints its port.

A path may end in ``/once/NAME``. Arguments: ``plain`` (openpi's protocol) or ``ours`` (with our
extension), then the weights it claims to hold. Without a known fault in the path it walks towards the goal of the fake environment. ``die`` ends
the process at the second chunk of the first episode that asks.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from contextlib import suppress

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from vla_eval_policies.remote.codec import pack, unpack

OURS = sys.argv[1] == "ours"
WEIGHTS = sys.argv[2] if len(sys.argv) > 2 else "a"
PORT = int(sys.argv[3]) if len(sys.argv) > 3 else 0
POLICY = {
    "name": "walker",
    "method": "fake",
    "chunk_size": 4,
    "n_action_steps": 4,
    "weights_sha256": WEIGHTS,
}
DONE: set[str] = set()
"""Faults that come once, by the name after ``/once/`` in the path."""
OFFER = {
    "versions": [1],
    "policy": POLICY,
    "code_sha256": "c",
    "layout": "native",
    "max_batch": 1,
    "batch_wait_ms": 0.0,
}


def close(connection) -> None:
    """End politely."""
    connection.close(1001)


def reset(connection) -> None:
    """End as when the machine behind the socket goes."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def huge(connection) -> None:
    """Announce a binary frame of 2 GiB and begin to send it, past the library."""
    connection.socket.sendall(struct.pack("!BBQ", 0x82, 127, 2 << 30) + bytes(1 << 16))
    time.sleep(1)


ACTS = {"die": lambda _: os._exit(1), "close": close, "reset": reset, "huge": huge}
"""What is done instead of answering."""


def late(reply: dict) -> bytes:
    time.sleep(4)
    return pack(reply)


def text(reply: dict) -> str:
    return "Traceback (most recent call last):\n  ...\nRuntimeError: CUDA out of memory\n"


def nan(reply: dict) -> bytes:
    reply["actions"][1, 0] = np.nan
    return pack(reply)


def lie(reply: dict) -> bytes:
    """An array of a few bytes that says it is of a gigabyte."""
    array = {b"__ndarray__": True, b"data": b"1234", b"dtype": "<f4", b"shape": [1 << 28]}
    return pack({**reply, "actions": array})


def stranger(reply: dict) -> bytes:
    """An array of objects, which others unpickle."""
    array = {b"__ndarray__": True, b"data": b"\x80\x04N.", b"dtype": "|O", b"shape": [1]}
    return pack({**reply, "actions": array})


def claiming(**changes):
    """Return a fault in what the extension says of the answer."""
    return lambda reply: pack({**reply, "vla_eval": {**reply["vla_eval"], **changes}})


ANSWERS = {
    "late": late,
    "text": text,
    "nan": nan,
    "shape": lambda reply: pack({**reply, "actions": reply["actions"][:, :1]}),
    "words": lambda reply: pack({**reply, "actions": np.array([["a", "b"]])}),
    "nothing": lambda reply: pack({"action": 1}),
    "garbage": lambda _: b"\xc1 this is no msgpack",
    "list": lambda _: pack([1, 2, 3]),
    "lie": lie,
    "object": stranger,
    "other-episode": claiming(episode="0" * 32),
    "other-chunk": claiming(chunk_index=0),
    "no-fields": lambda reply: pack({"actions": reply["actions"]}),
    "times": claiming(infer_ms=float("nan")),
    "endless": claiming(nfe=float("inf")),
    "counts": claiming(counts={"fired": 0.5}),
    "no-counts": claiming(counts=["fired"]),
}
"""What is answered instead."""


def handle(connection) -> None:
    """Serve one client."""
    fault, _, once = connection.request.path.strip("/").partition("/once/")
    if fault == "mute":
        time.sleep(3600)
    if fault == "no-metadata":
        connection.send(pack(["hello"]))
    else:
        connection.send(pack({"vla_eval": OFFER} if OURS else {"config": WEIGHTS}))
    chunks = 0
    with suppress(ConnectionClosed):
        for frame in connection:
            asked = unpack(frame).get("vla_eval") or {"type": "infer"}
            mirrored = {name: asked.get(name) for name in ("type", "episode", "chunk_index")}
            reply: dict = {"vla_eval": mirrored} if OURS else {}
            answer: bytes | str | None = None
            if asked["type"] == "infer":
                numbers = {"nfe": 3, "prefix_ms": 0.0, "denoise_ms": 0.0, "infer_ms": 0.1}
                mirrored |= {**numbers, "batch": 1}
                reply["actions"] = np.full((4, 2), 0.8, np.float32)
                chunks += 1
                if chunks == 2 and once not in DONE:
                    DONE.update([once] if once else [])
                    if fault in ACTS:
                        ACTS[fault](connection)
                        return
                    answer = ANSWERS[fault](reply) if fault in ANSWERS else None
            connection.send(answer if answer is not None else pack(reply))


if __name__ == "__main__":
    server = serve(handle, "127.0.0.1", PORT, compression=None, max_size=None, ping_interval=None)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
