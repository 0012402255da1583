"""Sends messages with large arrays to a process of this machine through memory that both see.

The large arrays are copied once on each side, never encoded: the receiver's bits are the sender's. A receiver takes
one block for the large arrays of a message: several of 200 kB would be taken from the system and given back with
every message, which takes longer than copying them. The shared memory has no name, so a killed process leaves
nothing behind.
"""

from __future__ import annotations

import copyreg
import io
import mmap
import os
import pickle
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Receiver", "Sender", "encoded"]

_LEAST_BYTES = 16_384
"""Arrays of fewer bytes go through the connection: that is faster."""
_ALIGNED_TO = 64

_Places = list[tuple[int, int]]
type _Parcel = tuple[bytes, _Places, bool]
"""A message without its large arrays; first and last byte of each of these in the shared memory; and whether the
descriptor of a new memory follows. A plain tuple, because that is encoded fastest."""


def _parts(array: NDArray[Any]) -> tuple[Any, ...]:
    """Return a function and its arguments that make a plain array again: shorter and faster than NumPy's own."""
    if array.flags.c_contiguous and array.dtype.kind in "biufc":
        return np.ndarray, (array.shape, array.dtype.str, pickle.PickleBuffer(array))
    parts: tuple[Any, ...] = array.__reduce_ex__(5)  # type: ignore[assignment]
    return parts


class _Pickler(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table | {np.ndarray: _parts}


def encoded(message: object, stays: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """Return a message for ``pickle.loads``; arrays for which ``stays`` returns False are left out."""
    file = io.BytesIO()
    _Pickler(file, 5, buffer_callback=stays).dump(message)
    return file.getvalue()


class Sender:
    """Sends messages over a connection; the receiver has read one before the next is sent.

    Args:
        connection: a Unix socket to a :class:`Receiver`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._memory: mmap.mmap | None = None

    def send(self, message: object) -> None:
        """Send a message."""
        large: list[memoryview] = []

        def stays(buffer: pickle.PickleBuffer) -> bool:
            """Keep a small array in the message; put a large one aside."""
            view = buffer.raw()
            if view.nbytes < _LEAST_BYTES or not hasattr(os, "memfd_create"):
                return True
            large.append(view)
            return False

        body = encoded(message, stays)
        places = _places(large)
        descriptor = self._fill(large, places) if large else None
        parcel: _Parcel = body, places, descriptor is not None
        self._connection.send_bytes(pickle.dumps(parcel))
        if descriptor is not None:
            send_handle(self._connection, descriptor, os.getpid())
            os.close(descriptor)

    def _fill(self, views: list[memoryview], places: _Places) -> int | None:
        """Copy the arrays to their places; return the memory's descriptor if it is new."""
        descriptor = self._grow(places[-1][1])
        assert self._memory is not None  # noqa: S101 - _grow made it
        for (start, stop), view in zip(places, views, strict=True):
            self._memory[start:stop] = view
        return descriptor

    def _grow(self, size: int) -> int | None:
        """Make a larger memory if this one is too small; return its descriptor if it is new."""
        if self._memory is not None and len(self._memory) >= size:
            return None
        descriptor = os.memfd_create("vlaeval-observations")
        os.ftruncate(descriptor, size)
        self._memory = mmap.mmap(descriptor, size)
        return descriptor


class Receiver:
    """Receives the messages of a :class:`Sender`; its arrays are copies that the receiver owns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._memory: mmap.mmap | None = None

    def receive(self) -> Any:
        """Wait for a message and return it."""
        parcel: _Parcel = pickle.loads(self._connection.recv_bytes())  # noqa: S301 - of an authenticated worker
        body, places, is_new = parcel
        if is_new:
            descriptor = recv_handle(self._connection)
            self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            os.close(descriptor)
        return pickle.loads(body, buffers=self._copies(places))  # noqa: S301

    def _copies(self, places: _Places) -> list[memoryview]:
        """Copy the arrays in these places out of the shared memory."""
        if not places:
            return []
        assert self._memory is not None  # noqa: S101 - the first parcel with large arrays brings it
        with memoryview(self._memory) as shared:
            block = memoryview(bytearray(shared[: places[-1][1]]))
        return [block[start:stop] for start, stop in places]


def _places(views: list[memoryview]) -> _Places:
    """Return first and last byte of each array in the shared memory."""
    places, start = _Places(), 0
    for view in views:
        places.append((start, start + view.nbytes))
        start += -(-view.nbytes // _ALIGNED_TO) * _ALIGNED_TO
    return places
