"""Checks of a page: one image with any number of digits."""

import os
from typing import Any

import numpy as np
from torch import Tensor

from skdigits._arrays import to_numpy
from skdigits._pictures import is_picture
from skdigits.preprocessing._images import _read

EXPECTED = (
    "but a page is an array of numbers of shape (height, width), or an image of Pillow"
)


def checked_page(image: Any) -> np.ndarray:
    """Return the grey values of a page, whatever it is made of.

    Raises
    ------
    ValueError
        If it is not a 2-D array of finite numbers, nor an image of Pillow that can be
        read.
    """
    if isinstance(image, str | os.PathLike):
        raise ValueError(
            f"image={image!r} is the name of a file, {EXPECTED}: open it first, by "
            "PIL.Image.open(image)."
        )
    if isinstance(image, list | tuple) and any(map(_is_image, image)):
        raise ValueError(
            f"image is a {type(image).__name__} of {len(image)} images, {EXPECTED}: "
            "pass one image at a time, such as image[0]."
        )

    if isinstance(image, list | tuple) and any(isinstance(one, str) for one in image):
        raise ValueError(
            f"image is a {type(image).__name__} of names of files, {EXPECTED}: open "
            "one at a time, by PIL.Image.open(image[0])."
        )

    grey = _read(image, "image") if is_picture(image) else _as_array(image)
    if not grey.ndim:
        found = "None" if image is None else f"a {type(image).__name__}"
        raise ValueError(f"image is {found}, {EXPECTED}: {_cure(())}.")
    if grey.ndim != 2 or not grey.size or grey.dtype.kind not in "buif":
        raise ValueError(
            f"image has shape {grey.shape} and dtype {grey.dtype}, {EXPECTED}: "
            f"{_cure(grey.shape)}."
        )
    if not np.isfinite(grey).all():
        raise ValueError(
            "image contains NaN or infinity: fill the gaps, by np.nan_to_num(image), "
            "say."
        )
    return grey


def _is_image(thing: Any) -> bool:
    return is_picture(thing) or len(getattr(thing, "shape", ())) > 1


def _as_array(image: Any) -> np.ndarray:
    if isinstance(image, Tensor):
        return to_numpy(image)
    try:
        return np.asarray(image)
    except ValueError as error:
        raise ValueError(
            f"image makes no array ({error}), {EXPECTED}: give all its rows one length."
        ) from error


def _cure(shape: tuple[int, ...]) -> str:
    """Return what makes a page of an array of such a shape."""
    if len(shape) == 3 and shape[-1] == 3:
        return "make it grey first, by image.mean(axis=-1), say"
    if len(shape) == 3 and shape[-1] == 4:
        return "make it grey first, by image[..., :3].mean(axis=-1), say"
    if len(shape) == 3 and shape[-1] == 1:
        return "take image[..., 0]"
    if len(shape) > 2 and shape[0]:
        return "pass one image at a time, such as image[0]"
    return "pass such an array, or what PIL.Image.open returns"
