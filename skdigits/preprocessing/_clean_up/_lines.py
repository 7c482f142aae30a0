"""Printed lines and boxes: they are removed where they do not cross a stroke."""

import numpy as np
from scipy import ndimage

# Slopes of lines that are looked for: an image is seldom turned further.
SLOPES = np.tan(np.deg2rad(np.arange(-6, 6.1, 0.5)))
# A printed line crosses the whole page: ink covers this part of its way. A shorter way,
# across a corner of the page, must be covered as a whole.
COVERED = 0.65
COVERED_IN_CORNERS = 0.9
# Ways across a corner that are shorter than this part of a side are not looked at.
SHORTEST = 0.25
# A line begins and ends this near to the edges of the page, as parts of a side or in
# pixels; a stroke of a digit that was cut out closely does not.
END = 0.04
END_PIXELS = 2
# Lines are thinner than this part of the longer side, or than so many pixels.
THIN = 0.03
THIN_PIXELS = 6
# This part of what covers the way is thin; the rest is strokes and other lines across.
THIN_PART = 0.3
# Ink on a line is a stroke where it is thicker than the line by this factor and
# addend: the line's own thickness varies with its place between the pixels.
THICKER = 1.6
THICKER_PIXELS = 1.5
# A box is at least so large, in pixels; its sides lie in this part of its bounds.
SMALLEST_BOX = 12
SIDE_OF_BOX = 0.1
# Three sides of a box are covered by this part, the fourth by half.
COVERED_SIDE = 0.85
COVERED_FOURTH = 0.5


def without_lines(
    ink: np.ndarray, page: np.ndarray, covered: float = COVERED
) -> np.ndarray:
    """Remove straight thin lines that cross the page; strokes across them stay.

    What is left of the lines down the page are their crossings with lines along the
    rows, which thus stay whole, and are as thin there as elsewhere.
    """
    kept: np.ndarray = ink & ~thin_lines(ink.T, page.T, covered).T
    kept &= ~thin_lines(kept, page, covered)
    return kept


def without_boxes(ink: np.ndarray) -> np.ndarray:
    """Remove the sides of frames, if they are drawn with straight thin lines."""
    kept = ink.copy()
    labels, _ = ndimage.label(ink, np.ones((3, 3)))
    for number, where in enumerate(ndimage.find_objects(labels), 1):
        part = labels[where] == number
        if _is_box(part):
            inside = without_lines(part, np.ones(part.shape, bool))
            kept[where] &= ~(part & ~inside)
    return kept


def _is_box(part: np.ndarray) -> bool:
    """Return whether ink runs along all four sides of the bounds."""
    if min(part.shape) < SMALLEST_BOX:
        return False
    height = max(2, int(SIDE_OF_BOX * part.shape[0]))
    width = max(2, int(SIDE_OF_BOX * part.shape[1]))
    covered = sorted(
        [
            part[:height].any(0).mean(),
            part[-height:].any(0).mean(),
            part[:, :width].any(1).mean(),
            part[:, -width:].any(1).mean(),
        ]
    )
    return bool(covered[0] > COVERED_FOURTH and covered[1] > COVERED_SIDE)


def thin_lines(
    ink: np.ndarray, page: np.ndarray, covered: float, slopes: np.ndarray = SLOPES
) -> np.ndarray:
    """Return the pixels of thin lines along the rows."""
    lines = _long_lines(ink, page, covered, slopes)
    if not lines.any():
        return lines

    runs = _runs_down(ink)
    found = runs[lines]
    thin_ones = found[found <= max(THIN_PIXELS, THIN * max(ink.shape))]
    if len(thin_ones) < THIN_PART * len(found):
        return np.zeros_like(ink)
    thickness = np.median(thin_ones)
    # A line is seldom exactly as straight as the pixels that were counted.
    around = ndimage.binary_dilation(lines, np.ones((3, 1)), iterations=2)
    thin = runs <= THICKER * thickness + THICKER_PIXELS
    removed: np.ndarray = around & ink & thin
    return removed


def _long_lines(
    ink: np.ndarray, page: np.ndarray, covered: float, slopes: np.ndarray
) -> np.ndarray:
    """Return ink on straight ways across the page that ink covers, at any slope."""
    found = np.zeros_like(ink)
    rows, columns = ink.nonzero()
    height, width = ink.shape
    # A page has no hollows: in each column, it goes from one row to another.
    starts = page.argmax(0)
    stops = starts + page.sum(0)
    for slope in slopes:
        shifts = np.round(slope * (np.arange(width) - width / 2)).astype(int)
        shifts -= shifts.min()
        met = np.zeros((height + shifts.max() + 1, width), bool)
        met[rows + shifts[columns], columns] = True
        met[1:] |= met[:-1].copy()

        full = _full_ways(met, starts + shifts, stops + shifts, covered)
        on_line = full[rows + shifts[columns]]
        found[rows[on_line], columns[on_line]] = True
    return found


def _full_ways(
    met: np.ndarray, starts: np.ndarray, stops: np.ndarray, covered: float
) -> np.ndarray:
    """Return which sloping ways ink covers, from one edge of the page to the other."""
    n_ways, width = met.shape
    counts = met.sum(1)
    if counts.max() < SHORTEST * width:
        return np.zeros(n_ways, bool)

    lengths = _lengths(starts, stops, n_ways)
    part = np.where(lengths < covered * width, COVERED_IN_CORNERS, covered)
    full: np.ndarray = (counts >= part * lengths) & (lengths >= SHORTEST * width)
    long = np.flatnonzero(full)
    along = long[:, np.newaxis]
    pages = (along >= starts) & (along < stops)

    gap = max(END_PIXELS, END * width)
    for ink, page in ((met[long], pages), (met[long, ::-1], pages[:, ::-1])):
        full[long] &= ink.argmax(1) - page.argmax(1) <= gap
    return full


def _lengths(starts: np.ndarray, stops: np.ndarray, n_ways: int) -> np.ndarray:
    """Return how many columns, from start to stop each, hold each sloping way."""
    begun = np.bincount(starts, minlength=n_ways)
    ended = np.bincount(stops, minlength=n_ways)
    lengths: np.ndarray = (begun - ended).cumsum()
    return lengths


def _runs_down(ink: np.ndarray) -> np.ndarray:
    """Return for each pixel of ink how many follow each other in its column there."""
    height, width = ink.shape
    # Within a column, the number of gaps above is the same in one run only.
    numbers = np.cumsum(~ink, 0) + np.arange(width) * (height + 1)
    sizes = np.bincount(numbers[ink], minlength=(height + 1) * width)
    return np.where(ink, sizes[numbers], 0)
