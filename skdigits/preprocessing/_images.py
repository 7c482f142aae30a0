"""Images as users pass them: rows of pixels, arrays of images, lists of images of any size."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data
from torch import Tensor

from skdigits._arrays import input_dtypes, surely_finite, to_numpy, to_tensor
from skdigits._parameters import COUNT


class Images(NamedTuple):
    """Checked images: ``X`` (n, h, w), or (n, h · w) of ``shape`` (h, w)."""

    X: Any
    shape: tuple[int, int]

    @property
    def tensor(self) -> Tensor:
        """The images (n, h, w) where they are, in the memory of X if it can be shared."""
        device = self.X.device if isinstance(self.X, Tensor) else torch.device("cpu")
        return to_tensor(self.X, device).reshape(-1, *self.shape)


def check_images(transformer: Any, X: Any, *, reset: bool) -> Images:
    """Check rows of pixels or an array of images against what a transformer was fitted to.

    Parameters
    ----------
    transformer : object
        Has ``image_shape``; learns the number and names of pixels if ``reset``, else has
        its own compared with those of X. If its ``_any_size`` holds, images bring their
        own shape, and only rows are compared.
    X : array-like of shape (n, h * w) or (n, h, w)
        As passed to fit or transform.
    reset : bool
        Whether it is fit.

    Raises
    ------
    ValueError
        If X has other pixels, is empty or holds NaN or infinity.
    """
    shape = _given_shape(transformer.image_shape)
    n_dim = _n_dim(X)
    if n_dim > 3:
        raise ValueError(_not_grey("X", np.shape(X)))
    X = validate_data(
        transformer, X, dtype=input_dtypes(X), ensure_all_finite=not surely_finite(X),
        allow_nd=True, ensure_2d=n_dim < 3, reset=reset,
    )  # fmt: skip
    if n_dim < 3:
        return Images(X, _shape_of_rows(shape, X.shape[1]))
    _check_own_shape(transformer, tuple(X.shape), shape, reset)
    return Images(X, tuple(X.shape[1:]))


def list_of_images(X: Any) -> list[np.ndarray] | None:
    """X as a list of 2-D arrays, if it is one; None for rows and for arrays of images.

    Raises
    ------
    ValueError
        If some of X are images, but not all, or have colours, no pixels, NaN or infinity.
    """
    is_list = isinstance(X, list | tuple)
    if not is_list and not (
        isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    ):
        return None
    if not len(X) or all(_n_dim(image) < 2 for image in X):
        return None
    return [_grey_image(image, f"X[{number}]") for number, image in enumerate(X)]


def _grey_image(image: Any, name: str) -> np.ndarray:
    """A 2-D array in a dtype to compute in."""
    if issparse(image):
        raise TypeError(f"{name} is sparse: make it dense by '.toarray()'.")
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
    if array.ndim != 2:
        raise ValueError(_not_grey(name, array.shape))
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}: an image must have pixels.")
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} contains NaN or infinity: leave it out, or fill the gaps."
        )
    return array


def _n_dim(X: Any) -> int:
    """Number of dimensions of anything that looks like an array."""
    if hasattr(X, "shape"):
        return len(X.shape)
    try:
        return np.asarray(X).ndim
    except ValueError as error:
        raise ValueError(
            "X is neither rows of pixels nor images of one size; bring images to one size "
            f"first, as DigitNormalizer does: {error}"
        ) from error


def _not_grey(name: str, shape: tuple[int, ...]) -> str:
    colours = len(shape) > 2 and shape[-1] in (3, 4)
    cure = "bring it to one of these"
    if colours:
        cure = f"make it grey first, by np.asarray({name}).mean(axis=-1), say"
    elif shape[-1:] == (1,):
        cure = f"take {name}[..., 0]"
    return (
        f"{name} has shape {shape}, but a grey image is of shape (h, w), in a list; many are "
        f"(n, h, w) or (n, h * w): {cure}."
    )


def _given_shape(image_shape: Any) -> tuple[int, int] | None:
    if image_shape is None:
        return None
    if len(image_shape) != 2 or not all(map(COUNT.is_satisfied_by, image_shape)):
        raise ValueError(
            f"image_shape={image_shape!r} must be (height, width), two whole numbers from 1 "
            "on, or None for squares."
        )
    return int(image_shape[0]), int(image_shape[1])


def _shape_of_rows(shape: tuple[int, int] | None, n_pixels: int) -> tuple[int, int]:
    """That of the images that lie in rows: given, square, or else one row of pixels."""
    if shape is None:
        side = math.isqrt(n_pixels)
        if side**2 == n_pixels:
            return side, side
        warnings.warn(
            f"X has {n_pixels} features, which make no square: they are taken for images of "
            "one row of pixels. Pass image_shape=(height, width), or, if X is one image, "
            "X[np.newaxis].",
            UserWarning,
            stacklevel=5,
        )
        return 1, n_pixels
    if math.prod(shape) != n_pixels:
        raise ValueError(
            f"X has {n_pixels} features, but image_shape={shape} has {math.prod(shape)} "
            "pixels: pass image_shape=(height, width) of the images in X."
        )
    return shape


def _check_own_shape(
    transformer: Any, found: tuple[int, ...], shape: tuple[int, int] | None, reset: bool
) -> None:
    """Check an array of images (n, h, w), and learn the number of its pixels if ``reset``."""
    n_pixels = found[1] * found[2]
    if not n_pixels:
        raise ValueError(f"X has shape {found}: images must have pixels.")
    if shape not in (None, found[1:]) and not transformer._any_size:
        raise ValueError(
            f"X has shape {found}, but image_shape={shape}: pass image_shape={found[1:]}, or "
            "None."
        )
    if reset:
        transformer.n_features_in_ = n_pixels
    learnt = getattr(transformer, "n_features_in_", n_pixels)
    if learnt != n_pixels and not transformer._any_size:
        raise ValueError(
            f"X has {n_pixels} pixels an image, but {type(transformer).__name__} is expecting "
            f"{learnt} features as input: bring all images to one size first, as "
            "DigitNormalizer does."
        )
