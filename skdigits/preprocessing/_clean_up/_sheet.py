"""A sheet of paper on a desk that is darker or brighter."""

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from skdigits.preprocessing._clean_up._levels import reduced, split

# The shorter side of the small image on which the sheet is looked for, in pixels.
COARSE = 80
# Strokes are narrower than this part of a side: the opening takes them off the sheet.
STROKE = 0.15
# Desk and sheet explain this part of the variance: falling light explains less.
EXPLAINED = 0.7
# A sheet takes up at least this part of the image …
SMALLEST = 0.15
# … and at most this part of its rim, and one of its corners.
RIM = 0.3
CORNERS = 0.25
# Desk and sheet differ by this part of the greys from black to the brightest value.
STEP = 0.1
# The edge is as sharp as this part of the whole difference, which a shadow is not.
SHARP = 0.7
# It fills this part of its hull, and its hull this part of the smallest rectangle
# around it: a bold bright digit has hollows, and the ring of a bold 0 is round.
SOLID = 0.8
RECTANGULAR = 0.82
# It is not longer than so many times its width, as a bold 1 is.
LONGEST = 3
# The sheet loses this margin, in pixels of the small image: its edge is no stroke.
MARGIN = 2


def find_sheet(grey: np.ndarray) -> np.ndarray | None:
    """Return the mask of the sheet, or None if the image shows no desk."""
    factor = max(1, min(grey.shape) // COARSE)
    small = ndimage.median_filter(reduced(grey, factor), 3, mode="nearest")
    window = max(3, int(STROKE * min(small.shape)) | 1)
    size = (window, window)
    found = _bright_sheet(ndimage.grey_opening(small, size, mode="nearest"), small)
    if found is None:
        closed = ndimage.grey_closing(small, size, mode="nearest")
        found = _bright_sheet(-closed, -small)
    if found is None:
        return None

    hull = _hull(found)
    inner = ndimage.binary_erosion(hull, iterations=MARGIN, border_value=1)
    if not inner.any() or not _is_rectangle(hull, found):
        return None
    mask = np.zeros(grey.shape, bool)
    large = inner.repeat(factor, 0).repeat(factor, 1)
    mask[: large.shape[0], : large.shape[1]] = large
    return mask


def plane(grey: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the plane through most of the pixels within the mask, strokes left out."""
    rows, columns = np.indices(grey.shape)
    terms = np.stack([np.ones(grey.shape), rows, columns], axis=-1)
    known = terms[mask]
    values = grey[mask]
    distance = np.abs(values - np.median(values))
    for _ in range(2):
        near = distance <= np.percentile(distance, 70)
        slopes = np.linalg.lstsq(known[near], values[near], rcond=None)[0]
        distance = np.abs(values - known @ slopes)
    fitted: np.ndarray = terms @ slopes
    return fitted


def _bright_sheet(ground: np.ndarray, small: np.ndarray) -> np.ndarray | None:
    """Return the largest bright part, if it looks like a sheet and not like light."""
    threshold, explained = split(ground)
    if explained < EXPLAINED:
        return None
    sheet = _largest(ground > threshold)
    rim = np.concatenate([sheet[0], sheet[-1], sheet[1:-1, 0], sheet[1:-1, -1]])
    if sheet.mean() < SMALLEST or rim.mean() > RIM:
        return None
    if sheet[[0, 0, -1, -1], [0, -1, 0, -1]].mean() > CORNERS:
        return None

    sheet = ndimage.binary_fill_holes(sheet)
    if not _has_sharp_edge(sheet, ground):
        return None
    return _largest(small > threshold)


def _has_sharp_edge(sheet: np.ndarray, ground: np.ndarray) -> bool:
    """Return whether the step at the edge is most of the whole difference."""
    just_inside = ndimage.binary_erosion(sheet, border_value=1)
    within = just_inside & ~ndimage.binary_erosion(sheet, iterations=3, border_value=1)
    around = ndimage.binary_dilation(sheet, iterations=3)
    around &= ~ndimage.binary_dilation(sheet)
    if sheet.all() or not within.any() or not around.any():
        return False

    jump = abs(ground[within].mean() - ground[around].mean())
    whole = abs(ground[sheet].mean() - ground[~sheet].mean())
    return bool(whole >= STEP and jump >= SHARP * whole)


def _is_rectangle(hull: np.ndarray, sheet: np.ndarray) -> bool:
    """Return whether a hull is a solid rectangle, turned or not."""
    if (sheet & hull).sum() < SOLID * hull.sum():
        return False

    points = np.argwhere(hull)
    angles = np.deg2rad(np.arange(0, 90, 3))
    along = np.ptp(points @ [np.cos(angles), np.sin(angles)], axis=0) + 1
    across = np.ptp(points @ [np.sin(angles), -np.cos(angles)], axis=0) + 1
    best = (along * across).argmin()
    sides = sorted([along[best], across[best]])
    is_full = len(points) >= RECTANGULAR * sides[0] * sides[1]
    return bool(is_full and sides[1] <= LONGEST * sides[0])


def _largest(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), mask.ravel())
    return labels == sizes.argmax() if mask.any() else mask


def _hull(mask: np.ndarray) -> np.ndarray:
    """Return the convex hull of a mask: ink at the edge of a sheet is on the sheet."""
    outline = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    try:
        sides = ConvexHull(outline).equations
    except QhullError:  # the points lie on one line
        return mask

    rows, columns = np.indices(mask.shape)
    hull = np.ones(mask.shape, bool)
    for down, right, offset in sides:
        hull &= down * rows + right * columns + offset <= 0.5
    return hull
