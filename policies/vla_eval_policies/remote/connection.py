"""The client's side of a websocket. Every fault raises its own error; none is repaired silently."""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Timer
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from vla_eval.errors import PolicyLostError, PolicySpecError, PolicyTimeoutError
from vla_eval.files.plain import one_line
from vla_eval_policies.remote.codec import WireError

__all__ = ["TOKENS_VARIABLE", "Connection", "is_loopback", "last_line"]

TOKENS_VARIABLE = "VLA_EVAL_TOKENS"
"""Environment variable with ``HOST:PORT=TOKEN``, separated by commas. Specs are public, so they hold no
tokens. A token is sent only to its server, and only after the server has asked for it."""

_RETRY_S = 0.25
_CLOSE_S = 1.0
_LONGEST_REASON = 300
_LOG = logging.getLogger(f"{__name__}.websockets")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False  # faults of a connection are raised as our own errors


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _RedirectError(Exception):
    """A server redirects its clients to another address."""


class _Direct(ClientConnection):
    """A connection that does not follow redirects to other servers."""

    def handshake(self, *arguments: Any, **options: Any) -> None:
        """Open the websocket; raises _RedirectError."""
        try:
            super().handshake(*arguments, **options)
        except InvalidStatus as error:
            code = error.response.status_code
            if 300 <= code < 400:
                raise _RedirectError(f"HTTP {code}") from None
            raise


class Connection:
    """A connection to one server, for one episode.

    Args:
        url: ``ws://host:port`` or ``wss://…``.
        connect_s: longest wait for a server that refuses connections, since it may be restarting.
        max_bytes: largest accepted frame.

    Raises:
        PolicySpecError: the URL is not valid.
        PolicyLostError: no server answers there, or it does not speak websocket.
    """

    def __init__(self, url: str, *, connect_s: float, max_bytes: int) -> None:
        self.url = url
        self._max_bytes = max_bytes
        self._open_socket = ExitStack()
        self._socket = self._open(monotonic() + connect_s)

    def _open(self, deadline: float) -> ClientConnection:
        headers: dict[str, str] | None = None
        host = _address(self.url)[0]
        while True:
            try:
                # No pings: servers that infer in their event loop do not answer them, and every
                # request here has its own time limit.
                opening = connect(
                    self.url,
                    compression=None,
                    max_size=self._max_bytes,
                    ping_interval=None,
                    close_timeout=_CLOSE_S,
                    open_timeout=max(_RETRY_S, deadline - monotonic()),
                    additional_headers=headers,
                    proxy=None if is_loopback(host) else True,
                    create_connection=_Direct,
                    logger=_LOG,
                )
                return self._open_socket.enter_context(opening)
            except InvalidURI as error:
                raise PolicySpecError(f"{self.url}: is no ws:// or wss:// address") from error
            except InvalidStatus as error:
                code = error.response.status_code
                if code == 401 and headers is None:
                    headers = {"Authorization": f"Api-Key {_token(self.url)}"}
                    continue
                hint = ": it does not know the token" if code == 401 else ""
                raise PolicyLostError(
                    f"{self.url}: the server answered HTTP {code}{hint}"
                ) from None
            except _RedirectError as error:
                raise PolicyLostError(
                    f"{self.url}: the server sends us elsewhere ({error}); name that address "
                    "itself, if you trust it"
                ) from None
            except (OSError, EOFError, InvalidHandshake, ConnectionClosed) as error:
                if monotonic() + _RETRY_S > deadline:
                    raise PolicyLostError(
                        f"{self.url}: no policy server can be reached ({_words(error)}); "
                        "start it, then repeat the command"
                    ) from None
            sleep(_RETRY_S)

    def send(self, frame: bytes, timeout_s: float) -> None:
        """Send one frame.

        Raises:
            PolicyLostError: the server closed the connection, or is gone.
            PolicyTimeoutError: the server did not accept the frame in time.
        """
        with self._cut_after(timeout_s) as cut:
            try:
                self._socket.send(frame)
            except (ConnectionClosed, OSError) as error:
                if not cut.is_set():
                    raise self._lost(error) from None
        if cut.is_set():
            self.close()
            raise PolicyTimeoutError(
                f"{self.url}: a request of {len(frame)} bytes was not taken within {timeout_s:g} s "
                "(option timeout_s)"
            )

    def receive(self, timeout_s: float) -> bytes:
        """Return the next frame.

        After any of these errors the connection is closed, so that a late answer is never used.

        Raises:
            PolicyLostError: the server closed the connection, or is gone.
            PolicyTimeoutError: the server did not answer in time.
            WireError: the frame is text (openpi's servers report errors so) or is too large.
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
            raise WireError(f"{self.url}: the server reports: {last_line(frame)}")
        return bytes(frame)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the connection if the block fails, so that no later frame is taken for an answer."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, also if the server is gone or does not read."""
        with self._cut_after(_CLOSE_S):
            self._open_socket.close()

    @contextmanager
    def _cut_after(self, seconds: float) -> Iterator[Event]:
        """Shut the socket down if the block takes longer: writes have no time limit in websockets.

        Yields:
            An event that is set if this happened.
        """
        cut = Event()

        def shut() -> None:
            cut.set()
            with suppress(OSError):  # it is closed already
                inner = self._socket.socket  # for TLS within TLS this is a wrapper, no socket
                socket.socket.shutdown(getattr(inner, "ssl_socket", inner), socket.SHUT_RDWR)

        timer = Timer(seconds, shut)
        timer.daemon = True
        timer.start()
        try:
            yield cut
        finally:
            timer.cancel()

    def _lost(self, error: Exception) -> Exception:
        self.close()
        sent = error.sent if isinstance(error, ConnectionClosed) else None
        if sent is not None and sent.code == 1009:  # websockets' code for a frame over max_size
            return WireError(
                f"{self.url}: the server sent a frame over the limit of {self._max_bytes} bytes "
                "(option max_frame_mb)"
            )
        return PolicyLostError(f"{self.url}: the server closed the connection ({_words(error)})")


