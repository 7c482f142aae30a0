"""Cells as their rows and columns have them.

Strokes that cross a cell from side to side part it, and gaps in its lines let it flow
out. Where most cells lie in rows and columns, these tell where it is.
"""

from typing import NamedTuple

import numpy as np

from skdigits.preprocessing._find_digits._grid._order import blocks_of
from skdigits.preprocessing._find_digits._grid._quad import Quad
from skdigits.preprocessing._find_digits._grid._straight import project
from skdigits.preprocessing._find_digits._grid._upright import (
    SAME_LINE,
    Bounds,
    bounds_of,
    ranks,
    slants_of,
    upright_view,
)

# A line is one of the grid if more than this part of all rows, or columns, has it.
SUPPORTED = 0.35
# The sides of a cell lie within this part of its size, or so many pixels, of lines.
MATCHED = 0.12
MATCHED_PIXELS = 3
# Digits that touch a line turn the side that is fitted to it: the ends of a side are so
# near to the direction of others, as a part of the cell's size or in pixels.
SLANTED = 0.04
SLANTED_PIXELS = 3
# Steps of equal bands are whole within this part of one; at most this part of all
# differ from that where bands are equal.
OFF_STEP = 0.15
UNEQUAL = 0.5
# Gaps from this part of a typical band on are places whose cells were not found.
GAP = 0.5
# Cells form a lattice if they fill this part of it.
FILLED = 0.6
# Ink lies along this part of the sides of a cell that was not found by itself, within
# so many pixels, or this part of the side's length.
INKED = 0.6
BESIDE = 4
BESIDE_OF_SIDE = 0.05


class Bands(NamedTuple):
    """Where the rows of a lattice start and stop, or its columns."""

    start: np.ndarray
    stop: np.ndarray


class Lined(NamedTuple):
    """What may be lines on the page, and the way back to it from the upright view."""

    mask: np.ndarray
    back: np.ndarray

    def share(self, start: list[float], end: list[float]) -> float:
        """Return the part of a way in the upright view that has ink near it."""
        n_points = max(2, int(np.hypot(*np.subtract(end, start))))
        way = np.linspace(start, end, n_points)
        across = (
            np.subtract(end, start)[::-1] * [-1, 1] / np.hypot(*np.subtract(end, start))
        )
        reach = int(max(BESIDE, BESIDE_OF_SIDE * n_points))
        steps = np.arange(-reach, reach + 1)[:, np.newaxis, np.newaxis]
        points = project(self.back, (way + steps * across).reshape(-1, 2))
        rows, columns = np.round(points).astype(int).T
        rows = rows.clip(0, self.mask.shape[0] - 1)
        columns = columns.clip(0, self.mask.shape[1] - 1)
        near = self.mask[rows, columns].reshape(len(steps), n_points)
        return float(near.any(0).mean())


def completed(quads: list[Quad], lines: np.ndarray) -> list[Quad]:
    """Return cells after those that fit no lattice were replaced by its own."""
    view = upright_view(quads)
    bounds = bounds_of(quads, view)
    everything = np.arange(len(quads))
    least = np.minimum(bounds.bottom - bounds.top, bounds.right - bounds.left)
    is_straight = slants_of(quads, view) <= np.maximum(SLANTED * least, SLANTED_PIXELS)
    lined = Lined(lines, np.linalg.inv(view))
    whole = _of_lattice(bounds, everything, is_straight, lined)
    if whole is not None:
        return _replaced(quads, everything, whole, lined)

    blocks = blocks_of(bounds)
    found: list[Quad] = []
    for block in range(blocks.max() + 1):
        cells = np.flatnonzero(blocks == block)
        part = _of_lattice(bounds, cells, is_straight, lined)
        if part is None:
            found += [quads[cell] for cell in cells]
        else:
            found += _replaced(quads, cells, part, lined)
    return found


class Lattice(NamedTuple):
    """Rows and columns, which cells fit (n,), and which places they leave (m, 2)."""

    rows: Bands
    columns: Bands
    fits: np.ndarray
    free: np.ndarray


def _of_lattice(
    bounds: Bounds, cells: np.ndarray, is_straight: np.ndarray, lined: Lined
) -> Lattice | None:
    """Return the lattice of cells, or None if most lie otherwise."""
    top, left, bottom, right = (side[cells] for side in bounds)
    near = SAME_LINE * float(np.percentile(bottom - top, 10))
    beside = SAME_LINE * float(np.percentile(right - left, 10))
    row = ranks(top, near)
    column = ranks(left, beside)
    rows = _bands(top, bottom, row, len(set(column)), near)
    columns = _bands(left, right, column, len(set(row)), beside)
    if not len(rows.start) or not len(columns.start):
        return None
    if _taken(rows, columns, _all_spans(rows, columns, bounds, cells)).mean() < FILLED:
        return None

    rows = _without_gaps(rows)
    columns = _without_gaps(columns)
    spans = _all_spans(rows, columns, bounds, cells)
    fits = (spans.min(0) >= 0) & is_straight[cells]
    for cell in np.flatnonzero(fits):
        fits[cell] = not _is_parted(rows, columns, spans[:, cell], lined)
    free = np.argwhere(~_taken(rows, columns, spans[:, fits]))
    return Lattice(rows, columns, fits, free)


def _all_spans(
    rows: Bands, columns: Bands, bounds: Bounds, cells: np.ndarray
) -> np.ndarray:
    """Return the first and last row and column (4, n) of cells."""
    down = _spans(rows, bounds.top[cells], bounds.bottom[cells])
    across = _spans(columns, bounds.left[cells], bounds.right[cells])
    return np.stack([*down, *across])


