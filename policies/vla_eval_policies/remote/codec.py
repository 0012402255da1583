"""Bytes to arrays and back: msgpack with NumPy arrays, in the dialects of openpi and of AllenAI.

openpi writes an array as a map with bytes keys ``__ndarray__``, ``data``, ``dtype``, ``shape`` and a
NumPy scalar as ``__npgeneric__``; the harness uses str keys, plain scalars, and sends pictures as
``__image__`` (PNG, JPEG or raw). Both are read here whatever the dialect. What comes from a stranger
is not trusted: no objects, no pickles, no array whose bytes are not as many as it says.
"""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Mapping
from typing import Any, Literal

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import VlaEvalError

__all__ = ["Dialect", "WireError", "envelope", "open_envelope", "pack", "unpack"]

Dialect = Literal["openpi", "harness"]

_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,5})")
_MOST_PIXELS = 4096 * 4096


class WireError(VlaEvalError):
    """What came over the wire cannot be used; the sentence says why."""


def pack(value: Any, dialect: Dialect = "openpi") -> bytes:
    """Encode a value of maps, lists, strings, numbers and arrays.

    Raises:
        WireError: it holds an array of another type than bool, integer, float or string.
    """
    try:
        packed = msgpack.packb(value, default=_encode_openpi if dialect == "openpi" else _encode)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"cannot be sent: {error}") from None
    return bytes(packed)


def unpack(data: bytes) -> Any:
    """Decode one frame; arrays are copies that may be written to.

    Raises:
        WireError: not msgpack, or an array that cannot be.
    """
    try:
        return msgpack.unpackb(data, object_hook=_decode)
    except WireError:
        raise
    except Exception as error:  # noqa: BLE001 - msgpack's errors share no base
        what = str(error) or type(error).__name__
        raise WireError(f"a frame of {len(data)} bytes is not valid msgpack ({what})") from None


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


def _decode(found: dict[Any, Any]) -> Any:
    names = {key.decode("latin-1") if isinstance(key, bytes) else key: key for key in found}
    if "__ndarray__" in names:
        return _array({name: found[key] for name, key in names.items()})
    if "__npgeneric__" in names:
        dtype = _dtype(found[names["dtype"]])
        return dtype.type(found[names["data"]])
    if "__image__" in names:
        return _image(found)
    return found


def _dtype(text: object) -> np.dtype[Any]:
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise WireError(f"an array has type {text!r}; bool, integer, float or string is expected")
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
        size = len(data) if isinstance(data, bytes) else data
        raise WireError(
            f"an array of shape {shape!r} and type {dtype} does not have {size!r} bytes"
        )
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()


def _image(found: Mapping[str, Any]) -> NDArray[np.uint8]:
    shape, data, form = found.get("shape"), found.get("data"), found.get("format")
    if form == "raw":
        return _array(found)
    from PIL import Image

    if form not in ("png", "jpeg") or not isinstance(data, bytes):
        raise WireError(f"a picture has format {form!r}; png, jpeg or raw is expected")
    try:
        with Image.open(io.BytesIO(data), formats=[form.upper()]) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise WireError(
                    f"a picture of {picture.width}×{picture.height} pixels is too large"
                )
            array = np.array(picture)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise WireError(f"a picture cannot be read ({error})") from None
    if list(array.shape) != shape or array.dtype != np.uint8:
        raise WireError(f"a picture has shape {array.shape}, and said {shape!r}")
    return array


def envelope(kind: str, payload: Mapping[str, Any], seq: int) -> bytes:
    """Return one message of the harness."""
    message = {"type": kind, "payload": payload, "seq": seq, "timestamp": time.time()}
    return pack(message, "harness")


def open_envelope(frame: bytes | str) -> tuple[str, Mapping[str, Any], int]:
    """Return type, payload and number of one message of the harness; raises WireError."""
    message = unpack(frame) if isinstance(frame, bytes) else frame
    if not isinstance(message, Mapping) or not {"type", "payload", "seq", "timestamp"} <= {
        *message
    }:
        raise WireError("a message of type, payload, seq and timestamp is expected")
    kind, payload, seq = message["type"], message["payload"], message["seq"]
    if not isinstance(kind, str) or not isinstance(payload, Mapping) or not isinstance(seq, int):
        raise WireError("a message has fields of other types than expected")
    return kind, payload, seq
