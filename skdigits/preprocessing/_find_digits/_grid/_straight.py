"""A cell of a turned page as an upright rectangle."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from skdigits.preprocessing._find_digits._grid._quad import Quad

# What lies around a cell up to this part of its shorter side is cut out with it:
# strokes may cross its lines.
AROUND = 0.2


class StraightCell(NamedTuple):
    """Ink of a cell and of what is around it, upright.

    The cell itself is ``ink[margin:-margin, margin:-margin]``. ``to_page`` (3, 3) leads
    from (row, column, 1) in ``ink`` to those on the page, up to a factor.
    """

    ink: np.ndarray
    margin: int
    to_page: np.ndarray


def straightened(ink: np.ndarray, quad: Quad) -> StraightCell:
    """Return the ink of a quadrilateral as a rectangle of its mean sides."""
    height = max(2, round(quad.height))
    width = max(2, round(quad.width))
    margin = int(np.ceil(AROUND * min(height, width)))
    upright = np.array([[0, 0], [0, width], [height, width], [height, 0]], float)
    to_page = projection(upright + margin, quad.corners)

    rows, columns = np.indices((height + 2 * margin, width + 2 * margin))
    places = project(to_page, np.column_stack([rows.ravel(), columns.ravel()]))
    found = ndimage.map_coordinates(ink, places.T, order=1, mode="constant")
    return StraightCell(found.reshape(rows.shape), margin, to_page)


def projection(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the projection (3, 3) that brings four points to four others."""
    rows = []
    for (a, b), (c, d) in zip(start, end, strict=True):
        rows.append([a, b, 1, 0, 0, 0, -a * c, -b * c])
        rows.append([0, 0, 0, a, b, 1, -a * d, -b * d])
    values = np.linalg.solve(np.array(rows), end.ravel())
    return np.append(values, 1.0).reshape(3, 3)


def project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) after a projection."""
    lifted = points @ matrix[:, :2].T + matrix[:, 2]
    projected: np.ndarray = lifted[:, :2] / lifted[:, 2:]
    return projected
