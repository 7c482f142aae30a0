"""The view of a page in which its grid runs along the axes."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from skdigits.preprocessing._find_digits._grid._quad import Quad
from skdigits.preprocessing._find_digits._grid._straight import project

# Sides that slant by more than this part of the grid's size hardly count.
OUTLIER = 0.005
# Sides of one line of a table lie within this part of its smallest cell.
SAME_LINE = 0.35


class Bounds(NamedTuple):
    """Bounds of all cells, each of shape (n,), once the page is brought upright."""

    top: np.ndarray
    left: np.ndarray
    bottom: np.ndarray
    right: np.ndarray


def upright_view(quads: list[Quad]) -> np.ndarray:
    """Return the projection (3, 3) that brings the sides of all cells along the axes.

    It turns, shears and changes the perspective, and keeps the size.
    """
    corners = np.array([quad.corners for quad in quads])
    centre = corners.mean((0, 1))
    size = np.ptp(corners, axis=(0, 1)).max()
    small = np.diag([1 / size, 1 / size, 1.0])
    small[:2, 2] = -centre / size
    points = project(small, corners.reshape(-1, 2))

    robust = {"loss": "soft_l1", "f_scale": OUTLIER}
    first = least_squares(_slanting, np.zeros(4), args=(points,), **robust)
    # Sides are short: their directions are less certain than the lines they form.
    lines = _lines(_upright(first.x, points))
    found = least_squares(_off_line, first.x, args=(points, lines), **robust)
    view: np.ndarray = np.diag([size, size, 1.0]) @ _matrix(found.x) @ small
    return view


def _lines(corners: np.ndarray) -> list[np.ndarray]:
    """Return which line each top, bottom, left and right side lies on."""
    rows, columns = np.moveaxis(corners, -1, 0)
    top = rows[:, :2].mean(1)
    bottom = rows[:, 2:].mean(1)
    left = columns[:, [0, 3]].mean(1)
    right = columns[:, 1:3].mean(1)
    height = SAME_LINE * float(np.percentile(bottom - top, 10))
    width = SAME_LINE * float(np.percentile(right - left, 10))
    return [
        ranks(top, height),
        ranks(bottom, height),
        ranks(left, width),
        ranks(right, width),
    ]


def _off_line(
    values: np.ndarray, points: np.ndarray, lines: list[np.ndarray]
) -> np.ndarray:
    """Return how far both ends of each side are off the mean of its line."""
    rows, columns = np.moveaxis(_upright(values, points), -1, 0)
    ends = [rows[:, :2], rows[:, 2:], columns[:, [0, 3]], columns[:, 1:3]]
    off = []
    for places, line in zip(ends, lines, strict=True):
        means = np.bincount(line, places.mean(1)) / np.bincount(line)
        off.append((places - means[line, np.newaxis]).ravel())
    return np.concatenate(off)


def ranks(places: np.ndarray, near: float) -> np.ndarray:
    """Return ranks from 0, where places that follow within ``near`` share one."""
    order = np.argsort(places)
    steps = np.diff(places[order]) > near
    ranked = np.empty(len(places), int)
    ranked[order] = np.concatenate([[0], np.cumsum(steps)])
    return ranked


def bounds_of(quads: list[Quad], view: np.ndarray) -> Bounds:
    """Return the mean bounds of cells in an upright view."""
    corners = np.array([quad.corners for quad in quads])
    upright = project(view, corners.reshape(-1, 2)).reshape(corners.shape)
    rows, columns = np.moveaxis(upright, -1, 0)
    return Bounds(
        rows[:, :2].mean(1),
        columns[:, [0, 3]].mean(1),
        rows[:, 2:].mean(1),
        columns[:, 1:3].mean(1),
    )


def slants_of(quads: list[Quad], view: np.ndarray) -> np.ndarray:
    """Return how far the ends of each cell's sides are apart across them, at most."""
    corners = np.array([quad.corners for quad in quads])
    upright = project(view, corners.reshape(-1, 2)).reshape(corners.shape)
    slants: np.ndarray = np.abs(_ends_apart(upright)).max(0)
    return slants


def _matrix(values: np.ndarray) -> np.ndarray:
    """Return a turn, a shear and a change of perspective as one projection."""
    angle, shear, down, across = values
    sine = np.sin(angle)
    cosine = np.cos(angle)
    return np.array([[cosine, -sine, 0], [sine + shear, cosine, 0], [down, across, 1]])


def _upright(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the corners (n, 4, 2) of all cells in the view."""
    return project(_matrix(values), points).reshape(-1, 4, 2)


def _slanting(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return how far the ends of each side are apart across it."""
    return _ends_apart(_upright(values, points)).ravel()


def _ends_apart(corners: np.ndarray) -> np.ndarray:
    """Return how far the ends of the sides (4, n) of upright cells are apart."""
    rows, columns = np.moveaxis(corners, -1, 0)
    return np.stack(
        [
            rows[:, 0] - rows[:, 1],
            rows[:, 3] - rows[:, 2],
            columns[:, 0] - columns[:, 3],
            columns[:, 1] - columns[:, 2],
        ]
    )
