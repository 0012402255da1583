"""Sends messages with large arrays to a process of this machine through memory that both see.

The arrays are copied once on each side, never encoded: the receiver's bits are the sender's. A receiver takes
one block for the arrays of a message: several of 200 kB would be taken from the system and given back with every
message, which takes longer than copying them. The shared memory has no name, so a killed process leaves nothing
behind.
"""

from __future__ import annotations

import mmap
import os
import pickle
from dataclasses import dataclass
from itertools import accumulate
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

__all__ = ["Receiver", "Sender"]

_LEAST_BYTES = 16_384
"""Arrays of fewer bytes go through the connection: that is faster."""
_ALIGNED_TO = 64


@dataclass(frozen=True)
class _Parcel:
    """A message without its arrays."""

    body: bytes
    sizes: tuple[int, ...]
    """Bytes of each array."""
    arrays: bytes | None = None
    """The arrays, one after the other; None: they lie in the shared memory."""
    is_new: bool = False
    """Whether the descriptor of a new memory follows."""


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
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        views = [buffer.raw() for buffer in buffers]
        sizes = tuple(view.nbytes for view in views)
        places, total = _places(sizes)
        if total < _LEAST_BYTES or not hasattr(os, "memfd_create"):
            block = bytearray(total)
            _fill(block, places, views)
            self._connection.send(_Parcel(body, sizes, arrays=bytes(block)))
            return
        descriptor = self._grow(total)
        assert self._memory is not None  # noqa: S101 - _grow made it
        _fill(self._memory, places, views)
        self._connection.send(_Parcel(body, sizes, is_new=descriptor is not None))
        if descriptor is not None:
            send_handle(self._connection, descriptor, os.getpid())
            os.close(descriptor)

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
        parcel: _Parcel = self._connection.recv()
        if parcel.is_new:
            descriptor = recv_handle(self._connection)
            self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            os.close(descriptor)
        places, total = _places(parcel.sizes)
        if parcel.arrays is not None:
            block = bytearray(parcel.arrays)
        else:
            assert self._memory is not None  # noqa: S101 - the first parcel brings it
            with memoryview(self._memory) as shared:
                block = bytearray(shared[:total])
        arrays = [memoryview(block)[start:stop] for start, stop in places]
        return pickle.loads(parcel.body, buffers=arrays)  # noqa: S301 - of an authenticated worker


def _places(sizes: tuple[int, ...]) -> tuple[list[tuple[int, int]], int]:
    """Return first and last byte of each array in a block, and the size of the block."""
    starts = list(accumulate((-(-size // _ALIGNED_TO) * _ALIGNED_TO for size in sizes), initial=0))
    return [(start, start + size) for start, size in zip(starts, sizes, strict=False)], starts[-1]


def _fill(
    block: bytearray | mmap.mmap, places: list[tuple[int, int]], views: list[memoryview]
) -> None:
    for (start, stop), view in zip(places, views, strict=True):
        block[start:stop] = view
