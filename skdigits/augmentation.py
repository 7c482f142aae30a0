"""Random distortions of images, drawn anew for every sample in every epoch of a fit.

Pass a distortion as ``augment`` to `SoftmaxRegression`, `MLPClassifierTorch` or
`ConvNetClassifier`. A search can vary its parameters, such as ``augment__alpha``.

``augment`` may also be a function of a batch of images and a `torch.Generator`. The
images are a tensor of shape (n, channels, height, width) with the values of X (uint8
pixels scaled to [0, 1]). The function returns a tensor of the same shape. The images
are a copy, so the function may write to them. The generator is on the device of the
images. If the function draws random numbers only from this generator, fits with the
same ``random_state`` are equal.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from torch import Generator, Tensor

from skdigits._arrays import (
    from_tensor,
    input_dtypes,
    isolated,
    refuse_cuda_tensors,
    to_tensor,
)
from skdigits._image_shapes import shape_of_images
from skdigits._input_checks import (
    FRACTION,
    Number,
    check_parameters,
    private_random_state,
    users_code,
)
from skdigits._parameters import StrOptions
from skdigits._pixels import images_of_integers
from skdigits._versions import Versioned
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

# Samples that `distort` computes at once, to bound its memory.
CHUNK_ROWS = 2048

# A shear of 90 degrees would make every column infinitely long.
ANGLE = Number(Real, 0, 90, closed="left")

# An image that moves farther leaves its frame.
WITHIN = Number(Real, 0, LENGTH, closed="both")

MODE = {"mode": [StrOptions(set(EDGES))]}
AFFINE = {
    **MODE,
    "rotation": [Number(Real, 0, 180, closed="both")],
    "scale": [FRACTION],
    "shear": [ANGLE],
    "shift": [WITHIN],
}


class _Distortion(Versioned, BaseEstimator):
    """A function of images and a generator, with parameters that a search can vary."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return distorted images, for images (n, channels, height, width)."""

    @isolated()
    def distort(self, X, *, image_shape=None, random_state=None):
        """Distort samples in the way that training does, for inspection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Images in rows, in float32, float64 or uint8. Other integers become uint8 if
            they have the range of pixels: all are within 0 and 255, and some exceed 16.
            Any other dtype is converted to float64.
        image_shape : tuple of int, default=None
            Shape of an image: ``(height, width)`` or ``(height, width, channels)``.
            None stands for square images with one channel.
        random_state : int, RandomState instance or None, default=None
            Seed or generator of the distortions. None draws a new seed.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The distorted images in rows, in the dtype of X, or that to which it is
            converted; uint8 values are rounded.

        Raises
        ------
        ValueError
            If a parameter, X or ``image_shape`` is invalid.
        """
        refuse_cuda_tensors(X=X)
        X = np.asarray(X) if isinstance(X, list | tuple) else X
        X = check_array(X, dtype=input_dtypes(X, integers=True))
        X = images_of_integers(X)
        seed = int(private_random_state(random_state).randint(2**31 - 1))
        generator = Generator().manual_seed(seed)
        change = distort_of(self, image_shape, X.shape[1])

        samples = to_tensor(X, torch.device("cpu"))
        pixels = not samples.is_floating_point()
        dtype = torch.float32 if pixels else samples.dtype
        chunks = []
        for chunk in samples.split(CHUNK_ROWS):
            chunks.append(change(as_floats(chunk, dtype), generator))

        made = torch.cat(chunks)
        # Interpolation may leave [0, 1] by a rounding error, which uint8 would wrap.
        if pixels:
            made = made.clamp(0, 1).mul_(255).round_().to(samples.dtype)
        return from_tensor(made, X)


class RandomShift(_Distortion):
    """Move every image by a random number of whole pixels.

    This is the fastest distortion, because it needs no interpolation.

    Parameters
    ----------
    max_shift : float, default=2
        Maximum shift down or up, and right or left, in pixels of an image of 28 x 28.
        For images of other sizes, the unit is one 28th of the longer side. The limit is
        rounded to whole pixels, but is at least 1 unless ``max_shift=0``. All shifts up
        to the limit are equally likely. In [0, 28].
    mode : {"constant", "nearest"}, default="constant"
        Values beyond the edge: ``"constant"`` is 0, the background; ``"nearest"``
        repeats the nearest pixel of the image.

    See Also
    --------
    RandomAffine : Shifts by fractions of a pixel, rotates, scales and shears images.
    RandomElastic : Bends images, too.

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
        """Return distorted images, for images (n, channels, height, width)."""
        return shifted(images, self.max_shift, self.mode, generator)


class RandomAffine(_Distortion):
    """Scale, shear, rotate and shift every image, in this order.

    Each parameter is a maximum: the amount is drawn uniformly between minus and plus
    the maximum. Pixels are interpolated linearly. Scaling, shear and rotation keep the
    middle of the image in place.

    Parameters
    ----------
    rotation : float, default=10
        Maximum angle of rotation, in degrees, in [0, 180].
    scale : float, default=0.1
        Maximum relative change of the height and, independently, of the width, in
        [0, 1).
    shear : float, default=10
        Maximum angle by which columns are slanted, in degrees, in [0, 90).
    shift : float, default=2
        Maximum shift down or up, and right or left, in pixels of an image of 28 x 28.
        For images of other sizes, the unit is one 28th of the longer side. In [0, 28].
    mode : {"constant", "nearest"}, default="constant"
        Values beyond the edge: ``"constant"`` is 0, the background; ``"nearest"``
        repeats the nearest pixel of the image.

    See Also
    --------
    RandomShift : Only moves images, by whole pixels.
    RandomElastic : Bends images, too.

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
        """Return distorted images, for images (n, channels, height, width)."""
        return resampled(images, _affine(self, images, generator), self.mode)


