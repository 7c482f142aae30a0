"""The digits in an upright cell, without its lines and without dust."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._specks import EIGHT
from skdigits.preprocessing._find_digits._grid._straight import StraightCell

# A pixel is ink from this part of the strength of most ink on.
THRESHOLD = 0.4
# A row of pixels next to a side is a line if ink covers this part of it.
COVERED = 0.6
COVERED_WITHIN = 0.9
# Lines are looked for within the cell up to this part of the margin's width.
REACH = 0.3
# Ink that touches a side and reaches less far into the cell than this part of its
# shorter side is left of a line, or of a digit of the next cell.
SHALLOW = 0.12
# A digit is at least so high or wide, as a part of the cell's shorter side …
DIGIT = 0.1
# … and so many pixels. A small one is so many times as long as its strokes are wide,
# which specks are not; a large one may be bold.
DIGIT_PIXELS = 7
LONG = 2
LARGE = 0.2
# Specks are smaller than this part of the largest piece in the cell. A larger piece is
# part of a digit if most of its width is above or below the digit, within this part of
# its size, …
SPECK = 0.15
ABOVE = 0.5
NEAR_ABOVE = 0.4
# … or if one is lower than this part of the other, like the flag of a 5, or has less
# than this part beside it, and both are near and together not too wide, …
LOWER = 0.5
BESIDE = 0.5
NEAR = 0.2
WIDEST_FLAG = 1.45
# … or if only the gap of a broken stroke is between them.
BROKEN = 0.06
BROKEN_PIXELS = 2
WIDEST = 1.2
# Digits of one cell differ less in height: what is lower than this part of the highest
# is the flag of a 5 or the end of a stroke, of a digit within this part of its size.
OF_HIGHEST = 1 / 3
NEAR_LOW = 0.3


def ink_of_digits(cell: StraightCell) -> list[np.ndarray]:
    """Return masks of the digits in a cell from left to right.

    One mask may hold several digits that touch.
    """
    mask = _without_lines(cell.ink > THRESHOLD, cell.margin)
    height, width = np.subtract(cell.ink.shape, 2 * cell.margin)
    side = min(height, width)
    groups = _groups(_pieces(mask, cell.margin))
    digits = [group for group in groups if _is_digit(group, side)]
    masks = [_whole(digit) for digit in _without_low(digits)]
    return sorted(masks, key=lambda mask: float(mask.nonzero()[1].mean()))


def _is_digit(group: list["Piece"], side: float) -> bool:
    """Return whether ink is as large as a digit in a cell, or as long as a stroke.

    Specks beside each other are together larger than each of them, so that only the
    largest part counts.
    """
    main = max(group, key=lambda part: part.size)
    width = 2 * ndimage.distance_transform_edt(main.mask).max() - 1
    if main.size < max(DIGIT_PIXELS, DIGIT * side):
        return False
    return bool(main.size >= LARGE * side or main.size >= LONG * width)


def _without_low(digits: list[list["Piece"]]) -> list[list["Piece"]]:
    """Join what is too low for a digit with the nearest one, or drop it."""
    heights = [_height(digit) for digit in digits]
    least = OF_HIGHEST * max(heights, default=0)
    kept = [
        list(digit)
        for digit, height in zip(digits, heights, strict=True)
        if height >= least
    ]
    for digit, height in zip(digits, heights, strict=True):
        if height < least:
            piece = max(digit, key=lambda part: part.size)
            gaps = [min(_gap(piece, part) for part in other) for other in kept]
            nearest = int(np.argmin(gaps))
            if gaps[nearest] <= NEAR_LOW * _height(kept[nearest]):
                kept[nearest] += digit
    return kept


def _height(parts: list["Piece"]) -> int:
    top = min(part.rows.start for part in parts)
    bottom = max(part.rows.stop for part in parts)
    return int(bottom - top)


def _whole(parts: list["Piece"]) -> np.ndarray:
    whole: np.ndarray = np.logical_or.reduce([part.mask for part in parts])
    return whole


def _without_lines(mask: np.ndarray, margin: int) -> np.ndarray:
    """Drop lines along the four sides, but for strokes that cross them."""
    kept = mask
    for _ in range(4):
        kept = np.rot90(_without_line(kept, margin))
    return kept


def _without_line(mask: np.ndarray, margin: int) -> np.ndarray:
    """Drop the line along the upper side, but for strokes that cross it."""
    reach = max(2, int(REACH * margin))
    covered = mask[: margin + reach, margin:-margin].mean(1)
    # Bold digits cover much of a row within the cell, too.
    least = np.where(np.arange(len(covered)) < margin, COVERED, COVERED_WITHIN)
    found = np.flatnonzero(covered > least)
    if not len(found):
        return mask

    # The blurred rim of a line is ink, too.
    first = max(int(found[0]) - 1, 0)
    last = int(found[-1]) + 1
    above = mask[max(first - 2, 0) : first].any(0)
    below = mask[last + 1 : last + 3].any(0)
    is_stroke = ndimage.binary_dilation(above, iterations=last - first + 2) & below
    kept = mask.copy()
    kept[first : last + 1] &= is_stroke
    return kept


class Piece(NamedTuple):
    """A connected part of the ink, and its bounds."""

    mask: np.ndarray
    rows: slice
    columns: slice

    @property
    def height(self) -> int:
        return int(self.rows.stop - self.rows.start)

    @property
    def width(self) -> int:
        return int(self.columns.stop - self.columns.start)

    @property
    def size(self) -> int:
        return max(self.height, self.width)


def _pieces(mask: np.ndarray, margin: int) -> list[Piece]:
    """Return parts that lie mostly within the cell, and are no remains of its sides."""
    labels, n_parts = ndimage.label(mask, EIGHT)
    inner = labels[margin:-margin, margin:-margin]
    whole = np.bincount(labels.ravel(), minlength=n_parts + 1)
    inside = np.bincount(inner.ravel(), minlength=n_parts + 1)
    shallow = SHALLOW * min(inner.shape)
    bounds = ndimage.find_objects(labels)
    return [
        Piece(labels == number, *bounds[number - 1])
        for number, where in enumerate(ndimage.find_objects(inner, n_parts), 1)
        if where is not None
        and inside[number] >= whole[number] / 2
        and _depth(where, inner.shape) > shallow
    ]


def _depth(where: tuple[slice, slice], shape: tuple[int, ...]) -> float:
    """Return how far a part reaches from a side that it touches into the cell."""
    depths = [np.inf]
    for side, size in zip(where, shape, strict=True):
        if side.start <= 1:
            depths.append(side.stop)
        if side.stop >= size - 1:
            depths.append(size - side.start)
    return float(min(depths))


def _groups(parts: list[Piece]) -> list[list[Piece]]:
    """Join the parts of each digit."""
    parts = sorted(parts, key=lambda part: -part.size)
    groups: list[list[Piece]] = []
    for part in parts:
        if part.size < SPECK * parts[0].size:
            break
        homes = [one for one in groups if any(_belongs(part, other) for other in one)]
        joined = [part, *(other for home in homes for other in home)]
        if len(homes) > 1 and not _is_narrow(joined):
            # A dot between two digits does not make them one.
            homes = [
                min(homes, key=lambda one: min(_gap(part, other) for other in one))
            ]
            joined = [part, *homes[0]]
        groups = [one for one in groups if all(one is not home for home in homes)]
        groups.append(joined)
    return groups


def _is_narrow(parts: list[Piece]) -> bool:
    """Return whether parts are together as narrow as one digit."""
    width = max(part.columns.stop for part in parts)
    width -= min(part.columns.start for part in parts)
    return bool(width <= WIDEST * _height(parts))


def _belongs(part: Piece, main: Piece) -> bool:
    """Return whether a part is a piece of the digit that a larger part belongs to."""
    distance = _gap(part, main)
    if _shared(part.columns, main.columns) > ABOVE * part.width:
        return bool(distance <= NEAR_ABOVE * main.size)

    low, high = sorted([part.height, main.height])
    is_flag = low < LOWER * high or _shared(part.rows, main.rows) < BESIDE * low
    is_broken = distance <= max(BROKEN * main.size, BROKEN_PIXELS)
    width = part.width + main.width - _shared(part.columns, main.columns)
    height = part.height + main.height - _shared(part.rows, main.rows)
    return bool(
        (is_flag and distance <= NEAR * main.size and width <= WIDEST_FLAG * height)
        or (is_broken and width <= WIDEST * height)
    )


def _gap(part: Piece, main: Piece) -> float:
    """Return the smallest distance of two parts, in pixels."""
    return float(ndimage.distance_transform_edt(~main.mask)[part.mask].min())


def _shared(one: slice, other: slice) -> int:
    """Return the length that two bounds share, negative if a gap is between them."""
    return int(min(one.stop, other.stop) - max(one.start, other.start))
