"""Grey values of Pillow's images, whatever their mode."""

import sys
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""


def is_picture(thing: object) -> bool:
    """Return whether this is an image of Pillow, which need not be installed."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(thing, pillow.Image)


def grey_values(picture: "Image.Image") -> np.ndarray:
    """Return what a person sees in an image of any mode, as grey values.

    Colours, those of a palette included, become grey as Pillow's ``convert("L")`` has
    it (0.299 red + 0.587 green + 0.114 blue). The image is turned as its EXIF
    orientation says. What is transparent takes the value of `_background`.

    Parameters
    ----------
    picture : PIL.Image.Image
        The image. Of several frames, the current one counts.

    Returns
    -------
    ndarray of shape (height, width)
        In uint8 for 8 bits a channel and fewer, in uint16 for modes "I;16…", in int32
        for "I", and in float32 for "F": these have no colours and keep their values.
    """
    from PIL import ImageOps

    if picture.getexif().get(ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":
        values = np.asarray(picture)
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    if picture.has_transparency_data:
        return np.asarray(_without_transparency(picture))
    # Pillow knows no way from LAB to grey, and one from all modes to RGB.
    if picture.mode not in ("1", "L", "RGB"):
        picture = picture.convert("RGB")
    return np.asarray(picture if picture.mode == "L" else picture.convert("L"))


def _without_transparency(picture: "Image.Image") -> "Image.Image":
    """Return an image in grey, composed over its background."""
    from PIL import Image

    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.mode != "RGBA":
        picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    grey = picture.convert("L")
    ground = Image.new("L", grey.size, _background(grey, alpha))
    return Image.composite(grey, ground, alpha)


def _background(grey: "Image.Image", alpha: "Image.Image") -> int:
    """Return the grey value that transparent pixels take.

    Opaque are pixels of at least half of the largest alpha. In general they are ink:
    the background is white, or black if the median of the ink is above 191, as it would
    hardly be seen on white. Where they cover more than half of the picture and differ
    by more than a third of the range, they are a page with its ink, such as a scan that
    was cut out, and the background is their median.
    """
    # 8 bits hold 256 values, so that histograms tell everything.
    largest = np.flatnonzero(alpha.histogram())[-1]
    opaque = alpha.point([255 * (value >= max(largest / 2, 1)) for value in range(256)])
    counts = np.array(grey.histogram(opaque))
    n_opaque = counts.sum()
    if not n_opaque:
        return 255

    median = int(np.searchsorted(counts.cumsum(), n_opaque / 2))
    present = np.flatnonzero(counts)
    is_page = n_opaque > grey.width * grey.height / 2 and np.ptp(present) > 85
    if is_page:
        return median
    return 0 if median > 191 else 255
