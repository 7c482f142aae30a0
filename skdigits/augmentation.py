"""Random distortions of images, drawn anew for every row in every epoch of a fit.

Pass one as ``augment=`` to `SoftmaxRegression`, `MLPClassifierTorch` or `ConvNetClassifier`.
Its parameters can be searched over, as ``augment__alpha``. Any function of a batch of images,
a tensor (n, channels, height, width) with values as in X (of pixels, in [0, 1]), and of a
`torch.Generator` that returns such a tensor will do as well. It may write to its images: they
are a copy. The generator is on their device; who draws from it only has the same fit again
with the same ``random_state``.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from torch import Generator, Tensor

from skdigits._arrays import from_tensor, input_dtypes, to_tensor
from skdigits._parameters import (
    FRACTION,
    Number,
    StrOptions,
    check_parameters,
    shape_of_images,
)
from skdigits._validation import private_random_state
from skdigits.engine.batches import as_floats
from skdigits.engine.distortions import (
    EDGES,
    LENGTH,
    affine_places,
    elastic_steps,
    resampled,
    shifted,
)
from skdigits.engine.types import Distort

__all__ = ["RandomAffine", "RandomElastic", "RandomShift"]
CHUNK_ROWS = 2048
ANGLE = Number(Real, 0, 90, closed="left")
WITHIN = Number(
    Real, 0, LENGTH, closed="both"
)  # moved farther, an image is out of sight
MODE = {"mode": [StrOptions(set(EDGES))]}
AFFINE = {
    **MODE,
    "rotation": [Number(Real, 0, 180, closed="both")],
    "scale": [FRACTION],
    "shear": [ANGLE],
    "shift": [WITHIN],
}


class _Distortion(BaseEstimator):
    """A function of images and a generator, with parameters."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Distorted images, for images (n, channels, height, width)."""

    def distort(self, X, *, image_shape=None, random_state=None):
        """Distort rows as training would, for a look at them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, float32 or float64; uint8 are pixels, and all else becomes float64.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, channels)`` of an image; None: square.
        random_state : int, RandomState instance or None, default=None
            Drives the distortions.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            New rows in the dtype of X, pixels rounded.

        Raises
        ------
        ValueError
            If a parameter, X or ``image_shape`` is not as described.
        """
        X = check_array(X, dtype=input_dtypes(X))
        seed = int(private_random_state(random_state).randint(2**31 - 1))
        rows = to_tensor(X, torch.device("cpu"))
        pixels = not rows.is_floating_point()
        dtype = torch.float32 if pixels else rows.dtype
        generator = Generator().manual_seed(seed)
        change = distort_of(self, image_shape, X.shape[1])
        made = torch.cat(
            [
                change(as_floats(chunk, dtype), generator)
                for chunk in rows.split(CHUNK_ROWS)
            ]
        )
        made = made.clamp(0, 1).mul_(255).round_().to(rows.dtype) if pixels else made
        return from_tensor(made, X)


class RandomShift(_Distortion):
    """Move every image by whole pixels.

    The cheapest of distortions: pixels go elsewhere, and none is interpolated.

    Parameters
    ----------
    max_shift : float, default=2
        The most by which an image moves down or up, and right or left, in pixels of an image
        of 28 by 28; on others in as many 28ths of the longer side, rounded, but 1 at least
        unless it is 0. All moves up to it are equally likely. In [0, 28].
    mode : {"constant", "nearest"}, default="constant"
        What lies beyond the edge: a ground of 0, or what the edge itself is.

    See Also
    --------
    RandomAffine : Moves images by parts of a pixel, and turns, scales and shears them.
    RandomElastic : Bends them, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skdigits.augmentation import RandomShift
    >>> X = np.zeros((1000, 16))
    >>> X[:, 5] = 1
    >>> RandomShift().distort(X, random_state=0).max(axis=0).reshape(4, 4)
    array([[1., 1., 1., 0.],
           [1., 1., 1., 0.],
           [1., 1., 1., 0.],
           [0., 0., 0., 0.]])
    """

    _parameter_constraints = {**MODE, "max_shift": [WITHIN]}

    def __init__(self, max_shift=2, *, mode="constant"):
        self.max_shift = max_shift
        self.mode = mode

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Distorted images, for images (n, channels, height, width)."""
        return shifted(images, self.max_shift, self.mode, generator)


class RandomAffine(_Distortion):
    """Scale, shear, turn and shift every image, in this order.

    Each by a number that is drawn uniformly, up to the given one either way; pixels are
    interpolated linearly. All but the shift leave the middle of the image where it is.

    Parameters
    ----------
    rotation : float, default=10
        The largest angle to turn by, in degrees, in [0, 180].
    scale : float, default=0.1
        The largest change of height and, by itself, of width, as a part of them, in [0, 1).
    shear : float, default=10
        The largest angle to slant the columns by, in degrees, in [0, 90).
    shift : float, default=2
        The most by which an image moves down or up, and right or left, in pixels of an image
        of 28 by 28; on others in as many 28ths of the longer side. In [0, 28].
    mode : {"constant", "nearest"}, default="constant"
        What lies beyond the edge: a ground of 0, or what the edge itself is.

    See Also
    --------
    RandomShift : Moves images by whole pixels, and no more.
    RandomElastic : Bends them, too.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits.augmentation import RandomAffine
    >>> X, _ = load_digits(return_X_y=True)
    >>> RandomAffine(rotation=20).distort(X, random_state=0).shape
    (1797, 64)
    """

    _parameter_constraints = AFFINE

    def __init__(self, rotation=10, scale=0.1, shear=10, shift=2, *, mode="constant"):
        self.rotation = rotation
        self.scale = scale
        self.shear = shear
        self.shift = shift
        self.mode = mode

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Distorted images, for images (n, channels, height, width)."""
        return resampled(images, _affine(self, images, generator), self.mode)


