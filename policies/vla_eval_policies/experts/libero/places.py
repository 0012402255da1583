"""Places to put objects down: heights and free spots from the shapes of the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

__all__ = ["Ground", "Spot", "find_spot", "find_way_out", "unique_cells", "way_heights"]

_CELL_M = 0.008
_NOTHING_M = -10.0
_STEP_M = 0.015
# One metre of distance from the middle counts as much as this lift in metres.
_OFF = 0.3
# Height of a release above the surface, and distance of the hand from it.
_DROP_M = 0.004
# A way that must begin this much above everything near it is level instead.
_STEEP_M = 0.1
_TRAILING_M, _LEADING_M = 0.06, 0.05
# Distances of the sideways motion out from under an obstacle.
_OUT_M = np.arange(1, 16) * 0.015
# Margin on all sides of this motion.
_MARGIN_CELLS = 5
_SWING_CELLS = 3
# Largest lift before this motion, and the gap to the obstacle above.
_RAISE_M, _UNDER_M = 0.05, 0.02


@dataclass(frozen=True)
class Spot:
    """A place to put an object down."""

    shift: NDArray[np.float64]
    """Displacement of the held object from its present place, (3,), m."""
    height: float
    """Height of the object's lowest point afterwards, m."""
    cost: float
    """Cost of the spot, m: the lift plus a fraction of the distance from the middle."""


class Ground:
    """Height map of the scene around a region."""

    def __init__(
        self, scene: NDArray[np.float64], centre: NDArray[np.float64], reach: float
    ) -> None:
        """Map points, (m, 3) in m, within ``reach`` of the centre, (2,) or (3,)."""
        self.tops, self.corner = _tops(scene, centre[:2], reach)


def find_spot(
    held: NDArray[np.float64],
    hand: NDArray[np.float64],
    ground: Ground,
    *,
    origin: NDArray[np.float64],
    centre: NDArray[np.float64],
    axes: NDArray[np.float64],
    freedom: NDArray[np.float64],
    outwards: bool = False,
) -> Spot:
    """Return the spot near the centre of a region where an object can go down furthest.

    Args:
        held: points on the held object, (n, 3), m, in the world.
        hand: points on the hand, (k, 3).
        ground: everything else.
        origin: position of the held object, (3,), which must be in the region.
        centre: centre of the region, (3,).
        axes: horizontal axes of the region as rows, (2, 2).
        freedom: largest distance from the centre along these axes, (2,), m.
        outwards: prefer spots far from the centre, because another object must fit there too.
    """
    counts = [int(f / _STEP_M) for f in freedom]
    lows = [_lows(points[:, :2] - origin[:2], points[:, 2]) for points in (held, hand)]
    best: tuple[float, Spot] | None = None
    for i in range(-counts[0], counts[0] + 1):
        for j in range(-counts[1], counts[1] + 1):
            offset = np.array([i, j]) * _STEP_M @ axes
            where = centre[:2] + offset
            lift = max(_clear(ground.tops, ground.corner, where, *low) for low in lows)
            lift += _DROP_M
            off = float(np.linalg.norm(offset))
            cost = lift + _OFF * (float(np.linalg.norm(freedom)) - off if outwards else off)
            if best is None or cost < best[0] - 1e-9:
                shift = np.array([*(where - origin[:2]), lift])
                best = cost, Spot(shift, float(held[:, 2].min()) + lift, cost)
    assert best is not None  # noqa: S101  the centre itself is always among the candidates
    return best[1]


def way_heights(
    scene: NDArray[np.float64],
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    *,
    width: float,
    clear: float,
) -> tuple[float, float]:
    """Return two heights, in m: over the end of a way, and over its start.

    The straight line between the two is above everything near the way. It goes down towards the end,
    because a far stretched arm cannot be high.

    Args:
        scene: points on the scene, (n, 3).
        start: start of the way, (3,), m.
        end: end of the way, (3,), m.
        width: points within this distance of the way, seen from above, count.
        clear: distance to keep above these points.
    """
    line = end[:2] - start[:2]
    along = (scene[:, :2] - start[:2]) @ line / max(float(line @ line), 1e-9)
    nearest = start[:2] + np.clip(along, 0.0, 1.0)[:, None] * line
    near = np.linalg.norm(scene[:, :2] - nearest, axis=1) < width
    # The hand is long: its trailing finger passes a point later than its middle, its leading finger
    # earlier.
    length = max(float(np.linalg.norm(line)), 1e-9)
    early = np.clip(along[near] - _LEADING_M / length, 0.0, 1.0)
    along = np.where(along < 0.0, along, along + _TRAILING_M / length)
    along, needed = np.clip(along[near], 0.0, 1.0), scene[near, 2] + clear
    reserve = min(0.8, 1.0 - width / length)
    last = along > reserve
    over = float(needed[last].max()) if last.any() else _NOTHING_M
    before = ~last
    if not before.any():
        return over, over
    up = float(((needed[before] - along[before] * over) / (1.0 - along[before])).max())
    # Points near the end are lower than the end of the way, but the hand may hit them on the way up.
    met = last & (early < reserve)
    if met.any():
        up = max(up, float(((needed[met] - early[met] * over) / (1.0 - early[met])).max()))
    highest = float(needed.max())
    return (over, up) if up < highest + _STEEP_M else (highest, highest)


