"""Digits in the cells of a grid."""

from typing import TYPE_CHECKING

import numpy as np

from skdigits.preprocessing._clean_up._levels import reduced
from skdigits.preprocessing._find_digits._cell_ink import CellDigit, digits_of
from skdigits.preprocessing._find_digits._found import FoundDigit
from skdigits.preprocessing._find_digits._grid import Quad, find_cells
from skdigits.preprocessing._find_digits._grid_ink import grid_ink
from skdigits.preprocessing._find_digits._grid_lattice import completed
from skdigits.preprocessing._find_digits._grid_order import rows_and_columns
from skdigits.preprocessing._find_digits._grid_straight import straightened

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

# The longest side of a digit in its cut-out, and the margin around, in pixels.
LARGEST = 34
MARGIN = 3
# Finds below this part of the size of most digits are dust.
OF_DIGITS = 0.12


def digits_in_cells(
    grey: np.ndarray,
    dark: bool | None,
    model: "ClassifierMixin | None",
    keep_empty: bool,
) -> list[FoundDigit]:
    """Return the digits of all cells, row by row, in reading order.

    Raises
    ------
    ValueError
        If there is ink, but no grid.
    """
    page = grid_ink(grey, dark)
    if page is None:
        return []
    quads = find_cells(page.lines)
    if not quads:
        raise ValueError(
            "layout='cells' found no grid: there is ink, but no lines that enclose "
            "cells. For digits in lines of text, pass layout='free'."
        )

    quads = completed(quads, page.lines)
    places = rows_and_columns(quads)
    contents = _without_dust([digits_of(straightened(page.ink, q)) for q in quads])
    found = []
    for cell in np.lexsort((places[:, 1], places[:, 0])):
        row, column = map(int, places[cell])
        for digit in contents[cell]:
            box = _box(np.array(digit.box), page.factor, grey.shape)
            found.append(FoundDigit(row, column, box, _cut_out(digit)))
        if keep_empty and not contents[cell]:
            box = _box(_extent(quads[cell]), page.factor, grey.shape)
            found.append(FoundDigit(row, column, box, None))
    return found


def _without_dust(contents: list[list[CellDigit]]) -> list[list[CellDigit]]:
    """Drop what is small beside the digits of the page."""
    sizes = [digit.size for digits in contents for digit in digits]
    least = OF_DIGITS * float(np.percentile(sizes, 75)) if sizes else 0.0
    return [[digit for digit in one if digit.size >= least] for one in contents]


def _extent(quad: Quad) -> np.ndarray:
    return np.concatenate([quad.corners.min(0), quad.corners.max(0)])


def _box(
    extent: np.ndarray, factor: int, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return bounds on the reduced page in pixels of the image itself."""
    low = np.floor(np.round(extent[:2]) * factor).clip(0)
    high = ((np.round(extent[2:]) + 1) * factor).clip(max=shape)
    top, left = map(int, low)
    bottom, right = map(int, high)
    return top, left, bottom, right


def _cut_out(digit: CellDigit) -> np.ndarray:
    """Return the digit's ink in uint8, reduced to at most 40 pixels."""
    top, left, bottom, right = digit.bounds
    factor = int(np.ceil(max(bottom - top, right - left) / LARGEST))
    margin = MARGIN * factor
    padded = np.pad(digit.ink, margin + factor)
    top += factor
    left += factor
    down = bottom + factor + 2 * margin + -(bottom + 2 * margin + factor - top) % factor
    across = (
        right + factor + 2 * margin + -(right + 2 * margin + factor - left) % factor
    )
    part = padded[top:down, left:across]
    reduced_ink = reduced(part, factor) if factor > 1 else part
    return np.round(255 * reduced_ink).astype(np.uint8)
