"""What strangers send is bounded after it is decoded too, refused in a sentence, and steers nothing."""

from __future__ import annotations

import io
import signal
import socket
import threading
import time
import zlib
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from fakes.servers import serving
from vla_eval.cli import main
from vla_eval.errors import InvalidActionError, PolicyLostError, PolicyTimeoutError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context, PolicyMetadata
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import MOST_ITEMS, WireError, pack, unpack
from vla_eval_policies.remote.connection import last_line
from vla_eval_policies.remote.extension import Offer, context_of, key_of, outcome_of, rectangular
from vla_eval_policies.remote.held import Held


def picture(edge: int) -> dict:
    file = io.BytesIO()
    Image.new("L", (edge, edge)).save(file, "PNG")
    return {"__image__": True, "format": "png", "data": file.getvalue(), "shape": [edge, edge]}


def test_pictures_of_one_frame_share_a_budget():
    """Each alone may be as large as a frame; together they may not be larger."""
    frame = pack({f"k{i}": picture(1000) for i in range(3)})
    assert len(unpack(frame, max_bytes=3_000_000)) == 3
    with pytest.raises(WireError, match="pictures are too large, at one of 1000×1000"):
        unpack(frame, max_bytes=2_999_999)


@pytest.mark.parametrize(
    "frame",
    [
        b"\xdd" + (1 << 20).to_bytes(4, "big") + b"\x80" * (1 << 20),
        (b"\xdc\x80\x00" + b"\x80" * 32768) * 4,
        pack([[[]] * 1000] * 200),
    ],
    ids=["one list of maps", "after the first list", "lists of lists"],
)
def test_the_values_of_one_frame_are_counted(frame):
    """However they are nested: a byte on the wire is a hundred in memory."""
    with pytest.raises(WireError, match=f"{MOST_ITEMS}|not valid msgpack"):
        unpack(frame)


def offer(**changes) -> dict:
    policy = asdict(PolicyMetadata("p", "m", 5, 5))
    said = Offer(PolicyMetadata("p", "m", 5, 5), "c", "native", 1, 0.0).to_wire()
    return {**said, "policy": {**policy, **changes}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nfe": "x"}, "policy.nfe"),
        ({"name": [1]}, "policy.name"),
        ({"n_action_steps": True}, "policy.n_action_steps"),
        ({"n_action_steps": 10**9}, "at most 100000 actions"),
        ({"privileged": True}, "no server can read the simulator"),
        ({"options": {"a": np.zeros(3)}}, "not JSON serializable"),
        ({"options": {"a": float("nan")}}, "option 'a' is nan"),
    ],
)
def test_what_a_server_says_of_its_policy_is_checked_by_type(changes, sentence):
    """A wrong type is refused at the first frame, and not when the run is written."""
    with pytest.raises(WireError, match=sentence):
        Offer.from_wire(offer(**changes))


def test_what_a_newer_server_says_besides_is_left_out():
    """And what has to be there is taken as it was sent."""
    said = unpack(pack({**offer(trained_on=None), "news": 1}))
    said["policy"]["news"] = 1
    assert Offer.from_wire(said).policy == PolicyMetadata("p", "m", 5, 5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: key_of({"key": {"suite": "s", "task": "t", "init_state": float("inf")}}),
        lambda: key_of({"key": np.zeros(3)}),
        lambda: context_of({"action_low": [1], "action_high": [1], "step": float("inf")}, None, ""),
        lambda: context_of({"action_low": [[1], [2, 3]], "action_high": [1]}, None, ""),
        lambda: outcome_of({"outcome": [1]}),
        lambda: outcome_of({"outcome": np.zeros(2)}),
    ],
)
def test_fields_of_wrong_types_are_a_sentence(call):
    """Infinite counts, arrays for words, lists for keys: never another exception."""
    with pytest.raises(WireError):
        call()


def test_lists_of_unequal_lengths_are_no_actions():
    """That is the policy's failure, not the connection's."""
    with pytest.raises(InvalidActionError, match="unequal lengths"):
        rectangular([[1], [2, 3]])


def test_a_server_s_text_steers_no_terminal():
    """Its last line is shown, without escapes."""
    assert last_line("Traceback\n\x1b]0;owned\x07\x1b[2Jboom") == "?]0;owned??[2Jboom"
    assert last_line("\x1b[2J" * 10**6).isprintable()


def test_an_impossible_port_is_a_sentence(tmp_path, capsys):
    """Exit code 4, and the address in it."""
    command = ["run", "so101-quickstart", "--policy", "openpi:ws://a:99999999"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 4
    assert "ws://a:99999999: is no ws:// or wss:// address" in capsys.readouterr().err


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def test_a_frame_holds_few_pictures_and_their_texts_are_not_read():
    """Thousands of small pictures, or a picture with texts of gigabytes, cost nobody a minute."""
    with pytest.raises(WireError, match="more than 16 pictures"):
        unpack(pack({"k": [picture(1)] * 17}))
    with_text = picture(2)
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2_000_000), 9))
    with_text["data"] = with_text["data"][:33] + text + with_text["data"][33:]
    assert np.array_equal(unpack(pack({"k": with_text}))["k"], np.zeros((2, 2)))


