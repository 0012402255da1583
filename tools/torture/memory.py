"""The largest resident memory of a process."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

__all__ = ["forget_peak", "peak_kb"]


def peak_kb(process: int | str = "self") -> int:
    """Return the largest resident memory so far, kB; of a process that is gone, 0."""
    with suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if process == "self" else 0


def forget_peak(process: int | str = "self") -> None:
    """Let the largest resident memory count from now on, so that nothing hides what comes."""
    with suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5", encoding="ascii")
