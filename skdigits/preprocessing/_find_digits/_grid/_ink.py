"""The ink of a page with a grid: its lines are kept, and count as ink."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._ground import BLUR, DARKEST_GROUND
from skdigits.preprocessing._clean_up._levels import (
    deviation,
    scaled_means,
    without_hot_pixels,
)
from skdigits.preprocessing._clean_up._sheet import COARSE, MARGIN, find_sheet, plane
from skdigits.preprocessing._clean_up._strength import (
    NOISE,
    is_blank,
    noise_of,
    strength_of_ink,
)

# Photographs are reduced to about so many pixels: lines of printed forms are still
# more than a pixel thick.
PIXELS = 1.4e6
# The ground is a closing over this part of the shorter side, wider than a stroke.
WINDOW = 0.1
# Printed lines are paler than handwriting, down to this part of its strength …
PALE = 0.1
# … and darker than the noise by this factor: they are long, so that some pixels may be
# noise.
PALE_NOISE = 1.8
# Noise would hide pale lines on some pages: there, means count over so many pixels
# before and after each pixel along each of these turns, in degrees. Both are so many
# deviations above most: strokes across a way, and the ends of one, smear along neither.
LENGTH_OF_MEANS = 10
TURNS_OF_MEANS = np.arange(-20, 21, 4)
HIDING = 2
# They are at least this part of the strength.
FAINT = 0.14


class GridInk(NamedTuple):
    """Ink of a reduced page.

    ``ink`` is about 1 in strokes and 0 on paper, ``factor`` the reduction, and
    ``lines`` what may be a printed line.
    """

    ink: np.ndarray
    lines: np.ndarray
    factor: int


def grid_ink(grey: np.ndarray, dark: bool | None) -> GridInk | None:
    """Return the ink of a page, or None if the page is blank."""
    factor = max(1, round(np.sqrt(grey.size / PIXELS)))
    factor = min(factor, *grey.shape)
    small = scaled_means(grey, factor)
    if np.ptp(small) == 0:
        return None

    small = without_hot_pixels(small)
    page = np.ones(small.shape, bool)
    sheet = find_sheet(small)
    if sheet is not None:
        # Grids reach further to the edge of a sheet than digits.
        margin = 2 * MARGIN * max(1, min(small.shape) // COARSE) + 1
        page = ndimage.maximum_filter(sheet, margin)
        small = np.where(page, small, plane(small, sheet))
    dark = _is_dark(small) if dark is None else dark

    soft = _contrast(small, dark)
    noise = noise_of(soft)
    strength = strength_of_ink(soft, noise)
    if is_blank(strength, noise):
        return None
    lines = page & _may_be_line(soft, strength, noise)
    ink = np.where(page & (soft > NOISE * noise / 2), soft / strength, 0)
    return GridInk(ink, lines, factor)


def _may_be_line(soft: np.ndarray, strength: float, noise: float) -> np.ndarray:
    """Return which pixels are darker than paper and noise."""
    if PALE_NOISE * noise <= PALE * strength:
        clear: np.ndarray = soft > PALE * strength
        return clear

    averaged = np.maximum(_along_rows(soft), _along_rows(soft.T).T)
    averaged -= np.median(averaged)
    faint: np.ndarray = averaged > max(FAINT * strength, HIDING * deviation(averaged))
    return faint


def _along_rows(soft: np.ndarray) -> np.ndarray:
    """Return the largest mean over short ways along the rows, at any turn.

    The smaller one of the means before and after a pixel counts.
    """
    height, width = soft.shape
    values = soft.astype(np.float32)
    columns = np.arange(width)
    half = LENGTH_OF_MEANS // 2
    largest = np.full(soft.shape, -np.inf, np.float32)
    for turn in TURNS_OF_MEANS:
        shifts = np.round(np.tan(np.deg2rad(turn)) * (columns - width / 2)).astype(int)
        rows = np.arange(height)[:, np.newaxis]
        sheared = values[(rows + shifts) % height, columns]
        means = ndimage.uniform_filter1d(sheared, LENGTH_OF_MEANS, mode="nearest")
        before = means[:, (columns - half).clip(0)]
        after = means[:, (columns + half).clip(max=width - 1)]
        both = np.minimum(before, after)
        np.maximum(largest, both[(rows - shifts) % height, columns], out=largest)
    return largest


def _is_dark(grey: np.ndarray) -> bool:
    """Return whether ink is darker than the page around it.

    Ink takes up little of any window, and so differs much from its mean, while a shadow
    and the brightness beside it differ as much.
    """
    size = max(5, int(WINDOW * min(grey.shape)) | 1)
    differences = grey - ndimage.uniform_filter(grey, size, mode="nearest")
    return bool((differences**3).sum() <= 0)


def _contrast(grey: np.ndarray, dark: bool) -> np.ndarray:
    """Return how far pixels differ from the ground around them towards the ink."""
    height = grey if dark else -grey
    soft = ndimage.gaussian_filter(height, BLUR, mode="nearest")
    size = max(5, int(WINDOW * min(grey.shape)) | 1)
    # With an edge around, dark corners do not differ from a brighter ground.
    around = np.pad(soft, size, mode="edge")
    closed = ndimage.grey_closing(around, (size, size), mode="nearest")
    ground = closed[size:-size, size:-size]
    light = np.maximum(ground, DARKEST_GROUND * ground.max()) if dark else 1.0
    difference: np.ndarray = (ground - soft) / light
    difference -= np.median(difference)
    return difference
