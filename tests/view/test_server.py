"""The server answers its own page only, and serves videos by ranges."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing, contextmanager

import pytest

from vla_eval.errors import UsageError
from vla_eval.view.films import FilmStyle
from vla_eval.view.live import LiveRuns
from vla_eval.view.server import Viewer, ViewerServer, _range
from vla_eval.view.studio import Studio


@contextmanager
def serving(run):
    with (
        Studio(workers=1, style=FilmStyle()) as studio,
        ViewerServer(Viewer(LiveRuns([run], FilmStyle()), studio)) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def server(painted_once):
    with serving(painted_once) as server:
        yield server


def ask(server, name, *, method="GET", token=None, **headers):
    address = f"/{server.token if token is None else token}/{name}"
    fields = {each.replace("_", "-"): text for each, text in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)) as line:
        line.request(method, address, headers=fields)
        answer = line.getresponse()
        return answer, answer.read()


def film(server) -> str:
    return server.viewer.live.overview()["films"][0]


def test_the_page_and_its_scripts_are_there(server):
    """The empty name is the page; every script that it names is served."""
    answer, page = ask(server, "")
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for line in page.decode().splitlines():
        if "<script" in line:
            name = line.split('src="')[1].split('"')[0]
            assert ask(server, name)[0].status == 200, name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("data.json", "application/json"),
        ("episodes/0.js", "text/javascript; charset=utf-8"),
        ("no-such-name", "text/plain"),
    ],
)
def test_an_answer_says_what_it_is(server, name, kind):
    """Browsers guess nothing: the type is in the head, once, with the length of what follows."""
    answer, content = ask(server, name)
    assert answer.headers.get_all("Content-Type") == [kind]
    assert int(answer.headers["Content-Length"]) == len(content) > 0
    if kind == "text/plain":
        assert content == b"404 Not Found\n"


@pytest.mark.parametrize("token", ["", "x", "%C3%84"])
def test_without_the_token_nothing_is_served(server, token):
    """A page of another site on this machine cannot guess the address."""
    assert ask(server, "data.json", token=token)[0].status == 403


def test_another_host_name_is_refused(server):
    """A foreign name that was bound to the loopback address reads nothing."""
    assert ask(server, "data.json", Host="evil.example")[0].status == 403
    assert ask(server, "data.json", Host=f"localhost:{server.server_port}")[0].status == 200


@pytest.mark.parametrize(
    "name",
    [
        "../run.json", "media/../run.json", "media/%2e%2e/run.json", "media//etc/passwd", "run.json",
        "static/main.js", "media/", "episodes/", "episodes/99.js", "episodes/-1.js", "report-0.html",
        "report-7.html", "media/" + "0" * 32 + ".mp4", "server.py",
    ],
)  # fmt: skip
def test_only_names_of_known_form_are_files(server, name):
    """A path from the address is never joined to a folder."""
    assert ask(server, name)[0].status == 404


def test_a_range_is_answered_with_its_bytes(server):
    """Browsers seek in a video by asking for a part of it."""
    name = f"media/{film(server)}.mp4"
    whole, content = ask(server, name)
    assert whole.status == 200
    assert whole.headers["Accept-Ranges"] == "bytes"
    part, some = ask(server, name, Range="bytes=10-19")
    assert part.status == 206
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(content)}"
    assert some == content[10:20]
    assert ask(server, name, Range="bytes=-5")[1] == content[-5:]
    beyond, _ = ask(server, name, Range=f"bytes={len(content)}-")
    assert beyond.status == 416


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("", (0, 100)), ("bytes=0-", (0, 100)), ("bytes=5-9", (5, 10)), ("bytes=90-200", (90, 100)),
        ("bytes=-10", (90, 100)), ("bytes=-200", (0, 100)), ("bytes=100-", None), ("bytes=-0", None),
        ("bytes=9-5", None), ("bytes=a-b", (0, 100)), ("bytes=1-2,4-5", (0, 100)), ("bytes=-", (0, 100)),
    ],
)  # fmt: skip
def test_ranges_are_read_as_browsers_send_them(asked, span):
    """An unknown form is no range; a range without bytes is none."""
    assert _range(asked, 100) == span


def test_a_film_is_ordered_by_this_page_alone(server):
    """A form of another site can send POST, but not with a header of its own."""
    assert ask(server, "order/0", method="POST")[0].status == 403
    assert ask(server, "elsewhere", method="POST", X_Viewer="1")[0].status == 403
    answer, news = ask(server, "order/0", method="POST", X_Viewer="1")
    assert answer.status == 200
    assert film(server) in json.loads(news)["films"]


def test_a_film_that_cannot_be_made_has_its_reason(server):
    """The environment is foreign code here, so the viewer refuses to run it, and says what to add."""
    _, news = ask(server, "order/7", method="POST", X_Viewer="1")
    assert "--trust" in next(iter(json.loads(news)["failed"].values()))


def test_a_damaged_record_is_one_sentence(run):
    """The page's next question is answered with what is wrong; the server goes on."""
    with serving(run) as server:
        file = next((run / "episodes").glob("*.jsonl"))
        file.write_text("{}\n" + file.read_text())
        server.viewer.live._not_before = 0.0
        answer, text = ask(server, "live.json")
        assert answer.status == 500
        assert b"is no episode record" in text
        assert ask(server, "")[0].status == 200


def test_a_port_in_use_is_a_usage_error(server):
    """The sentence names the flag."""
    with pytest.raises(UsageError, match="--port"):
        ViewerServer(server.viewer, port=server.server_port)