def test_a_jpeg_goes_over_its_picture_a_few_times_only():
    """Each pass costs few bytes and much time; a progressive one of ours has ten."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", progressive=True)
    said = {"__image__": True, "format": "jpeg", "shape": [16, 16, 3]}
    assert unpack(pack({"k": {**said, "data": file.getvalue()}}))["k"].shape == (16, 16, 3)
    with pytest.raises(WireError, match="more than 32 scans"):
        unpack(pack({"k": {**said, "data": file.getvalue() + b"\xff\xda" * 40}}))


def client(port: int, timeout_s: float = 1):
    return build_policy(
        f"openpi:ws://127.0.0.1:{port}?timeout_s={timeout_s}&connect_s=0.5&layout=native"
        "&n_action_steps=1"
    )


@contextmanager
def peer(handle, **options):
    with serve(handle, "127.0.0.1", 0, compression=None, ping_interval=None, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


def flood(socket):
    with suppress(OSError), socket.protocol_mutex:  # or else the library reads the pongs
        while True:
            socket.socket.sendall((bytes([0x89, 125]) + bytes(125)) * 500)


def test_pings_whose_pongs_are_not_read_do_not_hold_a_client():
    """The client's own writes are cut too when it gives up."""
    with peer(flood) as port:
        began = time.monotonic()
        with pytest.raises(PolicyTimeoutError, match="no answer within 1 s"):
            client(port)
        assert time.monotonic() - began < 8


def test_a_request_that_nobody_reads_is_a_timeout():
    """Sending has the time limit that waiting has."""
    done = threading.Event()

    def deaf(socket):
        socket.send(pack({"config": 1}))
        with socket.protocol_mutex:  # or else the library reads
            done.wait(20)

    one = np.ones(1, np.float32)
    context = Context(EpisodeKey("s", "t", 0, 0, 0), 0, 0, "x", -one, one)
    pixels = {"front": np.zeros((3000, 3000, 3), np.uint8)}
    with peer(deaf, max_size=None) as port:
        done.set()
        policy = client(port)
        done.clear()
        with pytest.raises(PolicyTimeoutError, match="was not taken within 1 s"):
            policy.infer([{"pixels": pixels, "agent_pos": one}], [context])
        done.set()


def test_the_reason_of_a_close_steers_no_terminal():
    """Control characters come as escapes."""
    with (
        peer(lambda socket: socket.close(1011, "\x1b[2Jno")) as port,
        pytest.raises(PolicyLostError, match=r"\\x1b\[2Jno") as caught,
    ):
        client(port)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("place", ["ws://127.0.0.1:9/", "http://x/", "ws://a:99999999/", "ws://[/"])
def test_redirects_are_not_followed(place):
    """Whoever was named is asked, and nobody whom that one names."""

    def elsewhere(connection, request):
        response = connection.respond(302, "")
        response.headers["Location"] = place
        return response

    with (
        peer(lambda socket: None, process_request=elsewhere) as port,
        pytest.raises(PolicyLostError, match=r"sends us elsewhere \(HTTP 302\)"),
    ):
        client(port)


def test_who_closes_at_the_door_is_not_reached():
    """A forwarded port without a server behind it takes connections, and closes them."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        stop = threading.Event()

        def shut():
            door.settimeout(0.1)
            while not stop.is_set():
                with suppress(TimeoutError):
                    door.accept()[0].close()

        thread = threading.Thread(target=shut)
        thread.start()
        with pytest.raises(PolicyLostError, match="no policy server can be reached"):
            client(port)
        stop.set()
        thread.join()


class Peer:
    """A connection that notes that it was cut."""

    def __init__(self):
        self.aborted = False
        self.transport = self

    def abort(self):
        self.aborted = True


def test_who_holds_the_most_is_cut_and_others_are_served_on():
    """Over the limit the largest goes; what was answered, or went away, is counted no longer."""
    held = Held(100)
    small, large = (Peer() for _ in range(2))
    held.add(large, 90)
    held.add(large, -80)
    held.add(large, 75)
    held.add(small, 15)
    assert not large.aborted
    held.add(small, 1)
    assert large.aborted
    held.add(small, 84)
    held.forget(small)
    assert not small.aborted


def test_unfinished_frames_of_many_are_bounded_together():
    """Twelve clients that begin frames of 1 MB and end none: the first of them are cut, a good one is not."""
    begun = bytes([0x82, 0xFF]) + (1 << 20).to_bytes(8, "big") + bytes(4) + bytes((1 << 20) - 1)
    spec = ("random", "--layout", "libero", "--max-frame-mb", "1")
    with serving(*spec) as said, ExitStack() as stack:
        good = stack.enter_context(connect(said["url"]))
        others = [stack.enter_context(connect(said["url"], close_timeout=0.1)) for _ in range(12)]
        for each in others:
            with suppress(OSError):
                each.socket.sendall(begun)
        deadline = time.monotonic() + 10
        gone = 0
        while gone < 8 and time.monotonic() < deadline:
            time.sleep(0.1)
            gone = sum(each.state.name == "CLOSED" for each in others)
        assert 8 <= gone < 12
        good.recv()
        good.send(pack({"vla_eval": {"version": 9}}))
        assert "another version" in good.recv()


def test_web_pages_are_turned_away(walker):
    """A browser says where a page comes from; nobody else does."""
    with pytest.raises(InvalidStatus, match="403"):
        connect(walker, origin="https://evil.example").close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_server_ends_while_its_policy_hangs(number):
    """A second signal ends it at once."""
    with serving(
        "fakes.policies:InWorker?infer_s=3600", "--action-low=-1,-1", "--action-high=1,1"
    ) as said:
        image = np.zeros((8, 8, 3), np.uint8)
        state = np.zeros(1, np.float32)
        with connect(said["url"], ping_interval=None, close_timeout=0.1) as socket:
            socket.recv()
            question = {
                "observation/images/front": image,
                "observation/state": state,
                "prompt": "x",
            }
            socket.send(pack(question))
            time.sleep(0.5)
            said["process"].send_signal(number)
            time.sleep(0.5)
            assert said["process"].poll() is None
            said["process"].send_signal(number)
            assert said["process"].wait(2) == -number
