"""Reads LIBERO's frozen initial states without PyTorch and without trusting pickle.

A ``.pruned_init`` file is the output of ``torch.save(array)``: a zip archive whose ``data.pkl`` is a
pickle of one NumPy array. Unpickling can run any code that the file names, and PyTorch would take some
200 MB in every environment. So an unpickler here resolves only the four names that such an array needs,
to harmless stand-ins, and refuses all other names.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_eval.errors import UsageError
from vla_eval.files.jsonfile import open_regular

__all__ = ["read_init_states"]

# 50 states of a few hundred doubles have less than 100 kB; a much larger file is not valid.
_MAX_BYTES = 16_000_000


def read_init_states(path: Path) -> NDArray[np.float64]:
    """Return the initial states in a ``.pruned_init`` file, float64 (N, 1 + nq + nv).

    A row holds the time (s), the joint positions (m and rad, quaternions w x y z) and the joint
    velocities (m/s and rad/s).

    Raises:
        UsageError: the file is missing, is not such an archive, or names more than an array.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            payload = archive.read(_pickle_entry(archive, path))
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise UsageError(f"initial states {path} cannot be read: {error}") from error
    except (NotImplementedError, RuntimeError) as error:  # an unknown compression, or a password
        raise UsageError(f"initial states {path} cannot be read: {error}") from error
    try:
        _refuse_opcodes(payload)
        loaded = _ArrayUnpickler(io.BytesIO(payload)).load()
    except _ForbiddenError as error:
        raise UsageError(
            f"initial states {path} were refused: the pickle asks for {error}, "
            "which no array needs; reinstall hf-libero"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UsageError(f"initial states {path} are damaged: {error}") from error
    if not isinstance(loaded, _ArrayStub) or loaded.array is None or loaded.array.ndim != 2:
        raise UsageError(f"initial states {path} do not hold one array of two dimensions")
    return loaded.array


def _pickle_entry(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    entries = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
    if len(entries) != 1 or entries[0].file_size > _MAX_BYTES:
        raise UsageError(f"initial states {path} are not an archive of torch.save")
    return entries[0]


def _refuse_opcodes(payload: bytes) -> None:
    """Raise _ForbiddenError unless a pickle has only the opcodes of one array.

    This bounds the memory for loading: a memo with a huge index takes gigabytes, and so do long
    numbers and lists of nested references.
    """
    for number, (opcode, argument, _) in enumerate(pickletools.genops(payload)):
        if opcode.name not in _OPCODES:
            raise _ForbiddenError(f"the step {opcode.name}")
        if opcode.name in _MEMO and isinstance(argument, int) and argument > _MOST_STEPS:
            raise _ForbiddenError(f"the place {argument} of its memo")
        if number > _MOST_STEPS:
            raise _ForbiddenError(f"more than {_MOST_STEPS} steps")


_MOST_STEPS = 1000
_MEMO = ("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET")
_OPCODES = frozenset(
    (
        *_MEMO, "PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
        "MEMOIZE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "BININT", "BININT1",
        "BININT2", "NONE", "NEWTRUE", "NEWFALSE", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
        "SHORT_BINBYTES", "BINSTRING", "SHORT_BINSTRING",
    )
)  # fmt: skip


class _ForbiddenError(Exception):
    """The pickle names or does something outside the allow-lists."""


class _DtypeStub:
    """Stands for ``numpy.dtype('f8')`` and accepts nothing else."""

    def __init__(self, name: str, *_: object) -> None:
        if name != "f8":
            raise ValueError(f"expected float64 numbers, found dtype '{name}'")
        self.byte_order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">"):
            raise ValueError(f"unknown byte order '{state[1]}'")
        self.byte_order = state[1]


class _ArrayStub:
    """Stands for ``numpy.ndarray``; builds the array from plain bytes."""

    array: NDArray[np.float64] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran_order, data = state
        if not isinstance(dtype, _DtypeStub) or not isinstance(data, bytes):
            raise TypeError("the array's state is not numbers in bytes")
        flat = np.frombuffer(data, dtype=f"{dtype.byte_order}f8").astype(np.float64)
        self.array = flat.reshape(shape, order="F" if fortran_order else "C")


def _reconstruct(*_: object) -> _ArrayStub:
    return _ArrayStub()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"unexpected encoding '{encoding}'")
    return text.encode("latin1")


_ALLOWED: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encode,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.dtype": _DtypeStub,
    "numpy.ndarray": _ArrayStub,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Resolves the names of ``_ALLOWED`` and imports nothing."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise _ForbiddenError(f"'{module}.{name}'") from None
