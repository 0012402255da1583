"""The toys of examples/toys, which are scripts without a package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "toys"))

import bimodal
import navigation
import network

__all__ = ["bimodal", "navigation", "network"]
