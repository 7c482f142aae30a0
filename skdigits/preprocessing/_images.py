"""Checks of images as users pass them: rows of pixels, arrays or lists of images."""

import os
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data
from torch import Tensor

from skdigits._arrays import (
    input_dtypes,
    refuse_cuda_tensors,
    surely_finite,
    to_numpy,
    to_tensor,
)
from skdigits._image_lists import (
    is_found,
    no_array,
    refuse_elements,
    refuse_empty,
)
from skdigits._image_shapes import given_shape, shape_of_images
from skdigits._pictures import grey_values, is_picture

if TYPE_CHECKING:
    from PIL import Image

    from skdigits.preprocessing._base import ImageTransformer


class Images(NamedTuple):
    """Checked images: ``X`` (n, h, w), or (n, h · w) of ``shape`` (h, w)."""

    # An array of any namespace, under array API dispatch.
    X: Any
    shape: tuple[int, int]

    @property
    def tensor(self) -> Tensor:
        """The images (n, h, w) on the device of X, sharing its memory if possible."""
        device = self.X.device if isinstance(self.X, Tensor) else torch.device("cpu")
        samples: Tensor = to_tensor(self.X, device)
        return samples.reshape(-1, *self.shape)


def check_images(
    transformer: "ImageTransformer", X: ArrayLike, *, reset: bool
) -> Images:
    """Check rows of pixels or an array of images against the fitted transformer.

    Parameters
    ----------
    transformer : ImageTransformer
        Has ``image_shape``, and ``_keeps_integers`` says whether integers stay so. Its
        number and names of pixels are set if ``reset``, else compared with those of X;
        for arrays of images the comparison is skipped if ``_any_size`` holds.
    X : array-like of shape (n, h * w) or (n, h, w), or list of PIL.Image.Image
        Images, as passed to fit or transform.
    reset : bool
        True in fit, False in transform.

    Raises
    ------
    TypeError
        If X is a tensor on a GPU without array API dispatch.
    ValueError
        If X has other pixels, is empty or holds NaN or infinity.
    """
    refuse_cuda_tensors(X=X)
    shape = None
    if transformer.image_shape is not None:
        shape = given_shape(transformer.image_shape, grey=True)[:2]
    X = _in_greys(X)
    found = _shape(X, type(transformer).__name__)
    X = np.asarray(X) if isinstance(X, list | tuple) else X
    n_dim = len(found)
    if n_dim > 3:
        raise ValueError(_not_grey("X", found))
    if n_dim == 2 and not reset:
        _check_columns(transformer, found[1])

    checked = validate_data(
        transformer,
        X,
        dtype=input_dtypes(X, integers=transformer._keeps_integers),
        ensure_all_finite=not surely_finite(X),
        allow_nd=True,
        # With images, scikit-learn would take their height for the number of features.
        ensure_2d=n_dim < 3,
        reset=reset,
    )
    if n_dim < 3:
        return Images(checked, _shape_of_rows(shape, checked.shape[1]))

    _check_stack(transformer, tuple(checked.shape), shape, reset)
    return Images(checked, tuple(checked.shape[1:]))


def list_of_images(X: ArrayLike) -> list[np.ndarray] | None:
    """Return X as a list of 2-D arrays, or None if X is rows or an array of images.

    Raises
    ------
    ValueError
        If only some elements are images, or if one has colours (other than in an image
        of Pillow), no pixels, NaN or infinity.
    """
    X = _in_greys(X)
    if not isinstance(X, list | tuple) or all(len(_shape(image)) < 2 for image in X):
        return None
    return [_grey_image(image, f"X[{number}]") for number, image in enumerate(X)]


def _in_greys(X: ArrayLike) -> ArrayLike:
    """Return X with images of Pillow as arrays of grey values.

    Raises
    ------
    ValueError
        If X is itself an image of Pillow, or contains one that cannot be read, or if X
        is or contains names of files or other things that stand for images.
    """
    if is_picture(X):
        raise ValueError(
            "X must hold several images, but is a single one of Pillow: pass a list of "
            "one, [X]."
        )
    # NumPy holds images of several sizes as a 1-D array of objects.
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    _refuse_what_holds_no_pixels(X)
    if not isinstance(X, list | tuple) or not any(map(is_picture, X)):
        return X
    return [
        _read(image, f"X[{number}]") if is_picture(image) else image
        for number, image in enumerate(X)
    ]


def _refuse_what_holds_no_pixels(X: Any) -> None:
    """Raise an error for names of files, digits of a page, empty cells and no images.

    Raises
    ------
    ValueError
        If X is one of these, or a list that contains one.
    """
    if isinstance(X, str | os.PathLike):
        raise ValueError(
            f"X={X!r} is the name of a file, not images: pass [PIL.Image.open(X)]."
        )
    if is_found(X):
        raise ValueError(f"X is a {type(X).__name__}: pass a list of one, [X.cut_out].")
    if isinstance(X, list | tuple):
        refuse_empty(X)
        refuse_elements(X)
    elif not _shape(X):
        raise ValueError(
            f"X is {'None' if X is None else f'a {type(X).__name__}'}, but images are "
            "expected: pass a list of arrays of shape (height, width) or of images of "
            "Pillow, or one array of shape (n_samples, height, width) or (n_samples, "
            "n_features)."
        )


