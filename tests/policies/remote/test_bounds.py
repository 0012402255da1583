"""Limits of frames from both sides, each field of a message alone, and which name carries which part."""

from __future__ import annotations

import io
import zlib

import msgpack
import numpy as np
import pytest
from PIL import Image

from vla_eval.errors import PolicySpecError
from vla_eval_policies.remote.codec import (
    MOST_ITEMS,
    MOST_PICTURES,
    WireError,
    envelope,
    open_envelope,
    pack,
    unpack,
)
from vla_eval_policies.remote.layouts import DISPLACEMENTS, LAYOUTS, layout_of, resize_with_pad

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def encoded(form: str, pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def picture(data: bytes | None = None, form: str = "png", shape: object = (4, 5, 3), **more):
    data = encoded(form) if data is None else data
    return {"__image__": True, "format": form, "data": data, "shape": list(shape), **more}


def test_a_frame_s_pictures_share_an_allowance():
    """60 bytes a picture: two fit into 120 and not into 119; 16 pictures and no more."""
    two = msgpack.packb([picture(), picture()])
    for one in unpack(two, max_bytes=120):
        np.testing.assert_array_equal(one, PIXELS)
    with pytest.raises(WireError, match="too large, at one of 5×4 pixels"):
        unpack(two, max_bytes=119)
    assert len(unpack(msgpack.packb([picture()] * MOST_PICTURES))) == MOST_PICTURES
    with pytest.raises(WireError, match=f"more than {MOST_PICTURES} pictures"):
        unpack(msgpack.packb([picture()] * (MOST_PICTURES + 1)))
    raw = picture(PIXELS.tobytes(), "raw", dtype="|u1")
    np.testing.assert_array_equal(unpack(msgpack.packb(raw)), PIXELS)
    with pytest.raises(WireError, match="pictures"):
        unpack(msgpack.packb([raw] * (MOST_PICTURES + 1)))


def test_a_frame_s_values_are_counted_over_all_lists_and_maps():
    """A list counts as one value, and each of its items as one; a map's pairs do."""
    assert len(unpack(msgpack.packb([0] * (MOST_ITEMS - 1)))) == MOST_ITEMS - 1
    with pytest.raises(WireError, match=f"more than {MOST_ITEMS} values"):
        unpack(msgpack.packb([0] * MOST_ITEMS))
    half = MOST_ITEMS // 2
    fits = {"a": [0] * (half - 3), "b": [0] * (half - 2)}
    assert len(unpack(msgpack.packb(fits))["b"]) == half - 2
    with pytest.raises(WireError, match="values"):
        unpack(msgpack.packb({"a": [0] * (half - 2), "b": [0] * (half - 2)}))
    assert unpack(pack({"a": np.zeros(MOST_ITEMS + 1)}))["a"].size == MOST_ITEMS + 1


def chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return len(data).to_bytes(4) + kind + data + crc.to_bytes(4)


def test_only_the_picture_of_a_png_is_decoded():
    """A text that would unpack to gigabytes is cut out; what does not begin as a PNG is none."""
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7)))
    data = encoded("png")
    stuffed = data[:33] + bomb + data[33:]
    np.testing.assert_array_equal(unpack(msgpack.packb(picture(stuffed))), PIXELS)
    with pytest.raises(WireError, match="cannot be read"):
        unpack(msgpack.packb(picture(b"GIF89a" + data)))
    with pytest.raises(WireError, match="cannot be read"):
        unpack(msgpack.packb(picture(encoded("jpeg"), "png")))
    with pytest.raises(WireError, match="cannot be read"):
        unpack(msgpack.packb(picture(data, "jpeg")))


