"""The cells of a grid: what printed lines enclose."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._find_digits._grid._hollows import without_hollows
from skdigits.preprocessing._find_digits._grid._quad import Quad

# Lines are looked for on a map whose pixels join squares of the page, if its shorter
# side keeps so many pixels.
COARSE = 450
# Turns of the page that are looked for, in degrees, and how far lines of one page
# differ from the most frequent turn by perspective.
TURNS = np.arange(-22, 23, 2)
PERSPECTIVE = 10
# A line is as long as this part of the shorter side, in pixels of the map at least …
LENGTH = 0.055
SHORTEST = 12
# … and, once the cells are known, as this part of the side of small ones. At most this
# part of the length is broken.
OF_SIDE = 0.82
# These longer lines enclose at least this part of what the others do.
KEPT = 0.75
LONGEST = 0.25
# Runs that are longer by this factor tell the turn of a page.
LONG = 3
# On the length of a line, neighbouring turns differ by so many pixels.
DRIFT = 1.5
BROKEN = 0.12
# Gaps are closed if they are shorter than so many pixels, or part of a cell's side.
GAP = 3
GAP_OF_SIDE = 0.1
# A cell is at least so large, in pixels of the map.
SMALLEST = 10
# A cell fills this part of the quadrilateral of its sides, strokes left out.
FILLED = 0.55
# Pixels within this distance of a fitted side lie on it.
NEAREST = 1.0
# A side runs within this part of the cell's size of its first estimate.
NEAR = 0.05


def find_cells(lines: np.ndarray) -> list[Quad]:
    """Return what lines enclose as quadrilaterals, in pixels of the page."""
    factor = max(1, min(lines.shape) // COARSE)
    coarse = pooled(lines, factor)
    length = max(SHORTEST, int(LENGTH * min(coarse.shape)))
    across = line_pixels(coarse, length, GAP, TURNS)
    upright = line_pixels(coarse.T, length, GAP, TURNS)
    quads = without_hollows(_cells(across, upright), coarse)
    if quads:
        # Strokes of large digits are long beside the smallest cell of any page.
        width = np.percentile([quad.width for quad in quads], 10)
        height = np.percentile([quad.height for quad in quads], 10)
        across = _longer(coarse, across, width)
        upright = _longer(coarse.T, upright, height)
        surer = without_hollows(_cells(across, upright), coarse)
        # In noise, long lines may waver by more than their thickness.
        quads = surer if _area(surer) >= KEPT * _area(quads) else quads

    # Pixels cover half of their side more than their middles.
    return [Quad((quad.corners + 0.5) * factor - 0.5) for quad in quads]


def _area(quads: list[Quad]) -> float:
    return float(sum(quad.height * quad.width for quad in quads))


def _longer(mask: np.ndarray, lines: "LinePixels", side: float) -> "LinePixels":
    """Look for the lines again, now that the side of a small cell is known."""
    length = int(np.clip(OF_SIDE * side, SHORTEST, LONGEST * min(mask.shape)))
    gap = max(GAP, int(GAP_OF_SIDE * side))
    n_turns = int(np.ceil(2 * PERSPECTIVE / np.rad2deg(DRIFT / length))) + 1
    turns = lines.turn + np.linspace(-PERSPECTIVE, PERSPECTIVE, n_turns)
    return line_pixels(mask, length, gap, turns)


def _cells(across: "LinePixels", upright: "LinePixels") -> list[Quad]:
    """Return what lines enclose, in pixels of the map."""
    labels, _ = ndimage.label(~(across.mask | upright.mask.T))
    quads: list[Quad] = []
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        if _may_be_cell(where, labels.shape):
            # Bold digits are holes in the paper of their cell.
            region = ndimage.binary_fill_holes(labels[where] == number)
            quad = _quad(region, across.slope, upright.slope)
            if quad is not None:
                corner = np.array([where[0].start, where[1].start])
                quads.append(Quad(quad.corners + corner))
    return quads


def pooled(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return whether any pixel of each square is set; the last ones may be cut."""
    rows = -mask.shape[0] % factor
    columns = -mask.shape[1] % factor
    padded = np.pad(mask, [(0, rows), (0, columns)])
    shape = (padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    found: np.ndarray = np.logical_or.reduce(padded.reshape(shape), axis=(1, 3))
    return found


class LinePixels(NamedTuple):
    """Pixels of lines that run along the rows, and their most frequent turn."""

    mask: np.ndarray
    turn: float

    @property
    def slope(self) -> float:
        """How many rows a line goes down on the way of one column."""
        return float(np.tan(np.deg2rad(self.turn)))


def line_pixels(
    mask: np.ndarray, length: int, gap: int, turns: np.ndarray
) -> LinePixels:
    """Return the pixels of long lines along the rows, turned as most of them."""
    points = mask.nonzero()
    found = [_runs(points, mask.shape, turn, length, gap) for turn in turns]
    # Long runs tell turns apart, if there are any.
    long = [_runs(points, mask.shape, turn, LONG * length, gap) for turn in turns]
    sums = np.sum(long, axis=(1, 2))
    most = turns[int(np.argmax(sums if sums.any() else np.sum(found, axis=(1, 2))))]
    near = [
        one
        for one, turn in zip(found, turns, strict=True)
        if abs(turn - most) <= PERSPECTIVE
    ]
    return LinePixels(np.logical_or.reduce(near), float(most))


def _runs(
    points: tuple[np.ndarray, ...],
    shape: tuple[int, ...],
    turn: float,
    length: int,
    gap: int,
) -> np.ndarray:
    """Return pixels in runs of a length along a turn, their short gaps included."""
    height, width = shape
    found = np.zeros(shape, bool)
    if width < length:
        return found
    rows, columns = points
    slope = np.tan(np.deg2rad(turn))
    shifts = np.round(slope * (np.arange(width) - width / 2)).astype(int)
    extra = int(np.abs(shifts).max())
    sheared = np.zeros((height + 2 * extra, width), np.uint8)
    sheared[rows - shifts[columns] + extra, columns] = 1

    # Few rows have runs: the others are left out.
    least = (1 - BROKEN) * length
    numbers = np.flatnonzero(sheared.sum(1, dtype=np.int32) >= least)
    is_full = _sums(sheared[numbers], length) >= least
    numbers = numbers[is_full.any(1)]
    starts = is_full[is_full.any(1)].view(np.uint8)
    starts = np.pad(starts, [(0, 0), (length - 1, length - 1)])
    closed = ndimage.maximum_filter1d(sheared[numbers], gap, mode="constant")
    closed = ndimage.minimum_filter1d(closed, gap, mode="constant", cval=1)

    runs, columns = (closed & (_sums(starts, length) > 0)).nonzero()
    rows = numbers[runs] + shifts[columns] - extra
    within = (rows >= 0) & (rows < height)
    found[rows[within], columns[within]] = True
    return found


def _sums(values: np.ndarray, length: int) -> np.ndarray:
    """Return sums over windows along the rows, one for each start."""
    sums = np.cumsum(np.pad(values, [(0, 0), (1, 0)]), axis=1, dtype=np.int32)
    over_windows: np.ndarray = sums[:, length:] - sums[:, :-length]
    return over_windows


def _may_be_cell(where: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Return whether a region is large enough, and does not touch the border."""
    return all(
        side.start > 0 and side.stop < size and side.stop - side.start >= SMALLEST
        for side, size in zip(where, shape, strict=True)
    )


def _quad(region: np.ndarray, across: float, upright: float) -> Quad | None:
    """Return the quadrilateral of a region, or None if it is of another shape."""
    flipped = region[::-1]
    mirrored = region[:, ::-1]
    top = _side(region, across)
    bottom = _side(flipped, -across)
    left = _side(region.T, upright)
    right = _side(mirrored.T, -upright)
    last_row = region.shape[0] - 1
    last_column = region.shape[1] - 1
    bottom = (last_row - bottom[0], -bottom[1])
    right = (last_column - right[0], -right[1])

    quad = Quad(
        np.array(
            [_met(top, left), _met(top, right), _met(bottom, right), _met(bottom, left)]
        )
    )
    rows, columns = np.indices(region.shape)
    points = np.column_stack([rows.ravel(), columns.ravel()])
    inside = quad.contains(points).reshape(region.shape)
    n_inside = inside.sum()
    within = (region & inside).sum()
    if not n_inside or within < FILLED * n_inside:
        return None
    return quad if (region & ~inside).sum() <= (1 - FILLED) * n_inside else None


def _side(region: np.ndarray, slope: float) -> tuple[float, float]:
    """Return offset and slope of the line through most of the upper bounds.

    Digits on the line, and the slanting sides next to it, have bounds further down.
    """
    columns = np.flatnonzero(region.any(0))
    tops = region[:, columns].argmax(0)
    rest = tops - slope * columns
    near = max(1.5, NEAR * region.shape[0])
    kept = np.abs(rest - np.percentile(rest, 15, method="nearest")) <= near
    for _ in range(3):
        fitted = _fitted(columns[kept], tops[kept], slope)
        distance = np.abs(tops - fitted[0] - fitted[1] * columns)
        kept = distance <= max(NEAREST, float(np.median(distance[kept])))
    return fitted


def _fitted(columns: np.ndarray, rows: np.ndarray, slope: float) -> tuple[float, float]:
    """Return offset and slope of the least squares, near the slope of most lines."""
    centred = columns - columns.mean()
    if len(columns) > SMALLEST / 2:
        found = float(centred @ rows / (centred @ centred))
        if abs(found - slope) <= np.tan(np.deg2rad(PERSPECTIVE + 4)):
            slope = found
    return float(rows.mean() - slope * columns.mean()), slope


def _met(
    across: tuple[float, float], upright: tuple[float, float]
) -> tuple[float, float]:
    """Return where a line along the rows meets one along the columns."""
    row = (across[0] + across[1] * upright[0]) / (1 - across[1] * upright[1])
    return row, upright[0] + upright[1] * row