class RandomElastic(_Distortion):
    """Wobble every image, beside some of what `RandomAffine` does to it.

    Every pixel is moved by steps of its own: uniform noise in [-1, 1], smoothed by a Gaussian
    and multiplied by ``alpha`` [1]_. So away from the edges, steps down and steps right each
    have a standard deviation of ``alpha / (sqrt(3) * 2 * sqrt(pi) * sigma)``, with the
    defaults 0.65 pixels of 28. The 34 of the source are for networks that train for hundreds
    of epochs: on MNIST, a few dozen do better with less.

    Parameters
    ----------
    alpha : float, default=16
        Strength: what the smoothed noise is multiplied by, for steps in pixels of an image of
        28 by 28. On others, steps are as many 28ths of the longer side. In [0, 10000].
    sigma : float, default=4
        Standard deviation of the Gaussian, in the same units: small ones crumple, large ones
        move the image as a whole. In (0, 28].
    rotation : float, default=5
        As in `RandomAffine`; 0 for none of it.
    scale : float, default=0.05
        As in `RandomAffine`; 0 for none of it.
    shear : float, default=5
        As in `RandomAffine`; 0 for none of it.
    shift : float, default=1
        As in `RandomAffine`; 0 for none of it.
    mode : {"constant", "nearest"}, default="constant"
        What lies beyond the edge: a ground of 0, or what the edge itself is.

    See Also
    --------
    RandomAffine : Leaves straight lines straight.
    RandomShift : Moves images by whole pixels, and no more.

    References
    ----------
    .. [1] P. Y. Simard, D. Steinkraus, J. C. Platt, "Best Practices for Convolutional Neural
       Networks Applied to Visual Document Analysis", ICDAR 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits.augmentation import RandomElastic
    >>> X, _ = load_digits(return_X_y=True)
    >>> RandomElastic(alpha=20).distort(X, random_state=0).shape
    (1797, 64)
    """

    _parameter_constraints = {
        **AFFINE,
        "alpha": [Number(Real, 0, 10_000, closed="both")],
        "sigma": [Number(Real, 0, LENGTH, closed="right")],
    }

    def __init__(
        self,
        alpha=16,
        sigma=4,
        *,
        rotation=5,
        scale=0.05,
        shear=5,
        shift=1,
        mode="constant",
    ):
        self.alpha = alpha
        self.sigma = sigma
        self.rotation = rotation
        self.scale = scale
        self.shear = shear
        self.shift = shift
        self.mode = mode

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Distorted images, for images (n, channels, height, width)."""
        places = _affine(self, images, generator)
        steps = elastic_steps(images, self.alpha, self.sigma, generator)
        return resampled(images, places + steps, self.mode)


def _affine(distortion: Any, images: Tensor, generator: Generator) -> Tensor:
    names = ("rotation", "scale", "shear", "shift")
    return affine_places(images, *(getattr(distortion, n) for n in names), generator)


NAMED = {"shift": RandomShift, "affine": RandomAffine, "elastic": RandomElastic}


def distort_of(augment: Any, image_shape: Any, n_features: int) -> Distort | None:
    """What ``augment`` and ``image_shape`` ask for, as the engine takes it; None for nothing.

    Raises
    ------
    ValueError
        If they are not as described, or do not go with so many features.
    """
    if image_shape is not None:
        shape_of_images(image_shape, n_features)
    if augment is None:
        return None
    if isinstance(augment, type):
        name = augment.__name__
        raise ValueError(
            f"augment={name} is a class: pass one of its kind, as in {name}()."
        )
    change = NAMED[augment]() if isinstance(augment, str) else augment
    if isinstance(change, _Distortion):
        check_parameters(change)
    height, width, n_channels = shape_of_images(image_shape, n_features)
    if 1 in (height, width):
        found = (
            "of which no square can be made"
            if image_shape is None
            else "a line of pixels"
        )
        raise ValueError(
            f"augment={augment!r} distorts images of two dimensions, but X has {n_features} "
            f"features, {found}: pass image_shape=(height, width)."
        )
    return partial(_distorted, change, (height, width, n_channels))


def name_of(augment: Any) -> str:
    """Words that are the same wherever an ``augment`` is that does the same."""
    if isinstance(augment, BaseEstimator):
        return f"{type(augment).__name__} {sorted(augment.get_params().items())}"
    if augment is None or isinstance(augment, str):
        return str(augment)
    named = augment if hasattr(augment, "__qualname__") else type(augment)
    return f"{named.__module__}.{named.__qualname__}"


def _distorted(
    change: Callable[[Tensor, Generator], Tensor],
    shape: tuple[int, int, int],
    rows: Tensor,
    generator: Generator,
) -> Tensor:
    """Rows (B, D) as images (B, channels, h, w), distorted, and back."""
    if type(change) not in NAMED.values():
        rows = rows.clone()  # it may write to them, and they may be the user's X
    images = rows.view(-1, *shape).permute(0, 3, 1, 2)
    found = change(images, generator)
    if not isinstance(found, Tensor) or found.shape != images.shape:
        what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"augment={change!r} must return images of the shape it is given, a tensor of "
            f"{tuple(images.shape)}, but returned {what}."
        )
    return found.permute(0, 2, 3, 1).reshape(rows.shape).to(rows)
