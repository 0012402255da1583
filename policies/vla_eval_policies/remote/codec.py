"""Bytes to arrays and back: msgpack with NumPy arrays, in the dialects of openpi and of AllenAI.

openpi writes an array as a map with bytes keys ``__ndarray__``, ``data``, ``dtype``, ``shape`` and a
NumPy scalar as ``__npgeneric__``; the harness uses str keys, plain scalars, and sends pictures as
``__image__`` (PNG, JPEG or raw). Both forms are read in either dialect. Frames are not trusted: the
codec refuses objects, pickles, arrays with a wrong number of bytes, frames that become too large, and
frames with more than :data:`MOST_ITEMS` values.
"""

from __future__ import annotations

import io
import math
import re
import reprlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import VlaEvalError

__all__ = [
    "LARGEST_FRAME",
    "MOST_ITEMS",
    "MOST_PICTURES",
    "Dialect",
    "WireError",
    "envelope",
    "open_envelope",
    "pack",
    "unpack",
]

Dialect = Literal["openpi", "harness"]

_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,5})")

LARGEST_FRAME = 64 << 20
"""Default limit in bytes, both for a frame and for its decoded pictures together."""
MOST_ITEMS = 100_000
"""Most values in all lists and maps of a frame; an array is one value."""
MOST_PICTURES = 16
"""Most pictures in a frame; the largest layout has 3."""
_MOST_SCANS = 32
"""Most scans in a JPEG: a scan takes time to decode and needs few bytes."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
"""Chunks of the picture itself; texts and profiles can decompress to a thousand times their size."""


class WireError(VlaEvalError):
    """A frame or message that cannot be used; the text gives the reason."""


def pack(value: Any, dialect: Dialect = "openpi") -> bytes:
    """Encode a value of maps, lists, strings, numbers and arrays.

    Raises:
        WireError: an array has another type than bool, integer, float or string.
    """
    try:
        packed = msgpack.packb(value, default=_encode_openpi if dialect == "openpi" else _encode)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from None
    return bytes(packed)


def unpack(data: bytes, *, max_bytes: int = LARGEST_FRAME) -> Any:
    """Decode one frame; its arrays are writable copies.

    Args:
        data: the frame.
        max_bytes: limit of its decoded pictures together, in bytes.

    Raises:
        WireError: the frame is not msgpack, has an invalid array, or exceeds a limit.
    """
    budget = _Budget(max_bytes)
    try:
        return msgpack.unpackb(
            data,
            object_hook=budget.map,
            list_hook=budget.list,
            max_map_len=MOST_ITEMS,
            max_array_len=MOST_ITEMS,
        )
    except WireError:
        raise
    except Exception as error:  # noqa: BLE001 - msgpack's errors share no base
        reason = str(error) or type(error).__name__
        raise WireError(f"a frame of {len(data)} bytes is not valid msgpack ({reason})") from None


def _encode_openpi(value: Any) -> Any:
    _refuse_type(value)
    if isinstance(value, np.ndarray):
        return {
            b"__ndarray__": True,
            b"data": value.tobytes(),
            b"dtype": value.dtype.str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return value


def _encode(value: Any) -> Any:
    _refuse_type(value)
    if isinstance(value, np.ndarray):
        return {
            "__ndarray__": True,
            "data": value.tobytes(),
            "dtype": value.dtype.str,
            "shape": list(value.shape),
        }
    return value.item() if isinstance(value, np.generic) else value


def _refuse_type(value: Any) -> None:
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "biufSU":
        raise ValueError(f"an array of type {value.dtype}")


@dataclass
class _Budget:
    """The remaining allowance of a frame."""

    bytes_left: int
    items_left: int = MOST_ITEMS
    pictures_left: int = MOST_PICTURES

    def map(self, found: dict[Any, Any]) -> Any:
        """Return the array, scalar, picture or plain map that a map of the frame encodes."""
        self._count(len(found))
        names = {key.decode("latin-1") if isinstance(key, bytes) else key: key for key in found}
        if "__ndarray__" in names:
            return _array({name: found[key] for name, key in names.items()})
        if "__npgeneric__" in names:
            dtype = _dtype(found[names["dtype"]])
            return dtype.type(found[names["data"]])
        if "__image__" in names:
            return self._image(found)
        return found

    def list(self, found: list[Any]) -> list[Any]:
        """Count a list of the frame, and return it."""
        self._count(len(found))
        return found

    def _count(self, items: int) -> None:
        self.items_left -= 1 + items
        if self.items_left < 0:
            raise WireError(f"a frame holds more than {MOST_ITEMS} values")

    def _image(self, found: Mapping[str, Any]) -> NDArray[np.uint8]:
        data, form = found.get("data"), found.get("format")
        self.pictures_left -= 1
        if self.pictures_left < 0:
            raise WireError(f"a frame holds more than {MOST_PICTURES} pictures")
        if form == "raw":
            return _array(found)
        from PIL import Image

        if form not in ("png", "jpeg") or not isinstance(data, bytes):
            raise WireError(
                f"a picture has format {reprlib.repr(form)}; png, jpeg or raw is expected"
            )
        plain = _plain_png(data) if form == "png" else _plain_jpeg(data)
        try:
            with Image.open(io.BytesIO(plain), formats=[form.upper()]) as picture:
                self.bytes_left -= picture.width * picture.height * len(picture.getbands())
                if self.bytes_left < 0:
                    raise WireError(
                        f"a frame's pictures are too large, at one of "
                        f"{picture.width}×{picture.height} pixels"
                    )
                array = np.array(picture)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise WireError(f"a picture cannot be read ({error})") from None
        if list(array.shape) != found.get("shape") or array.dtype != np.uint8:
            declared = reprlib.repr(found.get("shape"))
            raise WireError(f"a picture has shape {array.shape}, and said {declared}")
        return array


def _plain_png(data: bytes) -> bytes:
    """Return a PNG without the chunks that are not part of the picture."""
    kept, start = [_PNG], len(_PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4])
        if data[start + 4 : start + 8] in _PNG_CHUNKS:
            kept.append(data[start:end])
        start = end
    return b"".join(kept) if data.startswith(_PNG) else b""


def _plain_jpeg(data: bytes) -> bytes:
    """Return a JPEG unchanged; raises WireError if it has too many scans."""
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise WireError(f"a JPEG has more than {_MOST_SCANS} scans")
    return data


def _dtype(text: object) -> np.dtype[Any]:
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise WireError(
            f"an array has type {reprlib.repr(text)}; bool, integer, float or string is expected"
        )
    return np.dtype(text)


def _array(fields: Mapping[str, Any]) -> NDArray[Any]:
    dtype, data, shape = _dtype(fields.get("dtype")), fields.get("data"), fields.get("shape")
    whole = isinstance(shape, list | tuple) and all(
        type(size) is int and size >= 0 for size in shape
    )
    if (
        not whole
        or not isinstance(data, bytes)
        or math.prod(shape or ()) * dtype.itemsize != len(data)
    ):
        size = len(data) if isinstance(data, bytes) else reprlib.repr(data)
        raise WireError(
            f"an array of shape {reprlib.repr(shape)} and type {dtype} does not have {size} bytes"
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


def envelope(kind: str, payload: Mapping[str, Any], seq: int) -> bytes:
    """Return one message of the harness."""
    message = {"type": kind, "payload": payload, "seq": seq, "timestamp": time.time()}
    return pack(message, "harness")


def open_envelope(
    frame: bytes | str, *, max_bytes: int = LARGEST_FRAME
) -> tuple[str, Mapping[str, Any], int]:
    """Return type, payload and number of one message of the harness; raises WireError."""
    message = unpack(frame, max_bytes=max_bytes) if isinstance(frame, bytes) else frame
    if not isinstance(message, Mapping) or not {"type", "payload", "seq", "timestamp"} <= {
        *message
    }:
        raise WireError("a message of type, payload, seq and timestamp is expected")
    kind, payload, seq = message["type"], message["payload"], message["seq"]
    if not isinstance(kind, str) or not isinstance(payload, Mapping) or type(seq) is not int:
        raise WireError("a message has fields of other types than expected")
    return kind, payload, seq