class RandomElastic(_Distortion):
    """Bend every image, in addition to a weak affine distortion as in `RandomAffine`.

    Every pixel has its own displacement: uniform noise in [-1, 1], smoothed by a
    Gaussian and multiplied by ``alpha`` [1]_. Away from the edges, the displacement
    along each axis has a standard deviation of
    ``alpha / (sqrt(3) * 2 * sqrt(pi) * sigma)``, which is 0.65 pixels of an image of
    28 x 28 by default. The paper uses ``alpha=34`` for networks that train for hundreds
    of epochs. For a few dozen epochs on MNIST, a smaller ``alpha`` gives better
    results.

    Parameters
    ----------
    alpha : float, default=16
        Strength of the displacements: factor of the smoothed noise, in pixels of an
        image of 28 x 28. For images of other sizes, the unit is one 28th of the longer
        side. In [0, 10000].
    sigma : float, default=4
        Standard deviation of the Gaussian, in the same unit. Small values crumple the
        image, large values move it as a whole. In (0, 28].
    rotation : float, default=5
        Maximum angle of rotation, in degrees, as in `RandomAffine`. 0 turns rotation
        off.
    scale : float, default=0.05
        Maximum relative change of height and width, as in `RandomAffine`. 0 turns
        scaling off.
    shear : float, default=5
        Maximum angle by which columns are slanted, in degrees, as in `RandomAffine`. 0
        turns shear off.
    shift : float, default=1
        Maximum shift along either axis, in pixels of an image of 28 x 28, as in
        `RandomAffine`. 0 turns shifts off.
    mode : {"constant", "nearest"}, default="constant"
        Values beyond the edge: ``"constant"`` is 0, the background; ``"nearest"``
        repeats the nearest pixel of the image.

    See Also
    --------
    RandomAffine : Leaves straight lines straight.
    RandomShift : Only moves images, by whole pixels.

    References
    ----------
    .. [1] P. Y. Simard, D. Steinkraus, J. C. Platt, "Best Practices for Convolutional
       Neural Networks Applied to Visual Document Analysis", ICDAR 2003.

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
        """Return distorted images, for images (n, channels, height, width)."""
        places = _affine(self, images, generator)
        steps = elastic_steps(images, self.alpha, self.sigma, generator)
        return resampled(images, places + steps, self.mode)


def _affine(
    distortion: RandomAffine | RandomElastic, images: Tensor, generator: Generator
) -> Tensor:
    """Return the sources of pixels for the affine parameters of a distortion."""
    return affine_places(
        images,
        distortion.rotation,
        distortion.scale,
        distortion.shear,
        distortion.shift,
        generator,
    )


NAMED = {"shift": RandomShift, "affine": RandomAffine, "elastic": RandomElastic}


def distort_of(
    augment: str | Callable[[Tensor, Generator], Tensor] | None,
    image_shape: ArrayLike | None,
    n_features: int,
) -> Distort | None:
    """Return the engine's function for ``augment``, or None if ``augment`` is None.

    Raises
    ------
    ValueError
        If a parameter is invalid, or if ``image_shape`` does not fit the number of
        features.
    """
    # A wrong shape is an error even without distortions.
    if image_shape is not None:
        shape_of_images(image_shape, n_features)
    if augment is None:
        return None

    if isinstance(augment, type):
        name = augment.__name__
        raise ValueError(
            f"augment={name} is a class: pass an instance of it, as in {name}()."
        )
    change = NAMED[augment]() if isinstance(augment, str) else augment
    if isinstance(change, _Distortion):
        check_parameters(change)

    height, width, n_channels = shape_of_images(image_shape, n_features)
    if 1 in (height, width):
        found = "a line of pixels"
        if image_shape is None:
            found = "of which no square can be made"
        raise ValueError(
            f"augment={augment!r} distorts images of two dimensions, but X has "
            f"{n_features} features, {found}: pass image_shape=(height, width)."
        )
    return partial(_distorted, change, (height, width, n_channels))


def is_users(augment: object) -> bool:
    """Return whether ``augment``, which is not None, is a user's own code."""
    return not isinstance(augment, str) and type(augment) not in NAMED.values()


def name_of(augment: object) -> str:
    """Return a name that is equal for every ``augment`` with the same effect."""
    if isinstance(augment, BaseEstimator):
        return f"{type(augment).__name__} {sorted(augment.get_params().items())}"
    if augment is None or isinstance(augment, str):
        return str(augment)

    # A function has a name; for any other object, take the name of its class.
    named = augment if hasattr(augment, "__qualname__") else type(augment)
    return f"{named.__module__}.{named.__qualname__}"


def _distorted(
    change: Callable[[Tensor, Generator], Tensor],
    shape: tuple[int, int, int],
    rows: Tensor,
    generator: Generator,
) -> Tensor:
    """Distort rows (B, D) as images (B, channels, h, w); return them as rows."""
    # A user's function may write to its images, which may share the memory of X.
    if is_users(change):
        rows = rows.clone()
    images = rows.view(-1, *shape).permute(0, 3, 1, 2)
    with users_code(f"augment={change!r}"):
        found = change(images, generator)

    if not isinstance(found, Tensor) or found.shape != images.shape:
        kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            f"augment={change!r} must return images of the shape that it is given, a "
            f"tensor of shape {tuple(images.shape)}, but returned {kind}. Return a "
            "distorted image for each image."
        )
    return found.permute(0, 2, 3, 1).reshape(rows.shape).to(rows)
