"""The curves of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

__all__ = ["plot"]

_LOGARITHMIC = ("loss", "flow", "shortcut", "consistency", "error", "gradient")
_WINDOW = 15


def plot(lines: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw every logged value over the steps, with a moving median."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in lines[0] if name != "step"]
    steps = np.array([line["step"] for line in lines])
    figure = Figure(figsize=(4 * len(names), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = np.array([line[name] for line in lines])
        axis.plot(steps, values, color="#9db4c8", linewidth=0.8)
        half = _WINDOW // 2
        middle = [np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
        axis.plot(steps, middle, color="#1f4e79", linewidth=1.5)
        axis.set(title=name, xlabel="step")
        if name in _LOGARITHMIC and (values > 0).all():
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
