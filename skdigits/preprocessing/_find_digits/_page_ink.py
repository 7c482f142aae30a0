"""The ink of a page of many digits, without its desk, its light and its lines."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._ground import contrast
from skdigits.preprocessing._clean_up._ink import THRESHOLD
from skdigits.preprocessing._clean_up._levels import (
    reduced,
    scaled_means,
    without_hot_pixels,
)
from skdigits.preprocessing._clean_up._lines import COVERED, thin_lines
from skdigits.preprocessing._clean_up._sheet import find_sheet, plane
from skdigits.preprocessing._clean_up._strength import (
    hidden,
    is_blank,
    noise_of,
    strength_of_ink,
)

# Photographs are reduced by a whole factor to at least so many pixels: digits of a
# page are then still tens of pixels high, and a page takes about a second.
N_PIXELS = 1_200_000
# The window of the ground, in pixels of such a page and in parts of the shorter side of
# a small one, is wider than strokes.
WINDOW = 60
PART_OF_SIDE = 0.4
# The longest shorter side of an image on which the polarity is judged, in pixels, and
# the window of its median as a part of that.
COARSE = 110
MEDIAN = 0.15
# The ground is smoothed over this part of its window.
SMOOTHED = 0.3
# Lines are looked for in strips of this part of the shorter side, but not narrower than
# so many pixels: a sheet that is not flat bends them.
STRIP = 1 / 3
NARROWEST_STRIP = 100
# A line of this part of the strength of the ink is taken off.
FAINT_LINE = 0.2
# Lines of less than this part are lighter than strokes.
LIGHT_LINE = 0.75
# Without its lines, the ink of a page is stronger by this factor.
STRONGER = 1.15
# Slopes of lines: a page is turned by up to 12°, and lines differ from that a little.
SLOPES = np.tan(np.deg2rad(np.arange(-14, 14.1, 0.5)))


class PageInk(NamedTuple):
    """The ink of a reduced page."""

    mask: np.ndarray
    """Which pixels are ink."""
    level: np.ndarray
    """How much ink there is, from 0 to 1, soft edges around the mask included."""
    factor: int
    """How many pixels of the image make one of the page."""


def first_factor(shape: tuple[int, ...]) -> int:
    """Return by which factor a photograph is reduced at first."""
    height, width = shape
    return max(1, min(int(np.sqrt(height * width / N_PIXELS)), height, width))


def page_ink(image: np.ndarray, dark: bool | None, factor: int) -> PageInk | None:
    """Return the ink of a page, or None if there is nothing but noise."""
    grey = scaled_means(image, factor)
    if np.ptp(grey) == 0:
        return None

    grey = without_hot_pixels(grey)
    if dark is None:
        dark = _is_dark(grey)
    page = np.ones(grey.shape, bool)
    sheet = find_sheet(_without_strokes(grey, dark))
    if sheet is not None:
        page = sheet
        grey = np.where(sheet, grey, plane(grey, sheet))

    # The window is as wide on any page: light is followed as closely as digits allow.
    window = _window(grey)
    sharp, soft = contrast(grey, dark, window, int(SMOOTHED * window))
    noise = noise_of(soft)
    strength = strength_of_ink(soft[page], noise)
    if is_blank(strength, noise):
        return None

    mask, lines = _without_lines(soft, page, strength, noise)
    # Lines of a grid can be most of what is strong: the ink is what is left.
    left = float(np.percentile(soft[mask], 75)) if mask.any() else 0.0
    if lines.any() and left > STRONGER * strength:
        strength = left
        mask, lines = _without_lines(soft, page, strength, noise)
    return PageInk(mask, (sharp / strength).clip(0, 1), factor)


def _is_dark(grey: np.ndarray) -> bool:
    """Return whether strokes are darker than what surrounds them.

    A median over a window of some digits follows the light.
    """
    small = reduced(grey, -(-min(grey.shape) // COARSE))
    window = max(5, int(MEDIAN * min(small.shape)) | 1)
    differences = small - ndimage.median_filter(small, window, mode="reflect")
    darker = np.square(differences.clip(max=0)).sum()
    return bool(darker >= np.square(differences.clip(min=0)).sum())


def _without_strokes(grey: np.ndarray, dark: bool) -> np.ndarray:
    """Return the page behind its strokes: many of them would pass for a desk."""
    width = _window(grey) // 2 | 1
    take = ndimage.grey_closing if dark else ndimage.grey_opening
    found: np.ndarray = take(grey, (width, width), mode="nearest")
    return found


def _window(grey: np.ndarray) -> int:
    """Return the window of the ground, an odd number of pixels."""
    return max(5, int(min(WINDOW, PART_OF_SIDE * min(grey.shape))) | 1)


def _without_lines(
    soft: np.ndarray, page: np.ndarray, strength: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels are ink, and which belong to printed lines instead."""
    least = hidden(noise, strength)
    mask = page & (soft > max(THRESHOLD * strength, least))
    lines = _lines(page & (soft > max(FAINT_LINE * strength, least)), page)
    if not lines.any():
        return mask, lines

    # Strokes along a line stay if they are darker.
    tone = float(np.percentile(soft[lines], 75))
    if tone < LIGHT_LINE * strength:
        lines &= soft < (tone + strength) / 2
    return mask & ~lines, lines


def _lines(mask: np.ndarray, page: np.ndarray) -> np.ndarray:
    """Return the pixels of printed lines, in strips down and across the page."""
    found = np.zeros_like(mask)
    for ink, whole, lines in ((mask, page, found), (mask.T, page.T, found.T)):
        width = max(NARROWEST_STRIP, int(STRIP * min(mask.shape)))
        n_strips = max(1, round(ink.shape[1] / width))
        edges = np.linspace(0, ink.shape[1], n_strips + 1).astype(int)
        for left, right in pairwise(edges):
            strip = slice(left, right)
            lines[:, strip] |= thin_lines(
                ink[:, strip], whole[:, strip], COVERED, SLOPES
            )
    return found
