"""Bytes: those of openpi-client 0.1.2 and of vla-eval 0.8.0, and nothing of what strangers may send."""

from __future__ import annotations

import hashlib
import io

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vla_eval.errors import PolicySpecError
from vla_eval_policies.remote.codec import WireError, envelope, open_envelope, pack, unpack
from vla_eval_policies.remote.layouts import LAYOUTS, layout_of, resize_with_pad

VALUE = {
    "a": np.arange(3, dtype=np.float32),
    "n": np.int64(7),
    "s": "x",
    "l": [1, 2.5, None, True],
}
# What openpi_client.msgpack_numpy.packb(VALUE) gives.
OPENPI = (
    "84a16184c40b5f5f6e6461727261795f5fc3c40464617461c40c000000000000803f00000040c4056474797065a33c"
    "6634c40573686170659103a16e83c40d5f5f6e7067656e657269635f5fc3c4046461746107c4056474797065a33c69"
    "38a173a178a16c9401cb4004000000000000c0c3"
)
# What vla_eval.protocol.pack_message gives for an observation with a 2×2 picture and two states.
HARNESS = (
    "84a474797065ab6f62736572766174696f6ea77061796c6f616482a6696d6167657381a16184a95f5f696d6167"
    "655f5fc3a6666f726d6174a3706e67a464617461c44f89504e470d0a1a0a0000000d4948445200000002000000"
    "020802000000fdd49a730000001649444154789c636460646266666661636363666606000117002d2ebb78a400"
    "00000049454e44ae426082a5736861706593020203a673746174657384ab5f5f6e6461727261795f5fc3a46461"
    "7461c4100000000000000000000000000000f03fa56474797065a33c6638a573686170659102a373657103a974"
    "696d657374616d70cb3ff8000000000000"
)


def test_openpi_s_bytes():
    """We send what their client sends, byte for byte, and read it back with arrays to write to."""
    assert pack(VALUE).hex() == OPENPI
    back = unpack(pack(VALUE))
    assert np.array_equal(back["a"], VALUE["a"])
    assert back["a"].flags.writeable
    assert back["n"] == 7
    assert type(back["n"]) is np.int64


def test_the_harness_s_bytes():
    """A message of theirs is read, PNG picture included; ours has their form."""
    kind, payload, number = open_envelope(bytes.fromhex(HARNESS))
    assert (kind, number) == ("observation", 3)
    assert np.array_equal(payload["images"]["a"], np.arange(12).reshape(2, 2, 3))
    assert np.array_equal(payload["states"], [0.0, 1.0])
    raw = msgpack.unpackb(envelope("action", {"actions": np.zeros(2, np.float32)}, 4))
    assert (raw["type"], raw["seq"], type(raw["timestamp"])) == ("action", 4, float)
    assert raw["payload"]["actions"]["dtype"] == "<f4"


TYPES = st.sampled_from(["bool", "uint8", "int32", "int64", "float16", "float32", "float64"])


