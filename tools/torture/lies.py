"""Answers of a hostile server: values for actions, frames, connections, offers, answers to the upgrade."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
from websockets.sync.server import ServerConnection

__all__ = [
    "ANSWERS",
    "CONNECTIONS",
    "FRAMES",
    "HTTP",
    "LOCATIONS",
    "OFFERS",
    "VALUES",
    "bombs",
    "texts",
]

Frame = bytes | str | Callable[[ServerConnection], None]


def _array(dtype: object, shape: object, data: object = b"1234") -> dict[Any, Any]:
    return {"__ndarray__": True, "data": data, "dtype": dtype, "shape": shape}


def bombs(count: int = 60) -> dict[str, Any]:
    """Return a map of pictures that are small in a file and large in memory."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (4096, 4096)).save(file, "PNG")
    one = {"__image__": True, "format": "png", "data": file.getvalue(), "shape": [4096, 4096]}
    return {f"k{i}": one for i in range(count)}


def texts(count: int = 60) -> dict[str, Any]:
    """Return a picture of one pixel with texts of a megabyte each, small in the file."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))
        )

    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    size = chunk(b"IHDR", struct.pack("!IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    data = b"\x89PNG\r\n\x1a\n" + size + text * count + pixel
    return {"__image__": True, "format": "png", "data": data, "shape": [1, 1]}


VALUES: dict[str, Any] = {
    "a negative shape": _array("<f4", [-1, 4]),
    "a shape of words": _array("<f4", ["a"]),
    "too few bytes": _array("<f4", [2, 6]),
    "bytes of words": _array("<f4", [1], "1234"),
    "objects": _array("|O", [1]),
    "void": _array("|V8", [1], b"12345678"),
    "dates": _array("<M8[s]", [1], b"12345678"),
    "a structure": _array([["a", "<f4"]], [1]),
    "complex": _array("<c8", [1], b"12345678"),
    "an empty shape of 2^124": _array("<f4", [0, 2**62, 2**62], b""),
    "10,000 dimensions": _array("<f4", [1] * 10_000),
    "strings of no length": _array("|S0", [10**9], b""),
    "a scalar string of 100,000": {"__npgeneric__": True, "data": "x", "dtype": "<U99999"},
    "a scalar without data": {"__npgeneric__": True, "dtype": "<f4"},
    "words": [["a"] * 6],
    "lists of unequal lengths": [[1], [2, 3]],
    "nothing": None,
    "a number": 5,
    "a map": {"a": 1},
    "truth values": [[True] * 6],
    "no action": _array("<f4", [0, 6], b""),
    "an action of another size": _array("<f4", [5, 7], bytes(140)),
    "three dimensions": _array("<f4", [1, 5, 6], bytes(120)),
    "not a number": _array("<f4", [5, 6], np.full((5, 6), np.nan, "<f4").tobytes()),
    "infinite": _array("<f8", [5, 6], np.full((5, 6), np.inf).tobytes()),
    "lists of a million": [[0.0] * 10] * 100_000,
    "a picture": {"__image__": True, "format": "gif", "data": b"GIF89a", "shape": [1]},
    "a picture that is none": {"__image__": True, "format": "png", "data": b"x", "shape": [1]},
}
"""Values in the place of actions."""


def _loris(socket: ServerConnection) -> None:
    socket.socket.sendall(bytes([0x82, 127]) + struct.pack("!Q", 1000))
    for _ in range(40):
        socket.socket.sendall(b"x")
        time.sleep(1)


def _dribble(socket: ServerConnection) -> None:
    socket.socket.sendall(bytes([0x02, 1]) + b"x")
    for _ in range(400):
        socket.socket.sendall(bytes([0x00, 1]) + b"x")
        time.sleep(0.1)


def _pings(socket: ServerConnection) -> None:
    for _ in range(400):
        socket.ping()
        time.sleep(0.1)


def _endless(socket: ServerConnection) -> None:
    block = struct.pack("!Q", 1 << 20) + b"x" * (1 << 20)
    socket.socket.sendall(bytes([0x02, 127]) + block)
    for _ in range(3000):
        socket.socket.sendall(bytes([0x00, 127]) + block)


def _ping_flood(socket: ServerConnection) -> None:
    pings = (bytes([0x89, 125]) + b"x" * 125) * 500
    with socket.protocol_mutex:  # or else the library reads the pongs
        for _ in range(3000):
            socket.socket.sendall(pings)


def _cut(socket: ServerConnection) -> None:
    socket.socket.sendall(struct.pack("!BBQ", 0x82, 127, 1000) + b"xx")
    socket.socket.close()


def _raw(data: bytes) -> Callable[[ServerConnection], None]:
    return lambda socket: socket.socket.sendall(data)


FRAMES: dict[str, Frame] = {
    "no bytes": b"",
    "no msgpack": b"\xc1",
    "half a message": msgpack.packb({"actions": [1, 2, 3]})[:-2],
    "a list": msgpack.packb([1, 2]),
    "100,000 lists in each other": b"\x81\xa7actions" + b"\x91" * 100_000 + b"\xc0",
    "a list of 4e9": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000,
    "60 million maps": b"\xdd" + (60 << 20).to_bytes(4, "big") + b"\x80" * (60 << 20),
    "lists of 100,000 each": (b"\xdd" + (100_000).to_bytes(4, "big") + b"\xc0" * 100_000) * 20,
    "a text": "Traceback\nValueError: no",
    "a text that steers a terminal": "boom \x1b]0;pwned\x07\x1b[2J" + "x" * 10,
    "a text of a megabyte": "x" * 10**6,
}
"""Frames in the place of any message."""
ANSWERS: dict[str, Frame] = {
    "a map without actions": msgpack.packb({"a": 1}),
    "an extension of msgpack": msgpack.packb({"actions": msgpack.ExtType(5, b"x" * 1000)}),
}
"""Frames in the place of an answer; as metadata they say nothing wrong."""
CONNECTIONS: dict[str, Frame] = {
    "a frame a byte a second": _loris,
    "fragments without an end": _dribble,
    "pings for ever": _pings,
    "pings whose pongs are not read": _ping_flood,
    "fragments of 3 GB": _endless,
    "a frame of 2 GB": _raw(struct.pack("!BBQ", 0x82, 127, 2 << 30)),
    "a frame of 2^63": _raw(struct.pack("!BBQ", 0x82, 127, 2**63 - 1)),
    "reserved bits": _raw(bytes([0xC2, 5]) + b"hello"),
    "an unknown kind of frame": _raw(bytes([0x83, 1]) + b"x"),
    "an end in the middle": _cut,
    "silence": lambda _: time.sleep(40),
    "a close with a reason": lambda socket: socket.close(1011, "\x1b[2J" * 10),
}
"""Bytes in the place of any message, below messages."""
HTTP = {
    "200": 200,
    "a redirect elsewhere": 302,
    "401": 401,
    "403": 403,
    "500": 500,
}
"""Answers to the upgrade."""
LOCATIONS = {
    "a web page": "http://127.0.0.1:9/",
    "a file": "file:///etc/passwd",
    "a port that cannot be": "ws://a:99999999/",
    "half an address": "ws://[/",
    "itself": "/",
}
"""Addresses to which a server redirects its clients."""
OFFERS: dict[str, dict[str, Any]] = {
    "n_action_steps 0": {"n_action_steps": 0},
    "n_action_steps a word": {"n_action_steps": "x"},
    "n_action_steps NaN": {"n_action_steps": float("nan")},
    "n_action_steps 1e9": {"n_action_steps": 10**9},
    "n_action_steps true": {"n_action_steps": True},
    "chunk_size -1": {"chunk_size": -1},
    "chunk_size 2^80": {"chunk_size": float(2**80)},
    "name a list": {"name": [1]},
    "name missing": {"name": None},
    "method a map": {"method": {"a": 1}},
    "nfe a word": {"nfe": "x"},
    "solver a number": {"solver": 5},
    "privileged": {"privileged": True},
    "weights a number": {"weights_sha256": 5},
    "trained_on a word": {"trained_on": "everything"},
    "options a word": {"options": "x"},
    "options nested": {"options": {"a": {"b": [1]}}},
    "options NaN": {"options": {"a": float("nan")}},
    "options bytes": {"options": {"a": b"x"}},
    "options an array": {"options": {"a": _array("<f8", [3], bytes(24))}},
}
"""False identities of the policy in the metadata of a server that claims to be ours; all must be refused."""
