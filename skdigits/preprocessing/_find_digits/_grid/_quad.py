"""A quadrilateral on the page."""

from typing import NamedTuple

import numpy as np


class Quad(NamedTuple):
    """A cell's corners as (row, column): top left, top right, bottom right and left."""

    corners: np.ndarray

    @property
    def sides(self) -> np.ndarray:
        """Lengths of the top, right, bottom and left side."""
        steps = np.roll(self.corners, -1, 0) - self.corners
        lengths: np.ndarray = np.hypot(*steps.T)
        return lengths

    @property
    def height(self) -> float:
        return float((self.sides[1] + self.sides[3]) / 2)

    @property
    def width(self) -> float:
        return float((self.sides[0] + self.sides[2]) / 2)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which points (n, 2) lie within."""
        start = self.corners[:, np.newaxis]
        way = np.roll(self.corners, -1, 0)[:, np.newaxis] - start
        step = points - start
        turn = way[..., 1] * step[..., 0] - way[..., 0] * step[..., 1]
        inside: np.ndarray = (turn > 0).all(0)
        return inside
