"""What lines enclose, but is no cell: hollows of digits, slits and frames."""

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._clean_up._specks import EIGHT
from skdigits.preprocessing._find_digits._grid._quad import Quad

# The cells that a piece of ink encloses are at least so many times as large as this
# ink: a digit with a loop is more stroke than hollow.
ENCLOSED = 1.0
# The ink next to a side is within so many pixels.
BESIDE = 3
# A frame holds more than so many others, which are more than this part of all, or
# cover this part of it.
HELD = 2
OF_ALL = 0.35
COVERED = 0.4
# A cell is at least so large as a part of the others.
OF_OTHERS = 0.3


def without_hollows(quads: list[Quad], mask: np.ndarray) -> list[Quad]:
    """Return the cells among what the lines of a mask enclose."""
    return _without_small(_without_nested(_without_loops(quads, mask)))


def _without_loops(quads: list[Quad], mask: np.ndarray) -> list[Quad]:
    """Drop what is enclosed by more ink than it is large, as hollows of digits are."""
    labels, n_labels = ndimage.label(mask, EIGHT)
    ink = np.bincount(labels.ravel(), minlength=n_labels + 1)
    near = ndimage.maximum_filter(labels, 2 * BESIDE + 1, mode="constant")
    owners = np.array([_owner(quad, near) for quad in quads], int)
    areas = np.array([quad.height * quad.width for quad in quads])
    enclosed = np.bincount(owners, areas, minlength=n_labels + 1)
    is_grid = enclosed >= ENCLOSED * ink
    # Without ink beside it, a cell is none of a digit.
    is_grid[0] = True
    return [quad for quad, owner in zip(quads, owners, strict=True) if is_grid[owner]]


def _owner(quad: Quad, labels: np.ndarray) -> int:
    """Return the label that is most frequent along the sides, or 0."""
    parts = np.linspace(0, 1, 20)[:, np.newaxis, np.newaxis]
    points = (1 - parts) * quad.corners + parts * np.roll(quad.corners, -1, 0)
    rows, columns = np.round(points.reshape(-1, 2)).astype(int).T
    rows = rows.clip(0, labels.shape[0] - 1)
    columns = columns.clip(0, labels.shape[1] - 1)
    return int(np.bincount(labels[rows, columns]).argmax())


def _without_nested(quads: list[Quad]) -> list[Quad]:
    """Drop what is around a whole grid, a frame or the sheet, and what is in a cell."""
    if not quads:
        return quads
    middles = np.array([quad.corners.mean(0) for quad in quads])
    areas = np.array([quad.height * quad.width for quad in quads])
    holds = np.array([quad.contains(middles) for quad in quads])
    np.fill_diagonal(holds, False)

    n_held = holds.sum(1)
    is_most = n_held > OF_ALL * len(quads)
    is_frame = (n_held > HELD) & (is_most | (holds @ areas > COVERED * areas))
    is_hollow = holds[~is_frame].any(0)
    dropped = is_frame | is_hollow
    return [quad for quad, is_out in zip(quads, dropped, strict=True) if not is_out]


def _without_small(quads: list[Quad]) -> list[Quad]:
    """Drop the hollows of digits and slits between double lines."""
    if not quads:
        return quads
    sides = np.array([min(quad.height, quad.width) for quad in quads])
    kept = sides >= OF_OTHERS * np.median(sides)
    return [quad for quad, is_kept in zip(quads, kept, strict=True) if is_kept]
