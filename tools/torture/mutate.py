"""Damaging valid input: at random, but the same for the same seed."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable
from typing import Any

__all__ = ["any_bytes", "any_json", "any_lines", "any_options", "any_safetensors", "any_toml"]

_RAW_JSON = (
    "null", "true", "-1", "0", "1", "2", "1e308", "1e999", "-1e999", "NaN", "Infinity", "0.5", "1e-300",
    "2147483648", "9223372036854775808", "1000000000", "1" * 400, "1" * 5000, "[]", "{}", '""', '"x"',
    '"\\u0000"', '"\\u001b[2J\\u001b]0;t\\u0007"', '"\\ud800"', '"²"', '"../../x"', '"a\\nb|c"',
    '"<img src=x>"', '"' + "y" * 5000 + '"', '{"a":1,"a":2}', "[" * 400 + "]" * 400,
    "[" * 60_000 + "]" * 60_000, '"2026-01-01"', '"1979-05-27T07:32:00Z"', "[0]", "[[]]", '[null, "1"]',
)  # fmt: skip
_RAW_TOML = (
    "true", "-1", "0", "1", "1e308", "inf", "-inf", "nan", "0.5", "1e-300", "9223372036854775808",
    "1000000000", "1" * 400, "1" * 5000, "0x" + "f" * 5000, "[]", "{}", '""', '"x"', '"\\u0000"',
    '"\\u001b[2J"', '"²"', "'../../x'", '"a\\nb|c"', "1979-05-27", "07:32:00", "1979-02-30",
    "1979-05-27T07:32:00Z", "[" * 300 + "]" * 300, "[" * 20_000 + "]" * 20_000, "{a = {b = 1}}",
    "[1, 'a', 2.0]", '"' + "y" * 5000 + '"', "{count = 1000000000}", "{count = 1}", "1_000", "0b1",
    "a.b.c", "= =", "'",
)  # fmt: skip
_MARK = "\x00raw\x00"


def any_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, drop and insert bytes, a few times."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, size = rng.randrange(len(found) + 1), rng.choice((1, 2, 8, 64))
        kind = rng.randrange(6)
        if kind == 0 and place < len(found):
            found[place] = rng.randrange(256)
        elif kind == 1:
            del found[place : place + size]
        elif kind == 2:
            found[place:place] = rng.randbytes(size)
        elif kind == 3:
            found[place:place] = found[place : place + size] * rng.choice((1, 3, 50))
        elif kind == 4:
            del found[place:]
        else:
            found[place : place + size] = rng.choice((b"\xff", b"\x00", b"\x7f")) * size
    return bytes(found)


def any_json(rng: random.Random, data: bytes) -> bytes:
    """Damage one or more values or keys of a JSON text, or its bytes."""
    if rng.random() < 0.25:
        return any_bytes(rng, data)
    content, raw = json.loads(data), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = _damaged(rng, content, raw)
    text = json.dumps(content)
    for token in raw:
        text = text.replace(json.dumps(_MARK), token, 1)
    return text.encode()


def _damaged(rng: random.Random, content: Any, raw: list[str]) -> Any:
    """Replace, drop, rename or double one node of a JSON value."""
    if not isinstance(content, dict | list) or not content or rng.random() < 0.08:
        raw.append(rng.choice(_RAW_JSON))
        return _MARK
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = rng.choice(keys)
    if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.75:
        content[key] = _damaged(rng, content[key], raw)
        return content
    kind = rng.randrange(6)
    if kind == 0:
        del content[key]
    elif kind == 1 and isinstance(content, dict):
        content[str(key) + rng.choice(("x", "\u001b", ""))] = content.pop(key)
    elif kind == 2 and isinstance(content, list):
        content += content[: rng.choice((1, len(content)))]
    elif kind == 3 and isinstance(content[key], int | float):
        content[key] = content[key] * rng.choice((-1, 2, 0.5, 1e6, 1 + 1e-6)) + rng.choice((0, 1))
    else:
        content[key] = _MARK
        raw.append(rng.choice(_RAW_JSON))
    return content


def any_lines(rng: random.Random, data: bytes, fixed: Callable[[list[bytes]], bytes]) -> bytes:
    """Damage a file of JSON lines; half of the time the chain of hashes is computed anew."""
    lines = data.splitlines()
    kind = rng.randrange(5)
    if kind == 0:
        return any_bytes(rng, data)
    number = rng.randrange(len(lines))
    if kind == 1:
        lines[number : number + 1] = rng.choice(([], [lines[number]] * 2, [b""], [b"{}"]))
    else:
        lines[number] = any_json(rng, lines[number]).replace(b"\n", b" ")
    return fixed(lines) if rng.random() < 0.7 else b"\n".join(lines) + b"\n"


def any_toml(rng: random.Random, data: bytes) -> bytes:
    """Damage values, lines or bytes of a TOML text."""
    if rng.random() < 0.2:
        return any_bytes(rng, data)
    lines = data.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        number = rng.randrange(len(lines))
        kind = rng.randrange(5)
        if kind == 0:
            del lines[number]
        elif kind == 1:
            lines.insert(number, rng.choice(lines or [""]))
        elif "=" in (lines[number] if number < len(lines) else ""):
            key, _, value = lines[number].partition("=")
            if kind == 2 and re.search(r"\d+|\"[^\"]*\"", value):
                token = rng.choice(_RAW_TOML).replace("\\", r"\\")
                lines[number] = f"{key}={re.sub(r'[0-9.]+|"[^"]*"', token, value, count=1)}"
            else:
                lines[number] = f"{key}= {rng.choice(_RAW_TOML)}"
        if not lines:
            return b""
    return "\n".join(lines).encode(errors="surrogatepass")


def any_options(rng: random.Random, text: str) -> str:
    """Damage a text that a user types, such as ``KEY.PATH=VALUE`` or a spec."""
    kind = rng.randrange(4)
    key, sign, value = text.partition("=")
    if kind == 0 and sign:
        return f"{key}={rng.choice(_RAW_TOML)[: rng.choice((60, 10_000))]}"
    if kind == 1 and sign:
        parts = key.split(".")
        parts[rng.randrange(len(parts))] = rng.choice(
            ("²", "0", "99", "-1", "", "x", "1" * 30, "٣")
        )
        return f"{'.'.join(parts)}={value}"
    changed = any_bytes(rng, text.encode()).replace(b"\x00", b"0")
    return changed.decode(errors="replace")


def any_safetensors(rng: random.Random, data: bytes, card: str) -> bytes:
    """Damage the header or the card of a safetensors file, and keep its length right; or its bytes."""
    kind = rng.randrange(4)
    if kind == 0:
        return any_bytes(rng, data)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    if kind == 1:
        text = any_json(rng, json.dumps(header).encode())
    else:
        said = any_json(rng, header["__metadata__"][card].encode())
        header["__metadata__"][card] = said.decode(errors="replace")
        text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]
