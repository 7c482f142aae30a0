"""Rows and columns of the cells of a page."""

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack
from scipy.sparse.csgraph import connected_components

from skdigits.preprocessing._find_digits._grid._quad import Quad
from skdigits.preprocessing._find_digits._grid._upright import (
    SAME_LINE,
    Bounds,
    bounds_of,
    ranks,
    upright_view,
)

# Cells share a side if less than this part of the smaller one is between them, and
# more than this part of the side is shared.
APART = 0.35
SHARED = 0.5
# Boxes of one row overlap by this part of their height.
SAME_ROW = 0.5
# So many cells at once are compared with all: squared paper has thousands of them, and
# all pairs would take gigabytes.
AT_ONCE = 500
EVERY = slice(None)


def rows_and_columns(quads: list[Quad]) -> np.ndarray:
    """Return row and column (n, 2) of each cell.

    Cells that share sides are a block, such as a table or a single box. Blocks beside
    each other share rows, and their columns follow each other.
    """
    bounds = bounds_of(quads, upright_view(quads))
    blocks = blocks_of(bounds)
    places = np.zeros((len(quads), 2), int)
    n_blocks = blocks.max() + 1
    extents = np.zeros((n_blocks, 4))
    for block in range(n_blocks):
        cells = np.flatnonzero(blocks == block)
        places[cells] = _within_block(bounds, cells)
        extents[block] = [
            bounds.top[cells].min(),
            bounds.left[cells].min(),
            bounds.bottom[cells].max(),
            bounds.right[cells].max(),
        ]

    first_row = 0
    for band in _bands(extents):
        first_column = 0
        last_row = first_row
        for block in band:
            cells = blocks == block
            places[cells] += first_row, first_column
            last_row = max(last_row, places[cells, 0].max())
            first_column = places[cells, 1].max() + 1
        first_row = last_row + 1
    return places


def blocks_of(bounds: Bounds) -> np.ndarray:
    """Return the number of the block of each cell."""
    n_cells = len(bounds.top)
    parts = [
        csr_array(_share_sides(bounds, slice(start, start + AT_ONCE)))
        for start in range(0, n_cells, AT_ONCE)
    ]
    blocks: np.ndarray = connected_components(vstack(parts), directed=False)[1]
    return blocks


def _share_sides(bounds: Bounds, some: slice) -> np.ndarray:
    """Return which cells are on the right of some cells, or below them (some, n)."""
    top, left, bottom, right = bounds
    height = bottom - top
    width = right - left
    smaller = _smaller(np.minimum(height, width), some)

    beside = np.abs(left - right[some, np.newaxis]) < APART * smaller
    beside &= _overlap(top, bottom, some) > SHARED * _smaller(height, some)
    below = np.abs(top - bottom[some, np.newaxis]) < APART * smaller
    below &= _overlap(left, right, some) > SHARED * _smaller(width, some)
    shared: np.ndarray = beside | below
    return shared


def _smaller(lengths: np.ndarray, some: slice = EVERY) -> np.ndarray:
    """Return the smaller one (some, n) of some lengths and each of all."""
    smaller: np.ndarray = np.minimum(lengths, lengths[some, np.newaxis])
    return smaller


def _overlap(start: np.ndarray, stop: np.ndarray, some: slice = EVERY) -> np.ndarray:
    """Return the lengths (some, n) that some intervals share with each of all."""
    first = np.maximum(start, start[some, np.newaxis])
    last = np.minimum(stop, stop[some, np.newaxis])
    shared: np.ndarray = last - first
    return shared


def _within_block(bounds: Bounds, cells: np.ndarray) -> np.ndarray:
    """Return row and column of cells by the lines above and on their left."""
    height = np.percentile(bounds.bottom[cells] - bounds.top[cells], 10)
    width = np.percentile(bounds.right[cells] - bounds.left[cells], 10)
    rows = ranks(bounds.top[cells], SAME_LINE * height)
    columns = ranks(bounds.left[cells], SAME_LINE * width)
    return np.column_stack([rows, columns])


def _bands(extents: np.ndarray) -> list[np.ndarray]:
    """Return blocks beside each other from left to right, bands from the top down."""
    top, left, bottom, _ = extents.T
    height = bottom - top
    beside = _overlap(top, bottom) > SAME_ROW * _smaller(height)
    n_bands, numbers = connected_components(coo_array(beside), directed=False)
    bands = [np.flatnonzero(numbers == band) for band in range(n_bands)]
    bands.sort(key=lambda band: float(np.median(top[band])))
    return [band[np.argsort(left[band])] for band in bands]
