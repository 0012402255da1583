"""Puts the reference statistics, and the validation's code, where these tests can import them."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "tools" / "validation")]
