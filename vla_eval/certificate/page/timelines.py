"""Drawings over time: success and latency by the order of execution, and the spread of latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vla_eval.drawing import svg
from vla_eval.drawing.svg import NARROW, STYLES, Sheet, plain_log, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from vla_eval.certificate.model import ArmResult
    from vla_eval.certificate.page.view import Order
    from vla_eval.judging.timings import Floats, Inferences

__all__ = ["draw_latency", "draw_order"]

_BINS = 60


def draw_order(orders: Mapping[str, tuple[str, Order]], width: int) -> str:
    """Draw the running success rate, and under it the running median of one inference.

    Args:
        orders: role and episodes of each arm.
        width: width of the sheet in pixels.
    """
    timed = any(not np.isnan(order.infer_ms).all() for _, order in orders.values())
    narrow = width <= NARROW
    label = "Running success rate of each arm, in the order in which its episodes began."
    left = 46 if narrow else 54
    with Sheet.open(f"order{width}", width, 380 if timed else 240, label) as sheet:
        rates = sheet.axes(left, 26, 16, 186 if timed else 46)
        for role, order in orders.values():
            color, line = STYLES[role]
            rates.plot(*order.running_rate(), color=color, linestyle=line, linewidth=2)
        _grid(rates, "success rate")
        rates.set_ylim(-0.03, 1.03)
        rates.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        lowest = rates
        if timed:
            lowest = sheet.axes(left, 244, 16, 46)
            for role, order in orders.values():
                color, line = STYLES[role]
                lowest.plot(*order.running_ms(), color=color, linestyle=line, linewidth=2)
            _milliseconds(lowest)
            rates.set_xticklabels([])
        words = "" if narrow else " of the arm"
        lowest.set_xlabel(f"episodes{words}, in the order in which they began")
        for axes in (rates, lowest):
            axes.set_xlim(0, max(len(order.successes) for _, order in orders.values()))
    return sheet.markup


def _milliseconds(axes: Axes) -> None:
    _grid(axes, "one inference, median (ms)")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.3, high * 1.3)
    plain_log(axes, "y")


def _grid(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=12, color=svg.MUTED, pad=8)
    axes.grid(visible=True, axis="y", color=svg.RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def draw_latency(arms: Mapping[str, tuple[ArmResult, Inferences]], width: int) -> str:
    """Draw a histogram of inference times for each arm, over a common logarithmic axis."""
    shown = {name: entry for name, entry in arms.items() if entry[1].total_ms.size}
    narrow = width <= NARROW
    everything = np.concatenate([inferences.total_ms for _, inferences in shown.values()])
    everything = np.maximum(everything, 1e-3)
    low, high = np.quantile(everything, (0.001, 0.999))
    edges = np.geomspace(low / 1.3, max(high, 1.05 * low) * 1.3, _BINS + 1)
    label = "Histograms of the time of one inference: " + "; ".join(
        f"{name} median {inferences.quantile(0.5):.3g} ms"
        for name, (_, inferences) in shown.items()
    )
    with Sheet.open(f"latency{width}", width, 46 + 96 * len(shown), label) as sheet:
        for index, (name, (arm, inferences)) in enumerate(shown.items()):
            last = index == len(shown) - 1
            axes = sheet.axes(10, 28 + 96 * index, 10, 50 + 96 * (len(shown) - 1 - index))
            _histogram(axes, edges, inferences, STYLES[arm.role][0])
            plain_log(axes, "x")
            title = shorten(name, 14 if narrow else 40)
            axes.set_title(title, loc="left", fontsize=12.5, weight="bold", pad=6)
            axes.set_title(_quantiles(inferences, narrow=narrow), loc="right", fontsize=12, pad=6)
            if last:
                axes.set_xlabel("one inference (ms, logarithmic)")
            else:
                axes.set_xticklabels([])
    return sheet.markup


def _histogram(axes: Axes, edges: Floats, inferences: Inferences, color: str) -> None:
    counts, _ = np.histogram(np.clip(inferences.total_ms, edges[0], edges[-1]), edges)
    axes.stairs(counts / max(1, counts.max()), edges, fill=True, color=color, alpha=0.45)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1.08)
    axes.set_yticks([])
    for q, line in ((0.5, "-"), (0.95, ":")):
        axes.axvline(
            float(inferences.quantile(q) or 0), color=svg.INK, linewidth=1.5, linestyle=line
        )


def _quantiles(inferences: Inferences, *, narrow: bool) -> str:
    names = {"p50": 0.5, "p95": 0.95} if narrow else {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    values = {name: inferences.quantile(q) for name, q in names.items()}
    return " · ".join(f"{name} {_ms(value or 0.0)}" for name, value in values.items()) + " ms"


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