@settings(max_examples=30)
@given(hnp.arrays(TYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_arrays_come_back_as_they_went(array):
    """Any shape, empty and zero-dimensional too, in both dialects."""
    for dialect in ("openpi", "harness"):
        back = unpack(pack({"x": array}, dialect))["x"]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()


def claimed(data: object, dtype: object, shape: object, mark: str = "__ndarray__", **more) -> bytes:
    return msgpack.packb({mark: True, "data": data, "dtype": dtype, "shape": shape, **more})


STRANGE = {
    "an object": claimed(b"12345678", "|O", [1]),
    "a record": claimed(b"12345678", "f4,f4", [1]),
    "complex": claimed(bytes(16), "<c16", [1]),
    "no type": claimed(b"1234", None, [1]),
    "too short": claimed(b"1234", "<f4", [1 << 40]),
    "overflow": claimed(b"", "<f4", [1 << 62, 4]),
    "negative": claimed(b"1234", "<f4", [-1]),
    "negative twice": claimed(b"1234", "<f4", [-1, -1]),
    "true": claimed(b"1234", "<f4", [True]),
    "no shape": claimed(b"1234", "<f4", None),
    "no bytes": claimed("1234", "<f4", [1]),
    "no picture": claimed(b"GIF89a", "", [1, 1, 3], "__image__", format="png"),
    "a GIF": claimed(b"GIF89a", "", [1, 1, 3], "__image__", format="gif"),
    "no msgpack": b"\xc1",
    "half": pack(VALUE)[:-3],
    "two": pack(1) + pack(2),
    "deep": b"\x91" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_strangers_send_is_refused_in_a_sentence(name):
    """No traceback, no memory, no object: one error of our own."""
    with pytest.raises(WireError):
        unpack(STRANGE[name])


@pytest.mark.parametrize(("height", "refused"), [(8192, "has shape"), (8193, "too large")])
def test_pictures_have_64_megabytes_together(height, refused):
    """Counted before they are decoded; one of the right size is refused for its single bits only then."""
    file = io.BytesIO()
    Image.new("1", (8192, height)).save(file, "png", compress_level=1)
    frame = claimed(file.getvalue(), "", [height, 8192], "__image__", format="png")
    with pytest.raises(WireError, match=refused):
        unpack(frame)


@pytest.mark.parametrize("dialect", ["openpi", "harness"])
def test_what_cannot_be_sent(dialect):
    """Objects and complex numbers, from our side."""
    for value in (np.array([object()]), np.array([1j]), np.complex64(1j), object()):
        with pytest.raises(WireError, match="cannot be sent"):
            pack({"x": value}, dialect)


@pytest.mark.parametrize(
    ("height", "width", "digest"),
    [
        (48, 64, "2011fe2867ec1a2b"),
        (256, 256, "a9fd2e1dd9f0fcab"),
        (100, 37, "440b1524fc20372f"),
        (480, 640, "e43b25bea169ef5a"),
    ],
)
def test_pictures_are_resized_as_openpi_s_client_does(height, width, digest):
    """The digests are those of openpi_client.image_tools.resize_with_pad(picture, 224, 224)."""
    generator = np.random.default_rng(height * width)
    picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert hashlib.sha256(resize_with_pad(picture, 224).tobytes()).hexdigest()[:16] == digest


def observation():
    picture = np.arange(224 * 224 * 3).reshape(224, 224, 3).astype(np.uint8)
    pixels = {"agentview": picture, "wrist": picture[::-1]}
    return {"pixels": pixels, "agent_pos": np.arange(8, dtype=np.float32)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_undo_themselves(name):
    """What a client of ours sends is what a server of ours sees."""
    back, prompt = LAYOUTS[name].from_wire(LAYOUTS[name].to_wire(observation(), "do it"))
    assert prompt == "do it"
    assert np.array_equal(back["agent_pos"], observation()["agent_pos"])
    for camera, picture in observation()["pixels"].items():
        assert np.array_equal(back["pixels"][camera], picture)


def test_other_names_and_wrong_parts():
    """Options rename; what is missing or of another type is named, with all that came."""
    layout = layout_of("native", images="cam/front=agentview", state="q", prompt=None, size=32)
    sent = layout.to_wire(observation(), "do it")
    assert sorted(sent) == ["cam/front", "prompt", "q"]
    assert sent["cam/front"].shape == (32, 32, 3)
    with pytest.raises(
        WireError, match="wants the camera 'agentview', and the environment has top"
    ):
        layout.to_wire({"pixels": {"top": 0}, "agent_pos": np.zeros(1)}, "")
    for wrong, sentence in (
        ({"q": "home"}, "'q' is <U4"),
        ({"prompt": 3}, "'prompt' is int"),
        ({"cam/front": np.zeros((2, 2, 3))}, r"'cam/front' is float64 \(2, 2, 3\)"),
    ):
        with pytest.raises(WireError, match=sentence):
            layout.from_wire({**sent, **wrong})
    with pytest.raises(PolicySpecError, match="expected KEY=CAMERA"):
        layout_of("native", images="cam/front", state=None, prompt=None, size=None)
