"""The weights of the first layer, as images."""

import math

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from skdigits._arrays import to_numpy
from skdigits._convnet import ConvNetClassifier
from skdigits._mlp import MLPClassifierTorch
from skdigits._softmax_regression import SoftmaxRegression
from skdigits.inspection import _mosaic
from skdigits.inspection._display import Display, model_of, whole_number

LINEAR = SoftmaxRegression, LogisticRegression
MODELS = *LINEAR, MLPClassifierTorch, MLPClassifier, ConvNetClassifier


class WeightsDisplay(Display):
    """The weights of a model's first layer, an image for each class, hidden unit or kernel.

    Made by `from_estimator`, which draws at once.

    Parameters
    ----------
    weights : ndarray of shape (n_units, height, width)
        Images.
    labels : list of str, default=None
        What stands above each; None: nothing.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        All of them as one image; its colours are symmetric about 0.
    texts_ : list of matplotlib.text.Text
        The labels.
    ax_ : matplotlib.axes.Axes
        Axes with the image.
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
    >>> model = SoftmaxRegression(0.1, max_iter=20, tol=None, random_state=0).fit(X / 16, y)
    >>> display = WeightsDisplay.from_estimator(model)
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

        Parameters
        ----------
        estimator : estimator
            Fitted: `SoftmaxRegression` or LogisticRegression, an image for each class;
            `MLPClassifierTorch` or MLPClassifier, one for each unit of the first hidden
            layer; `ConvNetClassifier`, one for each kernel of the first convolution, brought
            to mean 0 and norm 1; the network multiplies it by the gain of its activation,
            too. Or a Pipeline that ends with one, or a search that found one.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, channels)`` of the images that the model
            saw; None: what it was told itself, else square. Several channels are drawn side
            by side.
        n_units : int, default=None
            Draw the units with the largest weights only (by their norm), so many, in their
            own order and numbered from 0; None: all.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        WeightsDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it is another estimator.
        ValueError
            If ``image_shape`` is not that of the rows it was fitted to, or ``n_units`` is
            no whole number of 1 or more.
        """
        model = model_of(estimator, MODELS, cls.__name__)
        n_units = whole_number("n_units", n_units, or_none=True)
        if isinstance(model, ConvNetClassifier) and image_shape is None:
            image_shape = model.image_shape_
        shape = _mosaic.shape_seen(
            model, image_shape, model.n_features_in_, channels=None
        )
        if isinstance(model, ConvNetClassifier):
            weights, labels = _kernels(to_numpy(model.coefs_[0])), None
        else:
            rows, labels = _first_layer(model)
            weights = _channels_beside(rows, shape)
        if n_units is not None:
            kept = _largest(weights, n_units)
            labels = [str(unit) for unit in kept] if labels is None else labels[kept]
            weights = weights[kept]
        return cls(weights, None if labels is None else list(labels))._drawn(ax)

    def plot(self, ax=None, *, cmap="RdBu_r", colorbar=True):
        """Draw the weights.

        A figure that `from_estimator` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.
        cmap : str or matplotlib Colormap, default="RdBu_r"
            Diverging colours, the middle of which is 0.
        colorbar : bool, default=True
            Whether to explain them beside the image.

        Returns
        -------
        self : WeightsDisplay
            The display.
        """
        weights = np.asarray(self.weights)
        labels = (
            []
            if self.labels is None
            else [_mosaic.short(label) for label in self.labels]
        )
        n_columns = _columns(weights, ax)
        if labels:
            n_columns = _mosaic.columns_for(labels, n_columns)
        cells = np.arange(len(weights))
        layout = _mosaic.lay_out(weights.shape[1:], cells, n_columns, labels, ax)
        self._begin(ax, _mosaic.size_in_inches(layout, 0.9))
        largest = np.abs(weights).max() or 1.0
        self.image_ = _mosaic.draw(
            self.ax_, weights, layout, limits=(-largest, largest), cmap=cmap
        )
        self.texts_ = _mosaic.write(self.ax_, labels, layout)
        if colorbar:
            _mosaic.explain(self.ax_, self.image_, layout, "Weight")
        return self


def _kernels(coef):
    """Kernels (n_out, n_in, size, size) as the network uses them, channels side by side."""
    rows = coef.reshape(len(coef), -1)
    rows = rows - rows.mean(1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    kernels = (rows / np.where(norms > 0, norms, 1)).reshape(coef.shape)
    return np.concatenate(np.moveaxis(kernels, 1, 0), axis=2)


def _first_layer(model):
    """Weights (n_units, n_features), and the classes where units are those, or None."""
    classes = to_numpy(model.classes_)
    if isinstance(model, LINEAR):
        weights, is_last = to_numpy(model.coef_), True
    else:
        weights, is_last = to_numpy(model.coefs_[0]).T, len(model.coefs_) == 1
    if not is_last:
        return weights, None
    return weights, np.array(
        [str(c) for c in classes[-len(weights) :]]
    )  # of two the second


def _channels_beside(rows, shape):
    """Rows (n, h · w · c) as images (n, h, c · w)."""
    images = rows.reshape(-1, *shape)
    return np.moveaxis(images, 3, 2).reshape(len(rows), shape[0], -1)


def _largest(weights, n_units):
    """The numbers of the units of the largest norm, in order."""
    norms = np.linalg.norm(weights.reshape(len(weights), -1), axis=1)
    return np.sort(np.argsort(-norms, kind="stable")[:n_units])


def _columns(weights, ax):
    """Five for up to ten units, else as many as leave few places empty, or fit the axes."""
    n_units = len(weights)
    if n_units <= 10:
        return min(n_units, 5)
    if ax is not None:
        return _mosaic.widest_tiles(weights.shape[1:], n_units, ax)
    counts = range(math.ceil(n_units**0.5), math.ceil((2 * n_units) ** 0.5))
    return min(counts, key=lambda n: -n_units % n)
