"""The view of a page in which its grid runs along the axes."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from skdigits.preprocessing._find_digits._grid import Quad
from skdigits.preprocessing._find_digits._grid_straight import project

# Sides that slant by more than this part of the grid's size hardly count.
OUTLIER = 0.005


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

    found = least_squares(
        _slanting,
        np.zeros(4),
        args=(project(small, corners.reshape(-1, 2)),),
        loss="soft_l1",
        f_scale=OUTLIER,
    )
    view: np.ndarray = np.diag([size, size, 1.0]) @ _matrix(found.x) @ small
    return view


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


def _matrix(values: np.ndarray) -> np.ndarray:
    """Return a turn, a shear and a change of perspective as one projection."""
    angle, shear, down, across = values
    sine = np.sin(angle)
    cosine = np.cos(angle)
    return np.array([[cosine, -sine, 0], [sine + shear, cosine, 0], [down, across, 1]])


def _slanting(values: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return how far the ends of each side are apart across it."""
    upright = project(_matrix(values), corners).reshape(-1, 4, 2)
    rows, columns = np.moveaxis(upright, -1, 0)
    return np.concatenate(
        [
            rows[:, 0] - rows[:, 1],
            rows[:, 3] - rows[:, 2],
            columns[:, 0] - columns[:, 3],
            columns[:, 1] - columns[:, 2],
        ]
    )
