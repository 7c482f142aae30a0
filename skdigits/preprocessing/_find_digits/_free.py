"""Lines of digits on a page without a grid."""

from typing import TYPE_CHECKING

import numpy as np

from skdigits.preprocessing._find_digits._found import FoundDigit

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def digits_in_lines(
    grey: np.ndarray, dark: bool | None, model: "ClassifierMixin | None"
) -> list[FoundDigit]:
    """Return the digits of all lines, in reading order."""
    raise NotImplementedError
