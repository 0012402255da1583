"""Arrays through shared memory: the same values, in whatever order and size they come."""

from __future__ import annotations

import threading
from multiprocessing.connection import Client, Listener
from pathlib import Path

import numpy as np
import pytest

from vla_eval.engine.memory import Receiver, Sender


@pytest.fixture
def ends(tmp_path):
    with Listener(str(tmp_path / "s"), family="AF_UNIX") as listener:
        client = Client(str(tmp_path / "s"), family="AF_UNIX")
        server = listener.accept()
    with client, server:
        yield client, server


def picture(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_messages_of_all_sizes_arrive_in_order(ends):
    """Small ones go through the socket, large ones through memory that grows when it must."""
    sender, receiver = Sender(ends[0]), Receiver(ends[1])
    sent = [
        {"a": picture(size), "b": [picture(size // 2)], "state": np.arange(6, dtype=np.float32)}
        for size in (8, 64, 128, 32, 128, 256)
    ]

    def send_all():
        for message in sent:
            sender.send(message)
            assert ends[0].recv() == "read"

    thread = threading.Thread(target=send_all)
    thread.start()
    for message in sent:
        got = receiver.receive()
        ends[1].send("read")
        np.testing.assert_array_equal(got["a"], message["a"])
        np.testing.assert_array_equal(got["b"][0], message["b"][0])
        np.testing.assert_array_equal(got["state"], message["state"])
    thread.join()


def test_what_was_received_is_not_changed_by_what_comes_next(ends):
    """A policy may keep an observation: it is a copy, which may be written to."""
    sender, receiver = Sender(ends[0]), Receiver(ends[1])
    sender.send(picture(128, seed=1))
    first = receiver.receive()
    sender.send(picture(128, seed=2))
    receiver.receive()
    np.testing.assert_array_equal(first, picture(128, seed=1))
    first[0, 0, 0] = 7


def test_arrays_with_gaps_arrive_whole(ends):
    """A flipped or cropped picture is no block of memory."""
    sender, receiver = Sender(ends[0]), Receiver(ends[1])
    flipped = picture(128)[::-1, ::-1]
    sender.send({"flipped": flipped, "whole": picture(128)})
    np.testing.assert_array_equal(receiver.receive()["flipped"], flipped)


def test_no_descriptor_stays_open(ends):
    """A host serves thousands of episodes over one connection."""
    sender, receiver = Sender(ends[0]), Receiver(ends[1])
    sender.send(picture(100))
    receiver.receive()
    before = open_files()
    for size in range(101, 120):
        sender.send(picture(size))
        receiver.receive()
    assert open_files() <= before


@pytest.mark.parametrize("size", [4, 128])
def test_numbers_are_where_a_processor_wants_them(ends, size):
    """After an array of an odd number of bytes too, small and large: torch refuses anything else."""
    sender, receiver = Sender(ends[0]), Receiver(ends[1])
    sender.send({"odd": picture(size).ravel()[:-1], "state": np.arange(3.0), "none": np.zeros(0)})
    got = receiver.receive()
    assert got["state"].flags.aligned
    assert got["state"].ctypes.data % 16 == 0
    got["state"] += 1
    np.testing.assert_array_equal(got["state"], [1, 2, 3])
    assert got["none"].size == 0


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([True, False]),
        np.array(1.5, np.float16),
        np.array([1j, 2]),
        np.array(["a", "bc"]),
        np.array([None, "x"], object),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.zeros((0, 3), np.float32),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_of_any_kind_arrives_with_its_type_and_shape(ends, array):
    """Replies are encoded alike, and what a policy returned is judged as it is."""
    Sender(ends[0]).send({"array": array})
    got = Receiver(ends[1]).receive()["array"]
    assert got.dtype == array.dtype
    assert got.shape == array.shape
    np.testing.assert_array_equal(got, array)