def _read(picture: "Image.Image", name: str) -> np.ndarray:
    """Return the grey values of an image of Pillow, whose file may be damaged."""
    # Pillow reads the pixels only now, and its parsers raise errors of all kinds.
    try:
        return grey_values(picture)
    except Exception as error:
        file = getattr(picture, "filename", "") or "no file"
        raise ValueError(
            f"{name}, of {file}, is an image that Pillow cannot read "
            f"({type(error).__name__}: {error}): leave it out."
        ) from error


def _grey_image(image: ArrayLike, name: str) -> np.ndarray:
    """Return an element of a list as a 2-D array in a dtype to compute in."""
    array = _as_numbers(image, name)
    if array.ndim != 2:
        raise ValueError(_not_grey(name, array.shape))
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}: an image must have pixels.")

    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} contains NaN or infinity: leave it out, or fill the gaps."
        )
    return array


def _as_numbers(image: ArrayLike, name: str) -> np.ndarray:
    """Return an array of one of `input_dtypes`."""
    if issparse(image):
        raise TypeError(f"{name} is sparse: make it dense by '.toarray()'.")

    # Conversion fails in many ways; one message names the image in all of them.
    try:
        array = to_numpy(image) if isinstance(image, Tensor) else np.asarray(image)
        if array.dtype.kind == "c":
            raise ValueError("complex numbers: pass its .real, say")
        if array.dtype not in input_dtypes(array):
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} is no image, a 2-D array of numbers: {error}"
        ) from error
    return array


def _shape(X: Any, transformer: str = "a transformer") -> tuple[int, ...]:
    """Return the shape of an array-like."""
    if hasattr(X, "shape"):
        return tuple(X.shape)
    try:
        return np.asarray(X).shape
    except ValueError as error:
        raise no_array(X, transformer, "X", error) from None


def _not_grey(name: str, shape: tuple[int, ...]) -> str:
    """Return the message for an array that is neither an image nor several."""
    cure = "reshape it"
    if len(shape) > 2 and shape[-1] in (3, 4):
        cure = f"make it grey first, by np.asarray({name}).mean(axis=-1), say"
    elif shape[-1:] == (1,):
        cure = f"take {name}[..., 0]"
    return (
        f"{name} has shape {shape}, but grey images have shape (n, h, w) or (n, h * w) "
        f"in an array, and (h, w) each in a list: {cure}."
    )


def _check_columns(transformer: "ImageTransformer", n_columns: int) -> None:
    """Compare the pixels of rows with those of ``fit``, if that had any."""
    name = type(transformer).__name__
    n_fitted = getattr(transformer, "n_features_in_", n_columns)
    if n_columns != n_fitted:
        raise ValueError(
            f"X has {n_columns} features, but {name} is expecting {n_fitted} features "
            "as input: a 2-D array has an image in each row. If X is a single image, "
            "pass X[np.newaxis]."
        )


def _shape_of_rows(shape: tuple[int, int] | None, n_pixels: int) -> tuple[int, int]:
    """Return the shape of images in rows: given, square, or one row of pixels."""
    height, width, _ = shape_of_images(shape, n_pixels, grey=True)
    if shape is None and height != width:
        warnings.warn(
            f"X has {n_pixels} features, not a square number: its samples are taken "
            "for images of one row of pixels. Pass image_shape=(height, width), or, if "
            "X is one image, X[np.newaxis].",
            UserWarning,
            stacklevel=5,
        )
    return height, width


def _check_stack(
    transformer: "ImageTransformer",
    found: tuple[int, ...],
    shape: tuple[int, int] | None,
    reset: bool,
) -> None:
    """Check the shape (n, h, w) of images; store the number of pixels if ``reset``."""
    n_pixels = found[1] * found[2]
    if not n_pixels:
        raise ValueError(f"X has shape {found}: images must have pixels.")
    if found[2] in (1, 3, 4) and min(found[:2]) >= 8:
        raise ValueError(
            f"X has shape {found}, that of a single image with channels, not of images "
            f"of {found[2]} pixels in width: pass X.mean(axis=-1)[np.newaxis]."
        )
    if shape not in (None, found[1:]) and not transformer._any_size:
        raise ValueError(
            f"X has shape {found}, but image_shape={shape}: pass "
            f"image_shape={found[1:]}, or None."
        )

    if reset:
        transformer.n_features_in_ = n_pixels
    fitted = getattr(transformer, "n_features_in_", n_pixels)
    if fitted != n_pixels and not transformer._any_size:
        raise ValueError(
            f"X has {n_pixels} pixels an image, but {type(transformer).__name__} is "
            f"expecting {fitted} features as input: bring all images to one size "
            "first, as DigitNormalizer does."
        )
