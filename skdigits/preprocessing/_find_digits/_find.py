"""Search for the digits on a page."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from skdigits.preprocessing._find_digits._cells import digits_in_cells
from skdigits.preprocessing._find_digits._found import FoundDigit
from skdigits.preprocessing._find_digits._free import digits_in_lines
from skdigits.preprocessing._pages import checked_page

if TYPE_CHECKING:
    from PIL import Image
    from sklearn.base import ClassifierMixin

LAYOUTS = ("free", "cells")


def find_digits(
    image: "ArrayLike | Image.Image",
    *,
    layout: Literal["free", "cells"] = "free",
    model: "ClassifierMixin | None" = None,
    dark: bool | None = None,
    keep_empty: bool = False,
) -> list[FoundDigit]:
    """Find the digits on a page, in reading order, and cut them out.

    The page may be a photograph or a scan: as in `find_ink`, uneven light, a desk,
    printed lines and specks are taken off.

    Parameters
    ----------
    image : array-like of shape (height, width), or PIL.Image.Image
        The page: grey values of any range, or an image of Pillow of any mode.
    layout : {"free", "cells"}, default="free"
        How digits stand on the page: ``"free"`` for lines of digits such as numbers and
        dates, ``"cells"`` for the cells of a printed grid.
    model : estimator, default=None
        A fitted classifier with ``predict_proba``, or a Pipeline that ends with one. It
        reads what may be digits that touch each other, and the most probable cuts are
        made. None cuts by the shape alone, which is right less often. Classifiers of
        other libraries need a `DigitNormalizer` as the first step of a Pipeline. Those
        of skdigits alone are handed rows of square images like MNIST's, of the numbers
        that they were fitted to.
    dark : bool, default=None
        Whether ink is darker than the page. None decides by the strokes.
    keep_empty : bool, default=False
        With ``layout="cells"``, whether cells without a digit are returned, too.

    Returns
    -------
    list of FoundDigit
        The digits, line by line, or cell by cell in rows, from left to right. A blank
        page has none.

    Raises
    ------
    ValueError
        If the image is not a 2-D array of finite numbers, a parameter is invalid, the
        model needs a `DigitNormalizer`, or ``layout="cells"`` finds no grid.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    TypeError
        If the model is no classifier with ``predict_proba``.

    See Also
    --------
    find_ink : Cleans a page with one digit.
    DigitNormalizer : Makes digits like MNIST's of the cut-outs.

    Notes
    -----
    With ``layout="free"``, the page may be turned by up to 12°, and lines may have
    slopes of their own. Digits are upright on their lines. All of a page have about one
    size, ± 25 %, from a thirtieth to a third of the page's shorter side. Text in
    columns is read column by column, if a gap of more than two digits runs down between
    them.

    1. Pages of 4.8 million pixels and more are reduced by a whole factor, to 1.2
       million or more; further, if digits are still higher than 170 pixels.
    2. The ink is what differs from its ground by 40 % of what most ink does. Lines of
       squared and ruled paper, up to 14° from the sides of the page, are removed where
       they are thin and no darker than strokes.
    3. Connected ink is a part. The height that half of the ink reaches is the typical
       one. Parts below 0.42 of it are marks, such as dots, commas and dashes, unless
       they lie close to a digit whose pieces they are.
    4. Wide parts are digits that touch each other, perhaps. Ways from the top to the
       bottom that cross little ink are candidates for cuts. Heights, widths and the ink
       that is crossed, and with a model the probabilities of what is read on both
       sides, decide on the best cuts, or on none.
    5. The turn of the page is the one at which neighbours lie on common lines. From
       left to right, each digit continues the line that comes nearest.

    With ``layout="cells"``, the page shows one or several grids, or boxes in rows. It
    may be turned by up to 12° and seen from aside. Rows and columns may have unequal
    sizes, and lines small gaps. A cell has the place of the first row and column that
    it covers, and may hold several digits.

    1. Long thin runs of ink are lines, and what they enclose are cells. Four straight
       sides are fitted to each.
    2. One projection brings all cells upright. Those that fit no row and no column are
       put right, and those that gaps have joined are separated.
    3. In each cell, lines along the sides are taken off, except for strokes that cross
       them. What is small beside the cell and the digits of the page is dust.
    4. Parts that are wider than 1.4 typical heights are cut if they look like two
       digits; with a model, those that are wider than 0.9 if it reads two.

    The constants were chosen on pages that were composed from MNIST's training digits.

    Examples
    --------
    Two lines of strokes, with a dot that is no digit:

    >>> import numpy as np
    >>> from skdigits.preprocessing import find_digits
    >>> page = np.full((150, 200), 220)
    >>> for top, left in [(20, 30), (20, 60), (90, 30), (90, 150)]:
    ...     page[top : top + 40, left : left + 6] = 40
    >>> page[55:60, 75:80] = 40
    >>> for digit in find_digits(page):
    ...     print(digit.row, digit.column, digit.box)
    0 0 (20, 30, 60, 36)
    0 1 (20, 60, 60, 66)
    1 0 (90, 30, 130, 36)
    1 1 (90, 150, 130, 156)

    A classifier behind a `DigitNormalizer` reads the cut-outs of a page::

        model.predict([digit.cut_out for digit in find_digits(page, model=model)])
    """
    _check_parameters(layout, dark, keep_empty)
    grey = checked_page(image)
    if layout == "cells":
        return digits_in_cells(grey, dark, model, keep_empty)
    return digits_in_lines(grey, dark, model)


def _check_parameters(layout: Any, dark: Any, keep_empty: Any) -> None:
    """Raise an error for values that a parameter does not have."""
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(
            "The 'layout' parameter of find_digits must be a str among {'cells', "
            f"'free'}}. Got {layout!r} instead: pass 'free' for lines of digits, "
            "'cells' for a printed grid."
        )

    if dark is not None and not isinstance(dark, bool | np.bool_):
        raise ValueError(
            "The 'dark' parameter of find_digits must be a bool or None. Got "
            f"{dark!r} instead: pass None to have it decided by the strokes."
        )

    if not isinstance(keep_empty, bool | np.bool_):
        raise ValueError(
            "The 'keep_empty' parameter of find_digits must be a bool. Got "
            f"{keep_empty!r} instead: pass True or False."
        )

    if keep_empty and layout == "free":
        raise ValueError(
            "keep_empty=True with layout='free', which has no cells that could be "
            "empty: pass layout='cells' for a printed grid, or keep_empty=False."
        )
