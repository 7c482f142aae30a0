"""Transformers that make digits upright and centre them, by moments."""

from collections.abc import Callable

import torch
from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin
from torch import Tensor

from skdigits._pixels import images_of_integers
from skdigits.engine.images import centre, deskew
from skdigits.preprocessing._base import IMAGE_SHAPE, ImageTransformer
from skdigits.preprocessing._images import Images


class _ByMoments(OneToOneFeatureMixin, ImageTransformer):
    """Transformer that uses the value of a pixel as its mass.

    Values keep their scale, so integers that are pixels come out as uint8: a model that
    follows reads these as pixels, too.
    """

    _parameter_constraints = IMAGE_SHAPE
    _keeps_integers = True

    def __init__(self, *, image_shape=None, device="auto"):
        self.image_shape = image_shape
        self.device = device

    def _n_out(self, n_pixels: int) -> int:
        return n_pixels

    def _check(self, X: ArrayLike, *, reset: bool) -> Images:
        images = super()._check(X, reset=reset)

        # The engine divides by the sum of all masses, which may be 0 if some are
        # negative.
        least = images.tensor.amin()
        if least < 0:
            # scikit-learn's estimator checks look for the message's first words.
            raise ValueError(
                f"Negative values in data passed to {type(self).__name__}, which takes "
                f"the value of a pixel for its mass, down to {least:g}. Put it in "
                "front of transformers that centre or scale pixels, such as "
                "StandardScaler."
            )

        decided = None if reset else getattr(self, "_reads_pixels", None)
        images = images._replace(X=images_of_integers(images.X, decided))
        if reset:
            self._reads_pixels = images.tensor.dtype == torch.uint8
        return images

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


class Deskew(_ByMoments):
    r"""Shear digits until they are upright, and centre them.

    Slant depends on the writer, not on the digit. Without slant, images of the same
    digit are more alike.

    Parameters
    ----------
    image_shape : tuple (height, width), default=None
        Shape of the images if X holds them in rows. None stands for square images. If
        the number of features is not a square number, None stands for images of one row
        of pixels, with a warning.
    device : str or torch.device, default="auto"
        Device to compute on: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …. ``"auto"`` is the
        device of X if X is a tensor under array API dispatch, otherwise CUDA if
        available, otherwise the CPU.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels in an image, after ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the pixels, if X has column names.

    See Also
    --------
    CenterByMass : Moves digits by whole pixels and keeps their slant.
    DigitNormalizer : Makes digits bright on black, as this transformer needs them.

    Notes
    -----
    The value of a pixel in row r and column c is its mass. The foreground must be
    bright, and the background 0. With the centre of mass :math:`(\bar r, \bar c)` and
    the covariances :math:`\mu_{rr}`, :math:`\mu_{rc}` of the foreground, row r is moved
    to the right by

    .. math:: (w \div 2 - \bar c) - \frac{\mu_{rc}}{\mu_{rr}} (r - \bar r)

    and all rows are then moved down by :math:`h \div 2 - \bar r`, with linear
    interpolation between two pixels. This removes the covariance and moves the centre
    of mass to :math:`(h \div 2, w \div 2)` (integer division), where it is in MNIST,
    ±½. Foreground that is moved over the edge is lost. A blank image does not change.
    If the foreground is a single row, the image is moved but not sheared.

    On MNIST, LeCun et al. found that deskewing lowers the error of a linear classifier
    from 12.0 % to 8.4 % [1]_.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied
       to Document Recognition", Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from skdigits.preprocessing import Deskew
    >>> slash = np.eye(5)[:, ::-1]
    >>> Deskew().fit_transform([slash]).reshape(5, 5)
    array([[0., 0., 1., 0., 0.],
           [0., 0., 1., 0., 0.],
           [0., 0., 1., 0., 0.],
           [0., 0., 1., 0., 0.],
           [0., 0., 1., 0., 0.]])
    """

    def _function(self) -> Callable[[Tensor], Tensor]:
        return deskew


class CenterByMass(_ByMoments):
    r"""Centre digits by their centre of mass, moving them by whole pixels.

    MNIST's digits are centred by mass. Use this transformer before a model trained on
    MNIST if your digits are anywhere in their images, or centred by their bounding
    boxes.

    Parameters
    ----------
    image_shape : tuple (height, width), default=None
        Shape of the images if X holds them in rows. None stands for square images. If
        the number of features is not a square number, None stands for images of one row
        of pixels, with a warning.
    device : str or torch.device, default="auto"
        Device to compute on: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …. ``"auto"`` is the
        device of X if X is a tensor under array API dispatch, otherwise CUDA if
        available, otherwise the CPU.

    Attributes
    ----------
    n_features_in_ : int
        Number of pixels in an image, after ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the pixels, if X has column names.

    See Also
    --------
    Deskew : Makes digits upright as well, by interpolation.
    DigitNormalizer : Scales digits, too, and makes a bright foreground on black.

    Notes
    -----
    The value of a pixel in row r and column c is its mass. The foreground must be
    bright, and the background 0. The centre of mass is moved to
    :math:`(h \div 2, w \div 2)` (integer division), where it is in MNIST, ±½: to
    (14, 14) in images of 28 x 28. No pixel changes its value, but foreground that is
    moved over the edge is lost. A blank image does not change.

    Examples
    --------
    >>> import numpy as np
    >>> from skdigits.preprocessing import CenterByMass
    >>> corner = np.zeros((1, 4, 4), dtype=np.uint8)
    >>> corner[0, 0, :2] = 100, 200
    >>> CenterByMass().fit_transform(corner).reshape(4, 4)
    array([[  0,   0,   0,   0],
           [  0,   0,   0,   0],
           [  0, 100, 200,   0],
           [  0,   0,   0,   0]], dtype=uint8)
    """

    def _function(self) -> Callable[[Tensor], Tensor]:
        return centre
