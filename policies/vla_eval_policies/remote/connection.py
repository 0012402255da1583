"""One websocket, the client's side. Every fault has its own name, and none is repaired in silence."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from vla_eval.errors import PolicyLostError, PolicySpecError, PolicyTimeoutError
from vla_eval_policies.remote.codec import WireError

__all__ = ["TOKEN_VARIABLE", "Connection", "is_loopback"]

TOKEN_VARIABLE = "VLA_EVAL_TOKEN"  # noqa: S105 - the name of the variable, not a token
"""Environment variable that holds the token which servers ask for; specs are public, so not there."""

_RETRY_S = 0.25
_CLOSE_S = 1.0


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Connection:
    """A connection to one server, for one episode.

    Args:
        url: ``ws://host:port`` or ``wss://…``.
        connect_s: how long to wait for a server that refuses connections: it may be restarting.
        max_bytes: largest frame that is taken.

    Raises:
        PolicySpecError: the URL is none.
        PolicyLostError: nobody answers there, or not with a websocket.
    """

    def __init__(self, url: str, *, connect_s: float, max_bytes: int) -> None:
        self.url = url
        self._max_bytes = max_bytes
        self._open_socket = ExitStack()
        self._socket = self._open(monotonic() + connect_s)

    def _open(self, deadline: float) -> ClientConnection:
        token = os.environ.get(TOKEN_VARIABLE)
        host = urlsplit(self.url).hostname or ""
        while True:
            try:
                # No pings: servers that infer in their event loop do not answer them, and every
                # request here has a time limit of its own.
                opening = connect(
                    self.url,
                    compression=None,
                    max_size=self._max_bytes,
                    ping_interval=None,
                    close_timeout=_CLOSE_S,
                    open_timeout=max(_RETRY_S, deadline - monotonic()),
                    additional_headers={"Authorization": f"Api-Key {token}"} if token else None,
                    proxy=None if is_loopback(host) else True,
                )
                return self._open_socket.enter_context(opening)
            except InvalidURI as error:
                raise PolicySpecError(f"{self.url}: is no ws:// or wss:// address") from error
            except InvalidStatus as error:
                code = error.response.status_code
                hint = f"; put its token into {TOKEN_VARIABLE}" if code in (401, 403) else ""
                raise PolicyLostError(
                    f"{self.url}: the server answered HTTP {code}{hint}"
                ) from None
            except (OSError, EOFError, InvalidHandshake) as error:
                if monotonic() + _RETRY_S > deadline:
                    raise PolicyLostError(
                        f"{self.url}: no policy server can be reached ({_words(error)}); "
                        "start it, then repeat the command"
                    ) from None
            sleep(_RETRY_S)

    def send(self, frame: bytes) -> None:
        """Send one frame; raises PolicyLostError."""
        try:
            self._socket.send(frame)
        except (ConnectionClosed, OSError) as error:
            raise self._lost(error) from None

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame.

        After any of these errors the connection is closed, so that a late answer reaches nobody.

        Raises:
            PolicyLostError: the server closed the connection, or is gone.
            PolicyTimeoutError: it did not answer in time.
            WireError: it sent text, which is how openpi's servers report an error, or too much.
        """
        try:
            frame = self._socket.recv(timeout=timeout_s)
        except TimeoutError:
            self.close()
            raise PolicyTimeoutError(
                f"{self.url}: no answer within {timeout_s:g} s (option timeout_s)"
            ) from None
        except (ConnectionClosed, OSError) as error:
            raise self._lost(error) from None
        if isinstance(frame, str):
            self.close()
            raise WireError(f"{self.url}: the server reports: {_last_line(frame)}")
        return bytes(frame)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close when the block fails: whatever else comes must not be taken for an answer."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close; a server that is gone already is no trouble."""
        self._open_socket.close()

    def _lost(self, error: Exception) -> Exception:
        self.close()
        sent = error.sent if isinstance(error, ConnectionClosed) else None
        if sent is not None and sent.code == 1009:  # what websockets says of a frame over max_size
            return WireError(
                f"{self.url}: the server sent a frame over the limit of {self._max_bytes} bytes "
                "(option max_frame_mb)"
            )
        return PolicyLostError(f"{self.url}: the server closed the connection ({_words(error)})")


def _words(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:500] if lines else "(an empty text)"
