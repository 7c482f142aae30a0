"""Digits in the cells of a grid."""

from typing import TYPE_CHECKING

import numpy as np

from skdigits.preprocessing._find_digits._found import FoundDigit

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def digits_in_cells(
    grey: np.ndarray, dark: bool | None, model: "ClassifierMixin | None", keep_empty: bool
) -> list[FoundDigit]:
    """Return the digits of all cells, row by row, in reading order."""
    raise NotImplementedError
