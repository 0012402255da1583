"""Limits the bytes that a server holds for all clients; above the limit, a connection is cut."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

__all__ = ["FRAMES_HELD", "Held", "HeldConnection", "connections"]

FRAMES_HELD = 4
"""Limit for all clients together of unanswered bytes, in frames of the largest size."""
_LONGEST_HEADER = 14
_LOG = logging.getLogger(__name__)


class Held:
    """Counts the received and not yet answered bytes of all connections.

    Args:
        most_bytes: limit; above it, the connection that holds the most is cut.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._total = 0
        self._by: dict[HeldConnection, int] = {}

    def add(self, connection: HeldConnection, size: int) -> None:
        """Count bytes that a connection received; a negative size means answered bytes."""
        before = self._by.get(connection, 0)
        self._by[connection] = after = max(0, before + size)
        self._total += after - before
        while self._total > self._most:
            largest = max(self._by, key=self._by.__getitem__)
            _LOG.warning(
                "cut a connection that holds %d MB: all together held over %d MB",
                self._by[largest] >> 20,
                self._most >> 20,
            )
            self.forget(largest)
            largest.transport.abort()

    def forget(self, connection: HeldConnection) -> None:
        """Stop counting a connection."""
        self._total -= self._by.pop(connection, 0)


class HeldConnection(ServerConnection):
    """A connection that counts its bytes, and stops reading from a client that does not read.

    Args:
        held: the count over all connections.
        arguments: arguments that websockets passes to a connection.
    """

    def __init__(self, held: Held, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held = held
        self._gone = False

    def data_received(self, data: bytes) -> None:
        """Count the bytes, then process them unless the connection is cut."""
        self._held.add(self, len(data))
        if not self.transport.is_closing():
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting this connection."""
        self._gone = True
        self._held.forget(self)
        super().connection_lost(exc)

    def answered(self, frame: bytes | str) -> None:
        """Report that a frame is answered."""
        if not self._gone:
            self._held.add(self, -len(frame) - _LONGEST_HEADER)

    def pause_writing(self) -> None:
        """Stop reading from a client that takes no answers: replies to its pings would pile up."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Continue reading."""
        super().resume_writing()
        if not self.recv_messages.paused:
            self.transport.resume_reading()


def connections(max_frame_bytes: int) -> Callable[..., HeldConnection]:
    """Return the factory of a server's connections."""
    held = Held(FRAMES_HELD * max_frame_bytes)
    return lambda *arguments, **options: HeldConnection(held, *arguments, **options)
