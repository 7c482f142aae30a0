"""Lines of digits on a page without a grid."""

from typing import TYPE_CHECKING

import numpy as np

from skdigits.preprocessing._find_digits._cut_outs import upright
from skdigits.preprocessing._find_digits._found import FoundDigit
from skdigits.preprocessing._find_digits._page_ink import (
    PageInk,
    first_factor,
    page_ink,
)
from skdigits.preprocessing._find_digits._parts import (
    Part,
    connected,
    typical_height,
    whole_digits,
    without_edges,
)
from skdigits.preprocessing._find_digits._readings import reader
from skdigits.preprocessing._find_digits._text_lines import (
    angle_of_lines,
    in_reading_order,
)
from skdigits.preprocessing._find_digits._touching import clump, digits_of

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

# Digits above the first height, in pixels of the reduced page, are reduced to less than
# the second one.
LARGE = 170
USUAL = 100


def digits_in_lines(
    grey: np.ndarray, dark: bool | None, model: "ClassifierMixin | None"
) -> list[FoundDigit]:
    """Return the digits of all lines, in reading order."""
    read = None if model is None else reader(model)
    ink, parts, owner = _ink_in_parts(grey, dark)
    if ink is None or not parts:
        return []

    angle = angle_of_lines(parts, typical_height(parts))
    parts = [part.turned(angle) for part in parts]
    height = typical_height(parts)
    parts = without_edges(parts, ink.mask.shape, height)
    digits = whole_digits(parts, height)
    clumps = [clump(one, upright(one, ink.level, owner), height) for one in digits]
    pictures = {part: cut for one in digits_of(clumps, read) for part, cut in one}

    lines = in_reading_order(list(pictures), height)
    return [
        FoundDigit(row, column, _box(part, ink.factor), pictures[part])
        for row, line in enumerate(lines)
        for column, part in enumerate(line)
    ]


def _ink_in_parts(
    grey: np.ndarray, dark: bool | None
) -> tuple[PageInk | None, list[Part], np.ndarray]:
    """Return the ink, its connected parts, and the number of the part at each pixel.

    Windows have the size of usual digits: a page of larger ones is reduced further.
    """
    factor = first_factor(grey.shape)
    while True:
        ink = page_ink(grey, dark, factor)
        if ink is None:
            return None, [], np.zeros(0)
        parts, owner = connected(ink.mask)
        height = typical_height(parts) if parts else 0.0
        if height <= LARGE:
            return ink, parts, owner
        factor *= int(np.ceil(height / USUAL))


def _box(part: Part, factor: int) -> tuple[int, int, int, int]:
    """Return the bounds of a part in pixels of the image."""
    top = int(part.rows.min()) * factor
    left = int(part.columns.min()) * factor
    bottom = (int(part.rows.max()) + 1) * factor
    right = (int(part.columns.max()) + 1) * factor
    return top, left, bottom, right
