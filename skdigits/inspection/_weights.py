"""The weights of the first layer, as images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skdigits._arrays import to_numpy
from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._softmax_regression import SoftmaxRegression
from skdigits.inspection import _mosaic
from skdigits.inspection._display import model_of, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINEAR = (SoftmaxRegression, LogisticRegression)
MODELS = (*LINEAR, MLPClassifierTorch, MLPClassifier, ConvNetClassifier)


class WeightsDisplay(_mosaic.MosaicDisplay):
    """The weights of a model's first layer, one image for each class, unit or kernel.

    `from_estimator` creates the display and draws it.

    Parameters
    ----------
    weights : ndarray of shape (n_units, height, width)
        Weights as images.
    labels : list of str, default=None
        Text above each image. None draws no text.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        Image that contains all weights. Its colours are symmetric about 0.
    texts_ : list of matplotlib.text.Text
        Text above each image; empty without ``labels``.
    ax_ : matplotlib.axes.Axes
        Axes with the weights.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    TemplatesDisplay : The average images of `TemplateMatchingClassifier`.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.inspection import WeightsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(0.1, max_iter=20, tol=None, random_state=0)
    >>> display = WeightsDisplay.from_estimator(model.fit(X / 16, y))
    >>> display.weights.shape
    (10, 8, 8)
    >>> plt.close(display.figure_)
    """

    def __init__(self, weights, labels=None):
        self.weights = weights
        self.labels = labels

    @classmethod
    def from_estimator(cls, estimator, *, image_shape=None, n_units=None, ax=None):
        """Draw the weights of a fitted model.

        `SoftmaxRegression` and LogisticRegression have one image for each class.
        `MLPClassifierTorch` and MLPClassifier have one image for each unit of the first
        hidden layer, and `ConvNetClassifier` has one image for each kernel of the first
        convolution. Kernels are standardised to mean 0 and norm 1, as in the network,
        but not multiplied by the gain of the activation.

        Parameters
        ----------
        estimator : estimator
            Fitted model of one of these classes, or a Pipeline or search around one.
        image_shape : tuple of int, default=None
            Shape of the images that the model was fitted to: ``(height, width)`` or
            ``(height, width, channels)``. None stands for the ``image_shape`` of the
            model if it has one, otherwise for square images. Channels are drawn side by
            side.
        n_units : int, default=None
            Number of units to draw. The units whose weights have the largest norms are
            drawn, in the order of the model and numbered from 0. None draws all units.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        WeightsDisplay
            The display of the weights.

        Raises
        ------
        TypeError
            If the estimator is of another class.
        ValueError
            If ``image_shape`` does not fit the number of features, or ``n_units`` is
            not an integer of at least 1.
        """
        model = model_of(estimator, MODELS, cls.__name__)
        n_units = whole_number("n_units", n_units, or_none=True)
        # Its attribute image_shape_ is known even where the parameter is None.
        if isinstance(model, ConvNetClassifier) and image_shape is None:
            image_shape = model.image_shape_
        shape = _mosaic.shape_seen(
            model, image_shape, model.n_features_in_, channels=None
        )
        weights, labels = _first_layer(model, shape)

        if n_units is not None:
            kept = _largest(weights, n_units)
            weights = weights[kept]
            if labels is None:
                labels = [str(unit) for unit in kept]
            else:
                labels = [labels[unit] for unit in kept]
        return cls(weights, labels)._drawn(ax)

    def plot(self, ax=None, *, cmap="RdBu_r", colorbar=True):
        """Draw the weights.

        A figure that `from_estimator` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Diverging colour map; its middle stands for 0.
        colorbar : bool, default=True
            Whether to draw a colour bar beside the weights.

        Returns
        -------
        self : WeightsDisplay
            The display.
        """
        weights = np.asarray(self.weights)
        labels = _mosaic.short_labels(self.labels)
        n_columns = _columns(weights, ax)
        if labels:
            n_columns = _mosaic.columns_for(labels, n_columns)
        cells = np.arange(len(weights))
        layout = _mosaic.lay_out(weights.shape[1:], cells, n_columns, labels, ax)

        self._begin(ax, _mosaic.size_in_inches(layout, 0.9))
        # Weights that are all 0 need a scale, too.
        largest = np.abs(weights).max() or 1.0
        limits = (-largest, largest)
        self._draw_mosaic(weights, layout, labels, limits=limits, cmap=cmap)
        if colorbar:
            self._add_colorbar(layout, "Weight")
        return self


def _first_layer(
    model: ClassifierMixin, shape: tuple[int, int, int]
) -> tuple[np.ndarray, list[str] | None]:
    """Return weights as images, and the classes if each unit stands for one."""
    if isinstance(model, ConvNetClassifier):
        return _kernels(to_numpy(model.coefs_[0])), None

    if isinstance(model, LINEAR):
        weights = to_numpy(model.coef_)
        hidden = False
    else:
        weights = to_numpy(model.coefs_[0]).T
        hidden = len(model.coefs_) > 1
    images = _channels_beside(weights, shape)
    if hidden:
        return images, None

    # The single unit of a model of two classes stands for the second one.
    classes = to_numpy(model.classes_)[-len(weights) :]
    return images, [str(label) for label in classes]


def _kernels(coef: np.ndarray) -> np.ndarray:
    """Return kernels (n_out, n_in, size, size) standardised, channels side by side."""
    rows = coef.reshape(len(coef), -1)
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    kernels = (rows / np.where(norms > 0, norms, 1)).reshape(coef.shape)
    return np.concatenate(np.moveaxis(kernels, 1, 0), axis=2)


def _channels_beside(rows: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return rows (n, h · w · c) as images (n, h, c · w), channels side by side."""
    images = rows.reshape(-1, *shape)
    return np.moveaxis(images, 3, 2).reshape(len(rows), shape[0], -1)


def _largest(weights: np.ndarray, n_units: int) -> np.ndarray:
    """Return the positions of the units with the largest norms, in order."""
    norms = np.linalg.norm(weights.reshape(len(weights), -1), axis=1)
    return np.sort(np.argsort(-norms, kind="stable")[:n_units])


def _columns(weights: np.ndarray, ax: Axes | None) -> int:
    """Return the number of images side by side."""
    n_units = len(weights)
    # Two rows of five are how the ten digits are mostly shown.
    if n_units <= 10:
        return min(n_units, 5)
    if ax is not None:
        return _mosaic.widest_tiles(weights.shape[1:], n_units, ax)

    # From a square to twice as wide as high, with as few empty places as possible.
    counts = range(math.ceil(n_units**0.5), math.ceil((2 * n_units) ** 0.5))
    return min(counts, key=lambda n_columns: -n_units % n_columns)
