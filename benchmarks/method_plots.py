"""The plots of docs/one-step.md from the committed results: success over NFE, and over the horizon.

    python benchmarks/method_plots.py

writes docs/images/methods-nfe.svg and docs/images/methods-horizon.svg.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from common.grid import by_state, rate
from common.results import load
from common.script import parser, run
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
COLOURS: Mapping[str, str] = dict(
    zip(
        ("fm", "snapflow", "meanflow", "drift", "mse", "shortcut", "ddim", "fm-high-noise", "snapflow-ten"),
        ("#1f4e79", "#d1495b", "#2a9d8f", "#8f5aa8", "#555555", "#e08e29", "#7a5c3e", "#7fa8d1", "#e79aa5"),
        strict=True,
    )
)  # fmt: skip
type Point = tuple[float, float, float, float]
"""x, success, and the limits of its interval."""
type Curves = Mapping[str, Mapping[str, list[Point]]]
"""Points by task and line."""


def main() -> None:
    """Draw both plots."""
    parser(__doc__).parse_args()
    mpl.rcParams["svg.hashsalt"] = "vla_eval"
    label = "passes of the action expert (NFE)"
    draw(over_nfe(load("nfe")), label, (1, 2, 5, 10), IMAGES / "methods-nfe.svg")
    label, ticks = "execution horizon, of 16 actions", (1, 3, 5, 10, 16)
    draw(over_horizon(load("horizon")), label, ticks, IMAGES / "methods-horizon.svg")


def over_nfe(results: Mapping[str, Any]) -> Curves:
    """Return the points by task and method."""
    arms = results["arms"].values()
    return _curves(
        (arm["spec"].partition("/")[2].partition("?")[0], arm["nfe"], arm) for arm in arms
    )


def over_horizon(results: Mapping[str, Any]) -> Curves:
    """Return the points by task and arm."""
    return _curves(
        (name, float(horizon), arm)
        for horizon, cell in results.items()
        for name, arm in cell["arms"].items()
    )


def _curves(arms: Iterable[tuple[str, float, Mapping[str, Any]]]) -> Curves:
    """Return the points by task and line, from arms with their line and x."""
    curves: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for line, x, arm in arms:
        for task in arm["tasks"]:
            won, n, low, high = rate(by_state(arm, task))
            curves[task][line].append((x, won / n, low, high))
    return curves


def draw(curves: Curves, label: str, ticks: tuple[int, ...], path: Path) -> None:
    """Draw a panel for each task, with a line for each method; bars are 95 % intervals."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (task, methods) in zip(panels, curves.items(), strict=True):
        for i, (method, points) in enumerate(methods.items()):
            _line(panel, method, sorted(points), shift=1 + 0.03 * (i - len(methods) / 2))
        panel.set(title=task, xlabel=label, xscale="log")
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("success")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _line(panel: Axes, method: str, points: list[Point], *, shift: float) -> None:
    """Draw a method; its points are moved a little aside, so that no bar hides another."""
    x = [point[0] * shift for point in points]
    y = [point[1] for point in points]
    below = [success - low for _, success, low, _ in points]
    above = [high - success for _, success, _, high in points]
    base = next((name for name in (method, method.rpartition("-")[0]) if name in COLOURS), method)
    style = "--" if method in ("mse", "fm-high-noise", "fm-1") else "-"
    panel.errorbar(
        x, y, [below, above], fmt=f"o{style}", color=COLOURS.get(base, "black"), label=method,
        markersize=4, linewidth=1.3, elinewidth=0.8, capsize=2,
    )  # fmt: skip


if __name__ == "__main__":
    run(main)
