"""The viewer's server: on this machine only, for one reader with the address.

- It listens on the loopback interface. The address holds a random token, and every other path is refused.
- The ``Host`` header must be the loopback's, so a foreign site's name cannot be bound to this server.
- Files are found by names of known form, never by a path from the address.
- A film is asked for by POST with a header of its own, which no foreign page can send.
- Videos are served by ranges: without them a browser cannot seek.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from vla_eval.errors import UsageError, VlaEvalError
from vla_eval.view.films import media_folder
from vla_eval.view.live import LiveRuns, films_there
from vla_eval.view.site import STATIC, data_script, details_script, linked_report, static_file
from vla_eval.view.studio import Studio

__all__ = ["Viewer", "ViewerServer"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; sandbox "
    "allow-scripts"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".css": "text/css; charset=utf-8",
    ".mp4": "video/mp4",
    ".webp": "image/webp",
}
_PIECE = 1 << 18


class Viewer:
    """What the server answers, without the network."""

    def __init__(self, live: LiveRuns, studio: Studio) -> None:
        self.live, self._studio = live, studio
        self._refused: dict[str, str] = {}

    def get(self, name: str) -> bytes | Path:
        """Return the content of a name, or the file that has it; raise KeyError or IndexError for none."""
        if name in STATIC:
            return static_file(name)
        if name in ("data.js", "data.json", "live.json"):
            return self._data(name)
        if match := re.fullmatch(r"episodes/([0-9]{1,7})\.js", name):
            number = int(match[1])
            return details_script(number, self.live.details(number))
        if match := re.fullmatch(r"media/([0-9a-f]{32}\.(?:mp4|webp))", name):
            return self._media(match[1])
        if match := re.fullmatch(r"report-([0-9]{1,4})\.html", name):
            report = self.live.runs[int(match[1])].path / "report.html"
            return linked_report(report.read_text(encoding="utf-8"), self.live.keys)
        raise KeyError(name)

    def _data(self, name: str) -> bytes:
        self.live.refresh()
        if name == "data.js":
            return data_script(self.live.overview())
        content = self.live.overview() if name == "data.json" else self.news()
        return json.dumps(content, allow_nan=False).encode()

    def _media(self, name: str) -> Path:
        places = (media_folder(run.path) / name for run in self.live.runs)
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise KeyError(name)
        return found

    def order(self, number: int) -> bytes:
        """Ask for the films of an episode, of all arms; return the news."""
        for (arm, key), (future, why) in zip(
            self.live.arms(number), self._studio.make(self.live.arms(number)), strict=True
        ):
            record = arm.record(key)
            if future is None and record is not None:
                self._refused[self._studio.name(record)] = why
        return json.dumps(self.news(), allow_nan=False).encode()

    def news(self) -> dict[str, Any]:
        """Return how far the runs and the films are."""
        states = self._studio.states()
        failed = {
            film: self._studio.failure(film) for film, state in states.items() if state == "failed"
        }
        return {
            **self.live.progress(),
            "films": films_there(self.live.runs),
            "running": [film for film, state in states.items() if state == "running"],
            "queued": sum(state == "queued" for state in states.values()),
            "failed": failed | self._refused,
        }


class ViewerServer(ThreadingHTTPServer):
    """Serves a viewer on the loopback interface; ``url`` is its address.

    Args:
        viewer: what it answers.
        port: the port; 0: any free one.

    Raises:
        UsageError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, viewer: Viewer, *, port: int = 0) -> None:
        self.viewer, self.token = viewer, secrets.token_urlsafe(18)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"--port {port}: cannot be used ({error}); name another one, or none for any free one"
            ) from None

    @property
    def url(self) -> str:
        """The page's address, with the token."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        name = self._name()
        if name is not None:
            self._answer(lambda: self.server.viewer.get(name or "index.html"), name or "index.html")

    do_HEAD = do_GET  # noqa: N815 - the base class's name

    def do_POST(self) -> None:
        name = self._name()
        if name is None:
            return
        match = re.fullmatch(r"order/([0-9]{1,7})", name)
        if match is None or self.headers.get("X-Viewer") != "1":
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        self._answer(lambda: self.server.viewer.order(int(match[1])), "order.json")

    def _name(self) -> str | None:
        """Return the name after the token; None after a refusal."""
        port = self.server.server_port
        hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        token, slash, name = self.path.partition("?")[0].lstrip("/").partition("/")
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        if self.headers.get("Host") not in hosts or not known or not slash:
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return name

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, f"{status.value} {status.phrase}\n".encode(), "text/plain")

    def _answer(self, find: Callable[[], bytes | Path], name: str) -> None:
        kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
        policy = _REPORT_POLICY if name.startswith("report-") else _POLICY
        try:
            found = find()
            if isinstance(found, Path):
                self._send_file(found, kind, policy)
            else:
                self._send(HTTPStatus.OK, found, kind, policy)
        except (KeyError, IndexError, FileNotFoundError):
            self._refuse(HTTPStatus.NOT_FOUND)
        except VlaEvalError as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode(), "text/plain")
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the reader went on

    def _head(self, status: HTTPStatus, kind: str, length: int, policy: str = _POLICY) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, policy: str = _POLICY) -> None:
        self._head(status, kind, len(content), policy)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _send_file(self, path: Path, kind: str, policy: str) -> None:
        """Send a file, or the range of it that was asked for."""
        with path.open("rb") as file:
            size = path.stat().st_size
            span = _range(self.headers.get("Range", ""), size)
            if span is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            first, end = span
            partial = "Range" in self.headers
            status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
            self._head(status, kind, end - first, policy)
            self.send_header("Accept-Ranges", "bytes")
            if partial:
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
            self.end_headers()
            file.seek(first)
            while self.command != "HEAD" and first < end:
                piece = file.read(min(_PIECE, end - first))
                if not piece:
                    break
                self.wfile.write(piece)
                first += len(piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Print nothing: the address holds the token."""


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """Return (first byte, byte after the last) of a Range header; None if there are no such bytes.

    Without a header, or with one of another form than a single range, it is the whole file.
    """
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", asked)
    if match is None or match[0] == "bytes=-":
        return 0, size
    first, last = match[1], match[2]
    if not first:  # the last bytes
        return (max(0, size - int(last)), size) if int(last) else None
    end = min(size, int(last) + 1) if last else size
    return (int(first), end) if int(first) < end else None
