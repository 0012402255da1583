"""The gate for CI: has this checkpoint become worse than the baseline?"""

from vla_eval.gate.baseline import (
    Baseline,
    TaskOutcomes,
    baseline_of,
    read_baseline,
    write_baseline,
)
from vla_eval.gate.compare import GateResult, Status, compare

__all__ = [
    "Baseline",
    "GateResult",
    "Status",
    "TaskOutcomes",
    "baseline_of",
    "compare",
    "read_baseline",
    "write_baseline",
]
