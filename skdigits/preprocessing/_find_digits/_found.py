"""A digit that was found on a page."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class FoundDigit:
    """A digit on a page, as `find_digits` returns it.

    It says where the digit is, and shows it alone.

    Parameters
    ----------
    row : int
        With ``layout="free"``, the line of the digit, from 0. Lines count from the top;
        those of a second column of text follow the last line of the first one. With
        ``layout="cells"``, the row of its cell, from 0.
    column : int
        With ``layout="free"``, the place in the line, from 0. With ``layout="cells"``,
        the column of its cell, from 0. Several digits in one cell share row and column;
        the list has them from left to right.
    box : tuple of int (top, left, bottom, right)
        Bounds of the digit in the image's own pixels: ``image[top:bottom, left:right]``
        shows it. An image of Pillow is first turned as its EXIF orientation says, by
        ``PIL.ImageOps.exif_transpose(image)``; then ``image.crop((left, top, right,
        bottom))`` shows the digit. In an empty cell, the bounds of the cell.
    cut_out : ndarray of shape (height, width) in uint8, or None
        The digit's ink alone, bright (255) on black (0), upright as the line or grid
        runs. Both sides are at most 40 pixels, so that
        `skdigits.preprocessing.DigitNormalizer` takes it as cut out already. None in an
        empty cell.

    See Also
    --------
    find_digits : Finds the digits of a page.

    Examples
    --------
    >>> import numpy as np
    >>> from skdigits.preprocessing import find_digits
    >>> page = np.full((150, 200), 220)
    >>> page[50:90, 100:106] = 40
    >>> (digit,) = find_digits(page)
    >>> top, left, bottom, right = digit.box
    >>> page[top:bottom, left:right].shape
    (40, 6)
    >>> digit.cut_out.dtype
    dtype('uint8')
    """

    row: int
    column: int
    box: tuple[int, int, int, int]
    cut_out: np.ndarray | None
