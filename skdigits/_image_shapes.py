"""Shapes of images: the parameter ``image_shape``, and the samples that hold images."""

import math

import numpy as np
from numpy.typing import ArrayLike

from skdigits._input_checks import COUNT


def shape_of_images(
    image_shape: ArrayLike | None, n_features: int, *, grey: bool = False
) -> tuple[int, int, int]:
    """Return ``(height, width, channels)`` of the images in rows of ``n_features``.

    None stands for a square or, if ``n_features`` is not a square number, for a single
    row of pixels. With ``grey``, a shape with channels raises an error.

    Raises
    ------
    ValueError
        If ``image_shape`` is not a shape, or has another number of pixels.
    """
    if image_shape is None:
        side = math.isqrt(n_features)
        return (side, side, 1) if side * side == n_features else (1, n_features, 1)

    shape = given_shape(image_shape, grey=grey)
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} is that of {math.prod(shape)} features, but "
            f"X has {n_features}: pass the shape of the images in X."
        )
    return shape


def given_shape(image_shape: ArrayLike, *, grey: bool = False) -> tuple[int, int, int]:
    """Return ``image_shape`` as ``(height, width, channels)``, without regard to X.

    Raises
    ------
    ValueError
        If ``image_shape`` is not a shape, if it has the channels first, or if it has
        channels although ``grey`` is True.
    """
    sizes = np.atleast_1d(np.asarray(image_shape, dtype=object))
    layouts = "(height, width)"
    if not grey:
        layouts += " or (height, width, channels)"
    lengths = [(2,)] if grey else [(2,), (3,)]
    if sizes.shape not in lengths or not all(map(COUNT.is_satisfied_by, sizes)):
        raise ValueError(
            f"image_shape must be {layouts}, whole numbers of 1 or more, "
            f"got {image_shape!r}."
        )

    height, width, *channels = map(int, sizes)
    n_channels = channels[0] if channels else 1
    # Channels come last; torch users tend to pass (3, 28, 28).
    if height in (1, 3) and width > 4 and n_channels > 4:
        raise ValueError(
            f"image_shape={image_shape!r} has the channels first: pass (height, width, "
            "channels), and rows made of images (n, height, width, channels)."
        )
    return height, width, n_channels