def test_a_jpeg_has_32_scans_at_most():
    """Each takes time to decode and next to no bytes."""
    data = encoded("jpeg")
    assert data.count(b"\xff\xda") == 1
    assert unpack(msgpack.packb(picture(data + b"\xff\xda" * 31, "jpeg"))).shape == (4, 5, 3)
    with pytest.raises(WireError, match="more than 32 scans"):
        unpack(msgpack.packb(picture(data + b"\xff\xda" * 32, "jpeg")))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (picture(shape=(5, 4, 3)), "has shape .4, 5, 3., and said .5, 4, 3."),
        (picture(shape=()), "and said"),
        (picture(encoded("png", np.zeros((4, 5), np.uint16)), shape=(4, 5)), "has shape"),
        (picture(encoded("png"), "gif"), "format 'gif'; png, jpeg or raw"),
        (picture("text"), "format 'png'"),
    ],
)
def test_a_picture_is_what_it_says(made, sentence):
    """Shape, depth and format; as text it is none."""
    with pytest.raises(WireError, match=sentence):
        unpack(msgpack.packb(made))


MESSAGE = {"type": "action", "payload": {"a": 1}, "seq": 3, "timestamp": 1.5}


@pytest.mark.parametrize(
    "change",
    [
        {"type": 1},
        {"type": b"action"},
        {"payload": [1]},
        {"payload": None},
        {"seq": 3.0},
        {"seq": True},
        {"seq": "3"},
    ],
)
def test_each_field_of_a_message_has_its_type(change):
    """One wrong field is enough."""
    assert open_envelope(pack(MESSAGE, "harness")) == ("action", {"a": 1}, 3)
    with pytest.raises(WireError, match="fields of other types"):
        open_envelope(pack(MESSAGE | change, "harness"))


@pytest.mark.parametrize("name", MESSAGE)
def test_no_field_of_a_message_may_be_missing(name):
    """More fields are fine; text and lists are no messages."""
    assert open_envelope(pack(MESSAGE | {"more": 1}, "harness"))[2] == 3
    assert open_envelope(envelope("action", {"a": 1}, 3)) == ("action", {"a": 1}, 3)
    rest = {key: value for key, value in MESSAGE.items() if key != name}
    for bad in (
        pack(rest, "harness"),
        pack(list(MESSAGE), "harness"),
        "type payload seq timestamp",
    ):
        with pytest.raises(WireError, match="a message of type, payload"):
            open_envelope(bad)


def test_scalars_in_both_dialects():
    """The type is kept in the dialect of openpi; the harness's become plain numbers; either is read."""
    sent = {"n": np.float32(0.5), "i": np.int64(-3), "t": np.bool_(True)}
    back = unpack(pack(sent))
    assert {name: type(value) for name, value in back.items()} == {
        name: type(value) for name, value in sent.items()
    }
    assert unpack(pack(sent, "harness")) == {"n": 0.5, "i": -3, "t": True}
    raw = msgpack.unpackb(pack({"x": np.zeros((2, 1), ">i2")}, "harness"))["x"]
    assert (raw["shape"], raw["dtype"]) == ([2, 1], ">i2")


WIRE = {
    "native": ("observation/images/agentview", "observation/images/wrist", "observation/state"),
    "libero": ("observation/image", "observation/wrist_image", "observation/state"),
    "harness-libero": ("images/agentview", "images/wrist", "states"),
}


@pytest.mark.parametrize("name", WIRE)
def test_each_part_has_its_own_name_on_the_wire(name):
    """Two cameras that differ, under the names of openpi and of AllenAI."""
    front, wrist = (np.full((224, 224, 3), value, np.uint8) for value in (10, 200))
    seen = {"pixels": {"agentview": front, "wrist": wrist}, "agent_pos": [1.0, 2.0]}
    sent = LAYOUTS[name].to_wire(seen, "do it")
    first, second, state = WIRE[name]
    prompt = "task_description" if name == "harness-libero" else "prompt"
    assert {key: np.ravel(value)[0] for key, value in sent.items()} == {
        first: 10,
        second: 200,
        state: 1.0,
        prompt: "do it",
    }
    assert sent[state].dtype == np.float32
    assert (LAYOUTS[name].action_low is not None) == (name in DISPLACEMENTS) == (name != "native")
    if name in DISPLACEMENTS:
        assert LAYOUTS[name].action_low == (-1.0,) * 7
        assert LAYOUTS[name].action_high == (1.0,) * 7


