"""Digits as small upright images."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._find_digits._parts import EDGE, Part

# Sides of cut-outs are at most so many pixels: DigitNormalizer takes them as they are.
LARGEST = 40
# Around the ink, in pixels of the cut-out.
MARGIN = 2
# The page is turned if lines differ by this angle from rows of pixels, in radians.
TURNED = np.deg2rad(0.5)


class Upright(NamedTuple):
    """The ink of a part, turned upright, and where its first pixel lies."""

    level: np.ndarray
    top: float
    left: float


def upright(part: Part, level: np.ndarray, owner: np.ndarray) -> Upright:
    """Return the ink of a part alone, its soft edge included.

    ``owner`` has the number of the part that each pixel of ``level`` belongs to.
    """
    top = max(0, part.rows.min() - EDGE)
    left = max(0, part.columns.min() - EDGE)
    where = (
        slice(top, part.rows.max() + EDGE + 1),
        slice(left, part.columns.max() + EDGE + 1),
    )
    own = np.isin(owner[where], list(part.labels))
    ink = np.where(own, level[where], 0.0)

    first_down = np.floor(part.top) - EDGE
    first_across = np.floor(part.left) - EDGE
    shape = (
        int(np.ceil(part.bottom + EDGE - first_down)),
        int(np.ceil(part.right + EDGE - first_across)),
    )
    if abs(part.angle) < TURNED:
        turn = np.eye(2)
    else:
        sine = np.sin(part.angle)
        cosine = np.cos(part.angle)
        turn = np.array([[cosine, sine], [-sine, cosine]])
    start = turn @ [first_down, first_across] - [top, left]
    turned = ndimage.affine_transform(ink, turn, start, shape, order=1)
    return Upright(turned, first_down, first_across)


def cut_out(level: np.ndarray) -> np.ndarray:
    """Return ink in uint8, cropped and reduced, with a margin."""
    rows = np.flatnonzero(level.max(1) > 0.1)
    columns = np.flatnonzero(level.max(0) > 0.1)
    if not rows.size:
        return np.zeros((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    ink = level[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    scale = min(1.0, (LARGEST - 2 * MARGIN) / max(ink.shape))
    down = _means(ink.shape[0], scale)
    across = _means(ink.shape[1], scale)
    small = down @ ink @ across.T
    largest = small.max()
    return np.pad((255 * small / largest).round().astype(np.uint8), MARGIN)


def _means(length: int, scale: float) -> np.ndarray:
    """Return weights that reduce so many pixels to means over what they cover."""
    places = np.arange(max(1, int(np.ceil(length * scale - 1e-9))))[:, np.newaxis]
    source = np.arange(length)
    covered = np.minimum((places + 1) / scale, source + 1)
    covered = covered - np.maximum(places / scale, source)
    weights: np.ndarray = covered.clip(0) * scale
    return weights