def _taken(rows: Bands, columns: Bands, spans: np.ndarray) -> np.ndarray:
    """Return which places of a lattice some cells take."""
    taken = np.zeros((len(rows.start), len(columns.start)), bool)
    for first_row, last_row, first_column, last_column in spans[:, spans.min(0) >= 0].T:
        taken[first_row : last_row + 1, first_column : last_column + 1] = True
    return taken


def _without_gaps(bands: Bands) -> Bands:
    """Add bands where none of their cells was found: in wide gaps, and at both ends."""
    start, stop = bands
    typical = float(np.median(stop - start))
    gaps = start[1:] - stop[:-1]
    lines = gaps[gaps < GAP * typical]
    line = float(np.median(lines)) if lines.size else 0.0
    ends = [start[0] - 2 * line - typical, *stop]
    following = [*start, stop[-1] + 2 * line + typical]
    starts = list(start)
    stops = list(stop)
    for end, begin in zip(ends, following, strict=True):
        n_bands = round((begin - end - line) / (typical + line))
        if begin - end >= GAP * typical:
            edges = np.linspace(end, begin - line, max(1, n_bands) + 1)
            starts += list(edges[:-1] + line)
            stops += list(edges[1:])
    return Bands(np.sort(starts), np.sort(stops))


def _is_parted(rows: Bands, columns: Bands, span: np.ndarray, lined: Lined) -> bool:
    """Return whether lines of the lattice run through a cell."""
    first_row, last_row, first_column, last_column = span
    down = rows.start[first_row], rows.stop[last_row]
    across = columns.start[first_column], columns.stop[last_column]
    for row in range(first_row, last_row):
        place = (rows.stop[row] + rows.start[row + 1]) / 2
        if lined.share([place, across[0]], [place, across[1]]) >= INKED:
            return True
    for column in range(first_column, last_column):
        place = (columns.stop[column] + columns.start[column + 1]) / 2
        if lined.share([down[0], place], [down[1], place]) >= INKED:
            return True
    return False


def _bands(
    start: np.ndarray, stop: np.ndarray, rank: np.ndarray, n_across: int, near: float
) -> Bands:
    """Return the bands that enough cells share, where each starts and stops."""
    counts = np.bincount(rank)
    numbers = np.flatnonzero(counts > SUPPORTED * min(n_across, counts.max()))
    starts = np.array([np.median(start[rank == number]) for number in numbers])
    is_weak = counts[numbers] <= n_across / 2 if n_across > 1 else starts == starts
    kept = _fits_steps(starts, float(stop.max()), is_weak)
    numbers = numbers[kept]
    starts = starts[kept]

    stops = []
    nexts = [*numbers[1:], len(counts)]
    for number, after, following in zip(
        numbers, nexts, [*starts[1:], np.inf], strict=True
    ):
        # Parts of cells stop before the last start within the band, merged cells later.
        own = (rank >= number) & (rank < after)
        single = own & (stop > start[own].max()) & (stop < following + near)
        stops.append(np.median(stop[single]) if single.any() else following)
    return Bands(starts, np.array(stops))


def _fits_steps(starts: np.ndarray, end: float, is_weak: np.ndarray) -> np.ndarray:
    """Return which bands start a whole number of steps from each other.

    Where most steps are equal, weak starts between two others are strokes that part a
    cell. Elsewhere, all starts are right.
    """
    places = np.append(starts, end)
    step = float(np.median(np.diff(places)))
    kept = np.ones(len(starts), bool)
    if np.mean(_off_step(np.diff(places), step)) > UNEQUAL:
        return kept
    for number in range(1, len(starts)):
        before = places[:number][kept[:number]][-1]
        is_off = _off_step(places[number] - before, step)
        is_between = not _off_step(places[number + 1] - before, step)
        kept[number] = not (is_weak[number] and is_off and is_between)
    return kept


def _off_step(ways: np.ndarray, step: float) -> np.ndarray:
    """Return which ways are no whole number of steps."""
    off: np.ndarray = np.abs(ways / step - np.round(ways / step).clip(1)) > OFF_STEP
    return off


def _spans(
    bands: Bands, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last band of each cell, -1 where a side fits none."""
    near = np.maximum(MATCHED * (stop - start), MATCHED_PIXELS)
    found = []
    for lines, sides in zip(bands, (start, stop), strict=True):
        distance = np.abs(sides[:, np.newaxis] - lines)
        best = distance.argmin(1)
        found.append(np.where(distance.min(1) <= near, best, -1))
    return found[0], found[1]


def _replaced(
    quads: list[Quad], cells: np.ndarray, lattice: Lattice, lined: Lined
) -> list[Quad]:
    """Return the cells that fit, and the lattice's own where it has lines."""
    found = [quads[cell] for cell in cells[lattice.fits]]
    for row, column in lattice.free:
        top = lattice.rows.start[row]
        bottom = lattice.rows.stop[row]
        left = lattice.columns.start[column]
        right = lattice.columns.stop[column]
        corners = [[top, left], [top, right], [bottom, right], [bottom, left]]
        ends = [*corners[1:], corners[0]]
        shares = [lined.share(*side) for side in zip(corners, ends, strict=True)]
        if min(shares) >= INKED:
            found.append(Quad(project(lined.back, np.array(corners))))

    middles = np.array([quad.corners.mean(0) for quad in found])
    others = [quads[cell] for cell in cells[~lattice.fits]]
    return found + [quad for quad in others if _is_apart(quad, found, middles)]


def _is_apart(quad: Quad, found: list[Quad], middles: np.ndarray) -> bool:
    """Return whether a cell and others do not lie on each other."""
    middle = quad.corners.mean(0, keepdims=True)
    return not quad.contains(middles).any() and not any(
        other.contains(middle)[0] for other in found
    )
