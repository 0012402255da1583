"""Initial states: read without PyTorch, equal to what it reads, and never executed."""

from __future__ import annotations

import os
import pickle
import pickletools
import resource
import time
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from vla_eval.errors import UsageError
from vla_eval_envs.libero.init_states import read_init_states


def all_files() -> list[Path]:
    try:
        folder = Path(str(distribution("hf-libero").locate_file("libero/libero/init_files")))
    except PackageNotFoundError:
        return []
    return sorted(folder.glob("*/*.pruned_init"))


def archive(path: Path, payload: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", payload)
    return path


class Malicious:
    """Creates a folder when it is unpickled by somebody who trusts it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_equals_torch_for_all_130_files():
    """Every shipped file gives the array that torch.load gives, bit for bit."""
    torch = pytest.importorskip("torch")
    files = all_files()
    if not files:
        pytest.skip("hf-libero is not installed")
    assert len(files) == 130
    for path in files:
        expected = torch.load(path, weights_only=False)
        states = read_init_states(path)
        assert states.dtype == np.float64
        assert states.shape[0] == 50
        np.testing.assert_array_equal(states, expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_an_array(tmp_path: Path, order):
    """An array that NumPy pickled comes back, whatever its memory order."""
    array = np.asarray(np.arange(12.0).reshape(3, 4), order=order)
    path = archive(tmp_path / "good.pruned_init", pickle.dumps(array, protocol=2))
    np.testing.assert_array_equal(read_init_states(path), array)


def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path):
    """A pickle that would run a function is refused by file and name, and nothing runs."""
    trace = tmp_path / "trace"
    payload = pickle.dumps(Malicious(trace), protocol=2)
    path = archive(tmp_path / "bad.pruned_init", payload)
    with pytest.raises(UsageError, match=rf"bad\.pruned_init.*'{os.mkdir.__module__}\.mkdir'"):
        read_init_states(path)
    assert not trace.exists()
    pickle.loads(payload)  # noqa: S301  proves that the payload is live
    assert trace.exists()


@pytest.mark.parametrize(
    "payload",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cnumpy\nload\n.",
        b"c__builtin__\ngetattr\n.",
    ],
)
def test_other_globals_are_refused(tmp_path: Path, payload: bytes):
    """Only the four names of an array are resolved, not NumPy's other functions either."""
    with pytest.raises(UsageError, match="were refused: the pickle asks for "):
        read_init_states(archive(tmp_path / "bad.pruned_init", payload))


@pytest.mark.parametrize(
    "value",
    [np.arange(3), np.arange(3.0), np.zeros((2, 2), dtype=object), {"a": 1}, [1.0]],
    ids=["integers", "one dimension", "objects", "dict", "list"],
)
def test_anything_but_a_table_of_doubles_is_refused(tmp_path: Path, value):
    """What is not a float64 array of two dimensions is refused, with the file's name."""
    path = archive(tmp_path / "odd.pruned_init", pickle.dumps(value, protocol=2))
    with pytest.raises(UsageError, match=r"odd\.pruned_init"):
        read_init_states(path)


BOMBS = {
    "a memo with a huge index": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a list that is repeated": b"\x80\x02]q\x00(h\x00h\x00h\x00e.",
    "a long number": b"\x80\x02\x8b\xff\xff\xff\x00" + b"\x01" * 1000 + b".",
    "many steps": b"\x80\x02" + b"N" * 2000 + b".",
    "another protocol's buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pickle_that_would_fill_memory_is_refused_before_it_is_loaded(tmp_path: Path, bomb):
    """Nine bytes took 33 s and 4 GB: only the steps that one array takes are gone."""
    path = archive(tmp_path / "bomb.pruned_init", BOMBS[bomb])
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match=r"bomb\.pruned_init (were refused|are damaged)"):
        read_init_states(path)
    assert time.monotonic() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_damaged_stream_and_a_pipe_are_refused(tmp_path: Path):
    """Deflate that cannot be inflated has its sentence, and nobody waits for a named pipe."""
    path = tmp_path / "stream.pruned_init"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data.pkl", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    content[60:90] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"stream\.pruned_init cannot be read"):
        read_init_states(path)
    os.mkfifo(tmp_path / "pipe.pruned_init")
    with pytest.raises(UsageError, match=r"pipe\.pruned_init cannot be read: it is a named pipe"):
        read_init_states(tmp_path / "pipe.pruned_init")


def test_damaged_files_are_refused(tmp_path: Path):
    """A truncated pickle, a file that is no archive, and no file at all give a clear error."""
    payload = pickle.dumps(np.zeros((2, 3)), protocol=2)
    with pytest.raises(UsageError, match="damaged"):
        read_init_states(archive(tmp_path / "cut.pruned_init", payload[:-9]))
    (tmp_path / "text.pruned_init").write_text("no archive")
    with pytest.raises(UsageError, match="cannot be read"):
        read_init_states(tmp_path / "text.pruned_init")
    with pytest.raises(UsageError, match="cannot be read"):
        read_init_states(tmp_path / "none.pruned_init")
    with zipfile.ZipFile(tmp_path / "empty.pruned_init", "w"):
        pass
    with pytest.raises(UsageError, match=r"torch\.save"):
        read_init_states(tmp_path / "empty.pruned_init")


def test_the_limits_of_a_pickle(tmp_path: Path):
    """A thousand steps and a memo of as many places are read; one more is refused; one entry alone counts."""
    array = np.arange(6.0).reshape(2, 3)
    payload = pickle.dumps(array, protocol=2)
    assert payload.endswith(b".")

    def read(extra: bytes):
        path = archive(tmp_path / "long.pruned_init", payload[:-1] + extra + b".")
        return read_init_states(path)

    place = b"r" + (1000).to_bytes(4, "little")
    np.testing.assert_array_equal(read(place), array)
    with pytest.raises(UsageError, match="the place 1001 of its memo"):
        read(b"r" + (1001).to_bytes(4, "little"))
    steps = sum(1 for _ in pickletools.genops(payload))
    np.testing.assert_array_equal(read(place * (1001 - steps)), array)
    with pytest.raises(UsageError, match="more than 1000 steps"):
        read(place * (1002 - steps))
    twice = tmp_path / "twice.pruned_init"
    with zipfile.ZipFile(twice, "w") as out:
        out.writestr("a/data.pkl", payload)
        out.writestr("b/data.pkl", payload)
    with pytest.raises(UsageError, match=r"torch\.save"):
        read_init_states(twice)


def test_reads_both_byte_orders(tmp_path: Path):
    """Doubles of a machine with the other byte order are the same doubles."""
    array = np.arange(6.0).reshape(2, 3).astype(">f8")
    path = archive(tmp_path / "big.pruned_init", pickle.dumps(array, protocol=2))
    np.testing.assert_array_equal(read_init_states(path), array)
