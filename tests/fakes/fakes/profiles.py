"""The content of a profile of inference times, as a file holds it."""

from __future__ import annotations

from typing import Any

TIMES = [40_000 + 600 * percent for percent in range(101)]
PROFILE: dict[str, Any] = {
    "schema_version": 1,
    "hardware": {"processor": "a laptop", "threads": 2, "accelerator": None},
    "dtype": "float32",
    "device": "cpu",
    "policy": "flow:so101/fm",
    "identity_sha256": "0" * 64,
    "measured_on": "2026-11-29",
    "batch": 1,
    "inferences": 300,
    "total_us": TIMES,
    "prefix_us": None,
    "denoise_us": None,
}