def test_sizes_of_pictures_on_the_wire():
    """Those of openpi are 224 pixels square with bars above and below; the others go as they are."""
    wide = np.full((100, 200, 3), 255, np.uint8)
    seen = {"pixels": {"agentview": wide, "wrist": wide}, "agent_pos": [0.0]}
    sent = LAYOUTS["libero"].to_wire(seen, "")["observation/image"]
    assert sent.shape == (224, 224, 3)
    rows = np.flatnonzero(sent.any(axis=(1, 2)))
    assert (rows[0], rows[-1], sent.min(axis=(0, 2)).max()) == (56, 167, 0)
    assert LAYOUTS["harness-libero"].to_wire(seen, "")["images/wrist"] is wide
    assert LAYOUTS["native"].to_wire(seen, "")["observation/images/wrist"] is wide
    tall = resize_with_pad(wide.transpose(1, 0, 2), 50)
    columns = np.flatnonzero(tall.any(axis=(0, 2)))
    assert (columns[0], columns[-1]) == (12, 36)
    assert resize_with_pad(wide[:50, :50], 50).base is wide, "nothing to do"


@pytest.mark.parametrize("absent", ["cam/front", "q", "text"])
def test_what_is_missing_is_named(absent):
    """Each of the three parts, with what came in its place."""
    layout = layout_of("libero", images="cam/front=front", state="q", prompt="text", size=None)
    assert layout.image_size == 224
    assert layout.images == {"cam/front": "front"}
    sent = layout.to_wire({"pixels": {"front": PIXELS}, "agent_pos": [0.0]}, "do it")
    del sent[absent]
    with pytest.raises(WireError, match=f"'{absent}' is missing; what came is: {min(sent)}"):
        layout.from_wire(sent)
    with pytest.raises(WireError, match="what came is: nothing"):
        layout.from_wire({})
    with pytest.raises(WireError, match=r"what came is: (k\d\d, ){19}k19$"):
        layout.from_wire({f"k{number:02}": 0 for number in range(50)})


@pytest.mark.parametrize(
    ("part", "wrong", "sentence"),
    [
        ("prompt", b"do it", "'prompt' is bytes"),
        ("observation/state", [[1.0]], r"is float64 \(1, 1\)"),
        ("observation/state", 1.0, r"is float64 \(\)"),
        ("observation/state", [True], r"is bool \(1,\)"),
        ("observation/state", [[1.0], [1.0, 2.0]], "unequal lists"),
        ("observation/images/front", PIXELS[0], r"is uint8 \(5, 3\)"),
        ("observation/images/front", PIXELS.tolist(), "is list"),
        ("observation/images/front", PIXELS.astype(np.int16), r"is int16 \(4, 5, 3\)"),
    ],
)
def test_each_part_has_its_type(part, wrong, sentence):
    """Whole numbers are a state too."""
    sent = {"observation/images/front": PIXELS, "observation/state": [1, 2], "prompt": ""}
    back, _ = LAYOUTS["native"].from_wire(sent)
    assert back["agent_pos"].dtype == np.float32
    assert list(back["pixels"]) == ["front"]
    with pytest.raises(WireError, match=sentence):
        LAYOUTS["native"].from_wire(sent | {part: wrong})


@pytest.mark.parametrize("images", ["", "a=b,", "a=b,=c", "a=b,c=", "a"])
def test_half_a_name_is_refused(images):
    """A key without a camera, a camera without a key, a comma too many."""
    with pytest.raises(PolicySpecError, match="expected KEY=CAMERA"):
        layout_of("native", images=images, state=None, prompt=None, size=None)
    with pytest.raises(PolicySpecError, match="did you mean 'libero'"):
        layout_of("libreo", images=None, state=None, prompt=None, size=None)