def find_way_out(
    held: NDArray[np.float64], hand: NDArray[np.float64], scene: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the motion, (3,) in m, first up and then sideways, after which nothing is above.

    The result is zero if the way up is free, or if there is no way out.

    Args:
        held: points on the held object, (n, 3), m, in the world.
        hand: points on the hand, (k, 3).
        scene: points on everything else, (m, 3).
    """
    middle = held[:, :2].mean(axis=0)
    reach = _OUT_M[-1] + 0.2
    tops, corner = _tops(scene, middle, reach)
    lows = [_lows(points[:, :2] - middle, points[:, 2]) for points in (held, hand)]
    above = scene[scene[:, 2] > held[:, 2].max()]
    # The held object swings a little on its way up, so it must not pass close under an obstacle.
    close = maximum_filter(_tops(above, middle, reach)[0], size=_SWING_CELLS)
    free = [_clear(tops, corner, middle, *low) for low in lows]
    if max(*free, _clear(close, corner, middle, *lows[0])) < -_DROP_M:
        return np.zeros(3)
    # Raised as high as possible, the object passes over low obstacles.
    up = _headroom(held, above)
    lows = [(cells, heights + up) for cells, heights in lows]
    bottom, top = held[:, 2].min() + up, held[:, 2].max() + up
    beside = _tops(scene[(scene[:, 2] > bottom) & (scene[:, 2] < top + _DROP_M)], middle, reach)[0]
    wide = maximum_filter(tops, size=_MARGIN_CELLS)
    angles = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    open_ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for distance in _OUT_M:
        touching = [_clear(beside, corner, middle + distance * d, *lows[0]) > 0 for d in open_ways]
        open_ways = open_ways[~np.array(touching, dtype=bool)]
        for direction in open_ways:
            where = middle + distance * direction
            if all(_clear(wide, corner, where, *low) < -_DROP_M for low in lows):
                return np.append(distance * direction, up)
    return np.zeros(3)


def _headroom(held: NDArray[np.float64], above: NDArray[np.float64]) -> float:
    """Return the distance, in m, by which the held object can go up under the obstacle above it."""
    low, high = held[:, :2].min(axis=0), held[:, :2].max(axis=0)
    over = above[np.all((above[:, :2] > low) & (above[:, :2] < high), axis=1), 2]
    room = float(over.min() - held[:, 2].max()) if len(over) else _RAISE_M + _UNDER_M
    return float(np.clip(room - _UNDER_M, 0.0, _RAISE_M))


def _tops(
    scene: NDArray[np.float64], centre: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a height map, m, and the position of its first cell."""
    size = int(2 * reach / _CELL_M) + 3
    corner = centre - reach
    cells = np.round((scene[:, :2] - corner) / _CELL_M).astype(int)
    inside = np.all((cells >= 0) & (cells < size), axis=1)
    tops = np.full((size, size), _NOTHING_M)
    np.maximum.at(tops, tuple(cells[inside].T), scene[inside, 2])
    return tops, corner


def unique_cells(
    places: NDArray[np.float64], size: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sorted cells, (n, 2), of points, (m, 2) in m, and the index of every point's cell, (m,).

    The result equals ``np.unique(cells, axis=0)``, ten times as fast.
    """
    cells = np.round(places / size).astype(np.int64)
    least = cells.min(axis=0)
    columns = int(np.ptp(cells[:, 1])) + 1
    numbers, which = np.unique((cells - least) @ [columns, 1], return_inverse=True)
    return np.stack(np.divmod(numbers, columns), axis=1) + least, which


def _lows(
    places: NDArray[np.float64], heights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cells that points cover, (n, 2) in m, and the lowest height in every cell, (n,)."""
    cells, which = unique_cells(places, _CELL_M)
    lows = np.full(len(cells), np.inf)
    np.minimum.at(lows, which, heights)
    return cells.astype(np.float64) * _CELL_M, lows


def _clear(
    tops: NDArray[np.float64],
    corner: NDArray[np.float64],
    where: NDArray[np.float64],
    places: NDArray[np.float64],
    lows: NDArray[np.float64],
) -> float:
    """Return the lift, m, that an object needs to be clear of the scene at a place."""
    cells = np.round((where + places - corner) / _CELL_M).astype(int)
    cells = np.clip(cells, 0, len(tops) - 1)
    return float((tops[tuple(cells.T)] - lows).max())
