"""The digits in an upright cell, without its lines and without dust."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._find_digits._grid_straight import StraightCell, project

EIGHT = np.ones((3, 3))
# A pixel is ink from this part of the strength of most ink on.
THRESHOLD = 0.4
# A row of pixels next to a side is a line if ink covers this part of it.
COVERED = 0.6
# Lines are looked for up to this part of the margin's width, inside and outside.
REACH = 0.5
# Ink that touches a side and reaches less far into the cell than this part of its
# shorter side is left of a line, or of a digit of the next cell.
SHALLOW = 0.12
# A digit is at least so high or wide, as a part of the cell's shorter side …
DIGIT = 0.22
# … and so many pixels.
DIGIT_PIXELS = 7
# Smaller pieces, as parts of the largest one in the cell, are dust …
DUST = 0.25
# … unless so much of their width is above or below a larger one.
ABOVE = 0.5
# What is wider than so many heights is two digits that touch.
TWO = 1.3
# The blurred edge of strokes keeps its values, in pixels.
EDGE = 2


class CellDigit(NamedTuple):
    """A digit in a cell: its ink alone, and its bounds (top, left, …) in ``ink``."""

    ink: np.ndarray
    bounds: tuple[int, int, int, int]
    box: tuple[float, float, float, float]
    size: float


def digits_of(cell: StraightCell) -> list[CellDigit]:
    """Return the digits in a cell from left to right."""
    mask = _without_lines(cell.ink > THRESHOLD, cell.margin)
    labels, n_parts = ndimage.label(mask, EIGHT)
    parts = _parts(labels, n_parts, cell.margin)
    digits = []
    for group in _groups(labels, parts):
        for piece in _split(np.isin(labels, group)):
            digits.append(_digit(cell, piece))
    height, width = np.subtract(cell.ink.shape, 2 * cell.margin)
    least = max(DIGIT_PIXELS, DIGIT * min(height, width))
    return [digit for digit in digits if digit.size >= least]


def _without_lines(mask: np.ndarray, margin: int) -> np.ndarray:
    """Drop lines along the four sides, but for strokes that cross them."""
    kept = mask
    for _ in range(4):
        kept = np.rot90(_without_line(kept, margin))
    return kept


def _without_line(mask: np.ndarray, margin: int) -> np.ndarray:
    """Drop the line along the upper side, but for strokes that cross it."""
    reach = max(1, int(REACH * margin))
    covered = mask[:, margin:-margin].mean(1)
    near = np.arange(len(covered))
    is_line = covered > COVERED
    is_line &= (near < margin + reach) & (near >= 0)
    found = np.flatnonzero(is_line)
    if not len(found):
        return mask

    first = found.min()
    last = found.max()
    # The blurred rim of a line is ink, too.
    first = max(first - 1, 0)
    last = last + 1
    above = mask[max(first - 2, 0) : first].any(0)
    below = mask[last + 1 : last + 3].any(0)
    size = last - first + 2
    is_stroke = ndimage.binary_dilation(above, iterations=size) & below
    kept = mask.copy()
    kept[first : last + 1] &= is_stroke
    return kept


def _parts(labels: np.ndarray, n_parts: int, margin: int) -> list[int]:
    """Return parts that lie mostly within the cell, and are no remains of its sides."""
    inner = labels[margin:-margin, margin:-margin]
    whole = np.bincount(labels.ravel(), minlength=n_parts + 1)
    inside = np.bincount(inner.ravel(), minlength=n_parts + 1)
    shallow = SHALLOW * min(inner.shape)
    parts = []
    for number, where in enumerate(ndimage.find_objects(inner, n_parts), 1):
        if where is None or inside[number] < whole[number] / 2:
            continue
        down, across = where
        depths = (
            down.stop if down.start <= 1 else np.inf,
            inner.shape[0] - down.start if down.stop >= inner.shape[0] - 1 else np.inf,
            across.stop if across.start <= 1 else np.inf,
            inner.shape[1] - across.start
            if across.stop >= inner.shape[1] - 1
            else np.inf,
        )
        if min(depths) > shallow:
            parts.append(number)
    return parts


def _groups(labels: np.ndarray, parts: list[int]) -> list[list[int]]:
    """Return parts that lie above each other as one digit, from left to right."""
    bounds = ndimage.find_objects(labels)
    where = {part: bounds[part - 1] for part in parts}
    extent = {part: max(_length(a), _length(b)) for part, (a, b) in where.items()}
    largest = max(extent.values(), default=0)
    groups: list[list[int]] = []
    for part in sorted(parts, key=lambda one: -extent[one]):
        across = where[part][1]
        for group in groups:
            shared = max(_shared(across, where[other][1]) for other in group)
            if shared > ABOVE * _length(across):
                group.append(part)
                break
        else:
            if extent[part] >= DUST * largest:
                groups.append([part])
    return sorted(groups, key=lambda group: min(where[one][1].start for one in group))


def _length(side: slice) -> int:
    return int(side.stop - side.start)


def _shared(one: slice, other: slice) -> int:
    return int(min(one.stop, other.stop) - max(one.start, other.start))


def _split(mask: np.ndarray) -> list[np.ndarray]:
    """Return a digit, or two that touch, cut where their ink is thinnest."""
    rows, columns = mask.nonzero()
    height = np.ptp(rows) + 1
    width = np.ptp(columns) + 1
    if width <= TWO * height:
        return [mask]

    first = columns.min() + width // 4
    last = columns.min() + 3 * width // 4
    cut = first + int(mask[:, first : last + 1].sum(0).argmin())
    left = mask.copy()
    left[:, cut:] = False
    right = mask & ~left
    return [*_split(left), *_split(right)] if left.any() and right.any() else [mask]


def _digit(cell: StraightCell, mask: np.ndarray) -> CellDigit:
    """Return a digit with the blurred edge of its strokes."""
    rows, columns = mask.nonzero()
    bounds = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    near = ndimage.binary_dilation(mask, EIGHT, iterations=EDGE)
    ink = np.where(near, cell.ink.clip(0, 1), 0)
    points = project(cell.to_page, np.column_stack([rows, columns]))
    box = (*points.min(0), *points.max(0))
    size = float(max(bounds[2] - bounds[0], bounds[3] - bounds[1]))
    return CellDigit(ink, bounds, box, size)
