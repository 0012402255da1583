"""What strangers send is bounded after it is decoded too, refused in a sentence, and steers nothing."""

from __future__ import annotations

import io
import signal
import time
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from fakes.servers import serving
from vla_eval.cli import main
from vla_eval.errors import InvalidActionError
from vla_eval.policy import PolicyMetadata
from vla_eval_policies.remote.codec import MOST_ITEMS, WireError, pack, unpack
from vla_eval_policies.remote.connection import last_line
from vla_eval_policies.remote.extension import Offer, context_of, key_of, outcome_of, rectangular


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
