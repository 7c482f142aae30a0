"""Digits in the cells of a grid."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._specks import EIGHT
from skdigits.preprocessing._find_digits._cell_ink import ink_of_digits
from skdigits.preprocessing._find_digits._cut_outs import Upright
from skdigits.preprocessing._find_digits._found import FoundDigit
from skdigits.preprocessing._find_digits._grid._ink import grid_ink
from skdigits.preprocessing._find_digits._grid._lattice import completed
from skdigits.preprocessing._find_digits._grid._order import rows_and_columns
from skdigits.preprocessing._find_digits._grid._quad import Quad
from skdigits.preprocessing._find_digits._grid._search import find_cells
from skdigits.preprocessing._find_digits._grid._straight import (
    StraightCell,
    project,
    straightened,
)
from skdigits.preprocessing._find_digits._parts import EDGE, Part, typical_height
from skdigits.preprocessing._find_digits._readings import Reader, reader
from skdigits.preprocessing._find_digits._touching import clump, digits_of

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

# Finds below this part of the size of most digits are dust.
OF_DIGITS = 0.24
# Most cells hold one digit: only what is wider than this may be several, in typical
# heights or its own one if that is larger, by the shape alone …
WIDE = 1.4
# … and if a model reads it.
WIDE_TO_READ = 0.9


class CellDigit(NamedTuple):
    """A digit in a cell: its pixels in the upright cell, and its cut-out."""

    part: Part
    cut_out: np.ndarray


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
    read = None if model is None else reader(model)
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
    cells = [straightened(page.ink, quad) for quad in quads]
    contents = _contents(cells, read)
    found = []
    for number in np.lexsort((places[:, 1], places[:, 0])):
        row, column = map(int, places[number])
        for digit in contents[number]:
            box = _box(_bounds(cells[number], digit.part), page.factor, grey.shape)
            found.append(FoundDigit(row, column, box, digit.cut_out))
        if keep_empty and not contents[number]:
            box = _box(_extent(quads[number]), page.factor, grey.shape)
            found.append(FoundDigit(row, column, box, None))
    return found


def _contents(cells: list[StraightCell], read: Reader | None) -> list[list[CellDigit]]:
    """Return the digits of each cell from left to right."""
    found = []
    for number, cell in enumerate(cells):
        for mask in ink_of_digits(cell):
            rows, columns = mask.nonzero()
            found.append((number, Part(rows, columns, 0.0)))
    found = _without_dust(found)
    contents: list[list[CellDigit]] = [[] for _ in cells]
    if not found:
        return contents

    height = typical_height([part for _, part in found])
    narrow = WIDE if read is None else WIDE_TO_READ
    clumps = [
        # A table may have larger cells than most, with larger digits.
        clump(part, _upright(cells[number], part), max(height, part.height), narrow)
        for number, part in found
    ]
    for (number, _), digits in zip(found, digits_of(clumps, read), strict=True):
        contents[number] += [CellDigit(*digit) for digit in digits]
    return contents


def _without_dust(found: list[tuple[int, Part]]) -> list[tuple[int, Part]]:
    """Drop what is small beside the digits of the page."""
    sizes = [max(part.height, part.width) for _, part in found]
    least = OF_DIGITS * float(np.percentile(sizes, 75)) if sizes else 0.0
    return [one for one, size in zip(found, sizes, strict=True) if size >= least]


def _upright(cell: StraightCell, part: Part) -> Upright:
    """Return the ink of a digit with the blurred edge of its strokes."""
    mask = np.zeros(cell.ink.shape, bool)
    mask[part.rows, part.columns] = True
    near = ndimage.binary_dilation(mask, EIGHT, iterations=EDGE)
    level = np.where(near, cell.ink.clip(0, 1), 0)
    rows = near.any(1).nonzero()[0]
    columns = near.any(0).nonzero()[0]
    inside = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Upright(inside, float(rows[0]), float(columns[0]))


def _bounds(cell: StraightCell, part: Part) -> np.ndarray:
    """Return the bounds of a digit on the reduced page."""
    pixels = np.column_stack([part.rows, part.columns])
    points = project(cell.to_page, pixels)
    return np.concatenate([points.min(0), points.max(0)])


def _extent(quad: Quad) -> np.ndarray:
    return np.concatenate([quad.corners.min(0), quad.corners.max(0)])


def _box(
    extent: np.ndarray, factor: int, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return bounds on the reduced page in pixels of the image itself."""
    # A cell that the lattice tells may lie outside the image: its box does not.
    low = (np.round(extent[:2]) * factor).clip(0, np.subtract(shape, 1))
    high = ((np.round(extent[2:]) + 1) * factor).clip(low + 1, shape)
    top, left = map(int, low)
    bottom, right = map(int, high)
    return top, left, bottom, right
