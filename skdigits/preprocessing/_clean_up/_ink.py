"""The ink of a page, as a map from 0 to 1."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from skdigits.preprocessing._clean_up._ground import (
    contrast,
    flat_ground,
    is_dark,
    is_even,
)
from skdigits.preprocessing._clean_up._levels import (
    reduced,
    scaled,
    without_hot_pixels,
)
from skdigits.preprocessing._clean_up._lines import without_boxes, without_lines
from skdigits.preprocessing._clean_up._sheet import find_sheet, plane
from skdigits.preprocessing._clean_up._specks import without_edges, without_specks
from skdigits.preprocessing._clean_up._strength import (
    FAINT,
    hidden,
    is_blank,
    noise_of,
    strength_of_ink,
)
from skdigits.preprocessing._pages import checked_page

if TYPE_CHECKING:
    from PIL import Image

# Larger images are reduced before the clean-up, to at least this shorter side: strokes
# are still several pixels wide, and a photograph takes a tenth of a second.
LARGEST_SIDE = 400
# Windows, as parts of a side, that show some ground wherever they lie. Strokes of bold
# digits are nearly as wide as the first one; only the second one follows a shadow into
# its corners.
WINDOWS = (0.4, 0.25)
# A long and narrow image counts as if its shorter side were this part of the longer.
NARROWEST = 0.5
# The ground is smoothed over this part of a side: corners of the window do not show.
SMOOTHED = 0.06
# A pixel is ink if it differs by this part of the strength of the ink.
THRESHOLD = 0.4
# Strokes on a flat ground reach this far from their edges, as part of a side; what is
# thicker is a shadow on paper that is too bright for the camera.
THICKEST = 0.3
# The blurred edge of a stroke, in pixels around it, keeps its values.
EDGE = 2


def find_ink(
    image: "ArrayLike | Image.Image", *, dark: bool | None = None
) -> np.ndarray:
    """Return how much ink is on each pixel of a page, without all that is not a digit.

    Uneven light, a desk around the sheet, ruled and squared lines, printed boxes and
    specks are taken off. `DigitNormalizer` does so with images of which both sides
    exceed 40 pixels.

    Parameters
    ----------
    image : array-like of shape (height, width), or PIL.Image.Image
        A page with a digit, or with several of one size: grey values of any range, or
        an image of Pillow of any mode.
    dark : bool, default=None
        Whether ink is darker than the page. None decides by the strokes, not by the
        border of the image.

    Returns
    -------
    ndarray of shape (height, width)
        Ink from 0 to 1, bright on black, in float64. It is 0 on a blank page, where
        nothing differs from the ground but noise. An image of Pillow is turned as its
        EXIF orientation says.

    Raises
    ------
    ValueError
        If the image is not a 2-D array of finite numbers.

    See Also
    --------
    DigitNormalizer : Crops, scales and centres the ink, too.
    find_digits : Finds and cuts out the digits of a page.

    Notes
    -----
    1. Single pixels that lie outside the range of their neighbours are brought into it.
    2. A sheet is looked for: a solid rectangle, turned or not, whose edge is as sharp
       as its whole difference from the desk. The desk is replaced by a continuation of
       the sheet.
    3. The polarity is that of the larger differences from a wide median.
    4. The ground is a closing with a window that is wider than strokes. Dark ink is a
       difference as a part of the ground, so that shadows cancel.
    5. A page whose strongest differences are less than six standard deviations of the
       noise, or 6 % of the ground, is blank.
    6. Boxes, and lines that cross the page, up to 6° from its sides, are removed where
       they are thin; strokes across them stay. So are parts that run along the edge.
    7. Parts that are small beside the stroke are specks, unless they lie so near to
       larger ones that they are pieces of a broken stroke. At the edge of the image,
       parts smaller than half of the largest one are corners of shadows.

    An image of which a third of the rim has exactly one value is a drawing, not a
    photograph. That value is its ground, and steps 1 to 5 are left out.

    Images with a shorter side of 800 pixels or more are reduced by a whole factor, and
    the ink is enlarged again. The constants were chosen on pages that were composed
    from MNIST's training digits.

    Examples
    --------
    A dark stroke on a page whose right half lies in the shadow, with a speck:

    >>> import numpy as np
    >>> from skdigits.preprocessing import find_ink
    >>> page = np.full((80, 60), 220.0)
    >>> page[20:60, 25:33] = 40
    >>> page[5:7, 50:52] = 40
    >>> page[:, 30:] *= 0.6
    >>> ink = find_ink(page)
    >>> rows, columns = np.nonzero(ink > 0.5)
    >>> print(rows.min(), rows.max(), columns.min(), columns.max())
    20 59 25 32
    """
    grey = scaled(checked_page(image))
    factor = max(1, min(grey.shape) // LARGEST_SIDE)
    if np.ptp(grey) == 0:
        return np.zeros(grey.shape)
    if factor == 1:
        return _ink(grey, dark)

    found = _ink(reduced(grey, factor), dark).repeat(factor, 0).repeat(factor, 1)
    height = grey.shape[0] - found.shape[0]
    width = grey.shape[1] - found.shape[1]
    return np.pad(found, [(0, height), (0, width)])


def _ink(grey: np.ndarray, dark: bool | None) -> np.ndarray:
    """Return the map of ink of an image that is not of one value."""
    ground = flat_ground(grey)
    if ground is None:
        return _ink_of_photograph(grey, dark)

    difference = ground - grey
    if dark is None:
        dark = bool((difference**2 * np.sign(difference)).sum() >= 0)
    strength = difference if dark else -difference
    # Without noise, faint strokes count, too.
    mask = strength > FAINT * strength.max()
    if ndimage.distance_transform_edt(mask).max() > THICKEST * min(grey.shape):
        return _ink_of_photograph(grey, dark)
    # A box near a corner is taken off before one of its sides passes for a line.
    mask = without_lines(without_boxes(mask), np.ones(grey.shape, bool))
    return _map(strength / strength.max(), mask)


def _ink_of_photograph(grey: np.ndarray, dark: bool | None) -> np.ndarray:
    """Return the map of ink where light, paper and desk have many greys."""
    grey = without_hot_pixels(grey)
    page = np.ones(grey.shape, bool)
    sheet = find_sheet(grey)
    if sheet is not None:
        page = sheet
        grey = np.where(sheet, grey, plane(grey, sheet))

    if dark is None:
        dark = is_dark(grey)
    shape = grey.shape
    side = max(min(shape), NARROWEST * max(shape))
    smoothed = max(3, int(SMOOTHED * min(shape)))
    for part in WINDOWS:
        sharp, soft = contrast(grey, dark, int(part * side) | 1, smoothed)
        noise = noise_of(soft)
        strength = strength_of_ink(soft, noise)
        if is_even(grey, soft, strength):
            break

    if is_blank(strength, noise):
        return np.zeros(grey.shape)
    mask = page & (soft > max(THRESHOLD * strength, hidden(noise, strength)))
    mask = without_edges(without_lines(without_boxes(mask), page))
    return _map(sharp / strength, mask)


def _map(strength: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the strength of the ink within a mask, and at its edges."""
    mask = without_specks(without_boxes(mask))
    near = ndimage.binary_dilation(mask, iterations=EDGE)
    return np.where(near, strength.clip(0, 1), 0)
