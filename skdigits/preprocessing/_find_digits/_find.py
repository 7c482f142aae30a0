"""Search for the digits on a page."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from skdigits.preprocessing._find_digits._cells import digits_in_cells
from skdigits.preprocessing._find_digits._found import FoundDigit
from skdigits.preprocessing._find_digits._free import digits_in_lines

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin


def find_digits(
    image: ArrayLike,
    *,
    layout: Literal["free", "cells"] = "free",
    model: "ClassifierMixin | None" = None,
    dark: bool | None = None,
    keep_empty: bool = False,
) -> list[FoundDigit]:
    """Find the digits on a page, in reading order."""
    grey = np.asarray(image)
    if layout == "cells":
        return digits_in_cells(grey, dark, model, keep_empty)
    return digits_in_lines(grey, dark, model)
