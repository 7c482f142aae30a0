"""What all transformers of images share."""

from abc import abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from skdigits._arrays import from_numpy, from_tensor, prediction_device, training_device
from skdigits._parameters import check_parameters
from skdigits._validation import check_same_namespace, unharmed
from skdigits.engine.images import by_chunks
from skdigits.preprocessing._images import check_images

IMAGE_SHAPE = {"image_shape": [tuple, list, None], "device": [str]}
"""Constraints on the parameters that all transformers have."""


class ImageTransformer(TransformerMixin, BaseEstimator):
    """A transformer without state that makes one row of pixels of each image.

    Subclasses add ``__init__`` and the members marked abstract.
    """

    _any_size = False  # whether images may be of other sizes than those in fit

    @abstractmethod
    def _function(self):
        """The function of the engine that turns images (B, h, w) into others."""

    @abstractmethod
    def _n_out(self, n_pixels):
        """Number of pixels of what is made of images with as many."""

    def fit(self, X, y=None):
        """Check parameters and images; nothing is learnt but the number and names of pixels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images.
        y : object, default=None
            Ignored; here for pipelines to pass.

        Returns
        -------
        self : object
            The transformer.

        Raises
        ------
        ValueError
            If a parameter or X is not as described.
        """
        with unharmed(self):
            check_parameters(self)
            self._function()
            training_device(self.device, X)
            self._check(X, reset=True)
        return self

    def transform(self, X):
        """Transform images; the transformer need not be fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width)
            Images: float32, float64, or uint8, whose results are rounded; what is of any
            other dtype becomes float64.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            The images in rows, in the dtype of X.

        Raises
        ------
        ValueError
            If a parameter or X is not as described, or unlike the X of ``fit``.
        """
        check_parameters(self)
        return self._transformed(self._check(X, reset=False))

    def _check(self, X, *, reset):
        if not reset and hasattr(self, "_fitted_array"):
            check_same_namespace(X, self, attribute="_fitted_array", method="transform")
        images = check_images(self, X, reset=reset)
        if reset:  # all that is kept: where X was, as it is an error to go on elsewhere
            self._fitted_array = from_numpy(np.empty(0), images.X)
        return images

    def _transformed(self, images):
        rows, device = images.tensor, prediction_device(self.device, images.X)
        n_out = self._n_out(rows[0].numel())
        return from_tensor(by_chunks(self._function(), rows, n_out, device), images.X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.array_api_support = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "uint8"]
        return tags
