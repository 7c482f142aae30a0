"""The interface of all image transformers."""

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from torch import Tensor

from skdigits._arrays import from_numpy, from_tensor, isolated, training_device
from skdigits._input_checks import (
    check_parameters,
    check_same_namespace,
    prediction_device,
    rollback_on_error,
)
from skdigits._versions import Versioned
from skdigits.engine.images import by_chunks
from skdigits.preprocessing._images import Images, check_images

IMAGE_SHAPE = {
    "image_shape": [tuple, list, None],
    "device": [str, torch.device],
}
"""Constraints on the parameters that all image transformers have."""


class ImageTransformer(Versioned, TransformerMixin, BaseEstimator):
    """Stateless transformer that turns each image into one row of pixels.

    Subclasses add ``__init__`` and the abstract members.
    """

    # Whether transform accepts images of other sizes than fit.
    _any_size = False
    # Whether integers other than uint8 are checked as such, and not as float64.
    _keeps_integers = False

    @abstractmethod
    def _function(self) -> Callable[[Tensor], Tensor]:
        """Return the engine's function that transforms images (B, h, w)."""

    @abstractmethod
    def _n_out(self, n_pixels: int) -> int:
        """Return the number of pixels made from an image of ``n_pixels``."""

    @isolated()
    def fit(self, X, y=None):
        """Check the parameters and images; store the number and names of pixels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images, or a list of Pillow images. `DigitNormalizer` also accepts a list of
            arrays of shape (height, width).
        y : object, default=None
            Not used; present for compatibility with pipelines.

        Returns
        -------
        self : object
            The transformer.

        Raises
        ------
        ValueError
            If a parameter or X is invalid.
        """
        with rollback_on_error(self):
            check_parameters(self)
            self._function()
            training_device(self.device, X)
            self._check(X, reset=True)
        return self

    @isolated()
    def transform(self, X):
        """Transform images; the transformer need not be fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images in float32, float64 or uint8. Other integers become uint8 if they are
            pixels: if all values in ``fit``, or here without a fit, are from 0 to 255,
            and some exceed 16. Any other dtype is converted to float64. X may also be a
            list of Pillow images, which become grey. Images with up to 8 bits per
            channel become uint8.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            Transformed images in rows, in the dtype of X, or in the dtype to which X is
            converted. For uint8, values are rounded.

        Raises
        ------
        ValueError
            If a parameter or X is invalid, or if X does not match the X of ``fit``.
        """
        check_parameters(self)
        return self._transformed(self._check(X, reset=False))

    def _check(self, X: ArrayLike, *, reset: bool) -> Images:
        if not reset and hasattr(self, "_fitted_array"):
            check_same_namespace(X, self, attribute="_fitted_array", method="transform")
        images = check_images(self, X, reset=reset)

        if reset:
            # An empty array records the namespace and device of X: scikit-learn
            # requires that transform refuses an X from elsewhere.
            self._fitted_array = from_numpy(np.empty(0), images.X)
        return images

    def _transformed(self, images: Images) -> ArrayLike:
        tensor = images.tensor
        device = prediction_device(self.device, images.X)
        n_out = self._n_out(tensor[0].numel())
        made = by_chunks(self._function(), tensor, n_out, device)
        return from_tensor(made, images.X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.array_api_support = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "uint8"]
        return tags