def _words(error: Exception) -> str:
    text = one_line(str(error).strip().rstrip(".")) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def last_line(text: str) -> str:
    """Return the last line of a server's report, without control characters of terminals."""
    lines = [line.strip() for line in text[-10_000:].splitlines() if line.strip()]
    if not lines:
        return "(an empty text)"
    return "".join(letter if letter.isprintable() else "?" for letter in lines[-1][:500])


def _address(url: str) -> tuple[str, int]:
    """Return a server's host and port; raises PolicySpecError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise PolicySpecError(f"{url}: is no ws:// or wss:// address ({error})") from None
    return parts.hostname or "", port or (443 if parts.scheme == "wss" else 80)


def _token(url: str) -> str:
    """Return the token for a server that asks for one.

    Raises:
        PolicySpecError: there is no token for the server, or the list of tokens is malformed.
    """
    host, port = _address(url)
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    for entry in filter(None, os.environ.get(TOKENS_VARIABLE, "").split(",")):
        server, equals, token = entry.strip().partition("=")
        if not equals or not token or not token.isascii() or not token.isprintable():
            raise PolicySpecError(f"{TOKENS_VARIABLE}: HOST:PORT=TOKEN is expected, by commas")
        if server.lower() == name:
            if not (is_loopback(host) or url.startswith("wss:")):
                _warn_unencrypted(url)
            return token
    raise PolicySpecError(
        f"{url}: the server wants a token; export {TOKENS_VARIABLE}='{name}=TOKEN'"
    )


@functools.cache
def _warn_unencrypted(url: str) -> None:
    """Warn once per process that a token is sent unencrypted."""
    sys.stderr.write(f"warning: {url}: the token is sent unencrypted; use wss:// or a tunnel\n")
