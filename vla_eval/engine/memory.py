"""Sends messages with large arrays to a process of this machine through memory that both see.

The arrays are copied once on each side, never encoded: the receiver's bits are the sender's. The memory
has no name, so a killed process leaves nothing behind.
"""

from __future__ import annotations

import mmap
import os
import pickle
from dataclasses import dataclass
from itertools import accumulate, pairwise
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

__all__ = ["Receiver", "Sender"]

_LEAST_BYTES = 16_384
"""Messages with fewer bytes of arrays go through the connection: that is faster."""


@dataclass(frozen=True)
class _Parcel:
    """A message whose arrays lie in the shared memory, one after the other."""

    body: bytes
    sizes: tuple[int, ...]
    is_new: bool
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
        if sum(sizes) < _LEAST_BYTES or not hasattr(os, "memfd_create"):
            self._connection.send(message)
            return
        descriptor = self._grow(sum(sizes))
        assert self._memory is not None  # noqa: S101 - _grow made it
        for (start, stop), view in zip(_places(sizes), views, strict=True):
            self._memory[start:stop] = view
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
        message = self._connection.recv()
        if not isinstance(message, _Parcel):
            return message
        if message.is_new:
            descriptor = recv_handle(self._connection)
            self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            os.close(descriptor)
        assert self._memory is not None  # noqa: S101 - the first parcel brings it
        arrays = [bytearray(self._memory[start:stop]) for start, stop in _places(message.sizes)]
        return pickle.loads(message.body, buffers=arrays)  # noqa: S301 - of an authenticated worker


def _places(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(pairwise(accumulate(sizes, initial=0)))
