"""What a server holds for all of its clients together, and whose connection is cut when it is too much."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

__all__ = ["FRAMES_HELD", "Held", "HeldConnection", "connections"]

FRAMES_HELD = 4
"""How many of the largest frames all clients together may have on their way: sent, not yet answered."""
_LONGEST_HEADER = 14
_LOG = logging.getLogger(__name__)


class Held:
    """Bytes that came and are not answered yet, over all connections.

    Args:
        most_bytes: when there are more, the connection that holds the most is cut.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._total = 0
        self._by: dict[HeldConnection, int] = {}

    def add(self, connection: HeldConnection, size: int) -> None:
        """Count what came on a connection; a negative size is what was answered."""
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
        """Count a connection no longer."""
        self._total -= self._by.pop(connection, 0)


class HeldConnection(ServerConnection):
    """A connection that counts what it holds, and reads nothing from who does not read.

    Args:
        held: what all connections hold.
        arguments: what websockets gives to a connection.
    """

    def __init__(self, held: Held, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._held = held
        self._gone = False

    def data_received(self, data: bytes) -> None:
        """Count, then go on as usual, unless the connection is cut."""
        self._held.add(self, len(data))
        if not self.transport.is_closing():
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no longer."""
        self._gone = True
        self._held.forget(self)
        super().connection_lost(exc)

    def answered(self, frame: bytes | str) -> None:
        """Say that a frame is of the past."""
        if not self._gone:
            self._held.add(self, -len(frame) - _LONGEST_HEADER)

    def pause_writing(self) -> None:
        """Read no more from a client that takes no answers: each ping of it would wait for one."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        super().resume_writing()
        if not self.recv_messages.paused:
            self.transport.resume_reading()


def connections(max_frame_bytes: int) -> Callable[..., HeldConnection]:
    """Return what makes the connections of one server."""
    held = Held(FRAMES_HELD * max_frame_bytes)
    return lambda *arguments, **options: HeldConnection(held, *arguments, **options)
