"""Cells as their rows and columns have them.

Strokes that cross a cell from side to side part it, and gaps in its lines let it flow
out. Where most cells lie in rows and columns, these tell where it is.
"""

from typing import NamedTuple

import numpy as np

from skdigits.preprocessing._find_digits._grid import Quad
from skdigits.preprocessing._find_digits._grid_order import SAME_LINE, blocks_of, ranks
from skdigits.preprocessing._find_digits._grid_straight import project
from skdigits.preprocessing._find_digits._grid_upright import (
    Bounds,
    bounds_of,
    upright_view,
)

# A line is one of the grid if more than this part of all rows, or columns, has it.
SUPPORTED = 0.3
# The sides of a cell lie within this part of its size, or so many pixels, of lines.
MATCHED = 0.12
MATCHED_PIXELS = 3
# Cells form a lattice if they fill this part of it.
FILLED = 0.6
# Ink lies along this part of the sides of a cell that was not found by itself, within
# so many pixels.
INKED = 0.6
BESIDE = 4


class Bands(NamedTuple):
    """Where the rows of a lattice start and stop, or its columns."""

    start: np.ndarray
    stop: np.ndarray


def completed(quads: list[Quad], lines: np.ndarray) -> list[Quad]:
    """Return cells after those that fit no lattice were replaced by its own."""
    view = upright_view(quads)
    bounds = bounds_of(quads, view)
    everything = np.arange(len(quads))
    whole = _of_lattice(bounds, everything)
    if whole is not None:
        return _replaced(quads, everything, whole, view, lines)

    blocks = blocks_of(bounds)
    found: list[Quad] = []
    for block in range(blocks.max() + 1):
        cells = np.flatnonzero(blocks == block)
        part = _of_lattice(bounds, cells)
        if part is None:
            found += [quads[cell] for cell in cells]
        else:
            found += _replaced(quads, cells, part, view, lines)
    return found


class Lattice(NamedTuple):
    """Rows and columns, which cells fit (n,), and which places they leave (m, 2)."""

    rows: Bands
    columns: Bands
    fits: np.ndarray
    free: np.ndarray


def _of_lattice(bounds: Bounds, cells: np.ndarray) -> Lattice | None:
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

    first_row, last_row = _spans(rows, top, bottom)
    first_column, last_column = _spans(columns, left, right)
    fits = np.minimum(np.minimum(first_row, last_row), np.minimum(first_column, last_column)) >= 0
    taken = np.zeros((len(rows.start), len(columns.start)), bool)
    for cell in np.flatnonzero(fits):
        down = slice(first_row[cell], last_row[cell] + 1)
        taken[down, first_column[cell] : last_column[cell] + 1] = True
    return Lattice(rows, columns, fits, np.argwhere(~taken)) if taken.mean() >= FILLED else None


def _bands(
    start: np.ndarray, stop: np.ndarray, rank: np.ndarray, n_across: int, near: float
) -> Bands:
    """Return the bands that enough cells share, where each starts and stops."""
    counts = np.bincount(rank)
    numbers = np.flatnonzero(counts > SUPPORTED * min(n_across, counts.max()))
    starts = np.array([np.median(start[rank == number]) for number in numbers])
    stops = []
    for number, following in zip(numbers, [*starts[1:], np.inf], strict=True):
        # Merged cells stop later.
        single = (rank == number) & (stop < following + near)
        stops.append(np.median(stop[single]) if single.any() else following)
    return Bands(starts, np.array(stops))


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
    quads: list[Quad],
    cells: np.ndarray,
    lattice: Lattice,
    view: np.ndarray,
    lines: np.ndarray,
) -> list[Quad]:
    """Return the cells that fit, and the lattice's own where it has lines."""
    found = [quads[cell] for cell in cells[lattice.fits]]
    back = np.linalg.inv(view)
    for row, column in lattice.free:
        top = lattice.rows.start[row]
        bottom = lattice.rows.stop[row]
        left = lattice.columns.start[column]
        right = lattice.columns.stop[column]
        upright = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        quad = Quad(project(back, upright))
        if _inked(quad, lines) >= INKED:
            found.append(quad)
    return found


def _inked(quad: Quad, lines: np.ndarray) -> float:
    """Return the part of a cell's sides with ink near them."""
    shares = []
    centre = quad.corners.mean(0)
    for start, end in zip(quad.corners, np.roll(quad.corners, -1, 0), strict=True):
        n_points = max(2, int(np.hypot(*(end - start))))
        way = np.linspace(start, end, n_points)
        outward = (start + end) / 2 - centre
        outward /= np.hypot(*outward)
        steps = np.arange(-BESIDE, BESIDE + 1)[:, np.newaxis, np.newaxis]
        rows, columns = np.moveaxis(np.round(way + steps * outward).astype(int), -1, 0)
        rows = rows.clip(0, lines.shape[0] - 1)
        columns = columns.clip(0, lines.shape[1] - 1)
        shares.append(lines[rows, columns].any(0).mean())
    return float(np.mean(shares))
