"""Images of samples, with their true and predicted labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

from skdigits._arrays import refuse_cuda_tensors
from skdigits._plotting import ORANGE
from skdigits._targets import dense_targets
from skdigits.inspection import _mosaic
from skdigits.inspection._answers import (
    as_array,
    match_labels,
    predicted_labels,
    samples_for,
    true_labels,
)
from skdigits.inspection._display import innermost, whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# By default, no more than this, so that a whole data set can be passed.
MOST_SAMPLES = 100


class DigitGridDisplay(_mosaic.MosaicDisplay):
    """Images with their true and predicted labels; wrong predictions stand out.

    `from_estimator` and `from_predictions` create the display and draw it. The label is
    above each image. If the prediction is wrong, both labels are above the image, in
    orange, such as "4→9" (true→predicted), and the image has an orange frame.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        Images to draw. Pixels of dtype uint8 range from 0 to 255.
    y_true : ndarray of shape (n_images,), default=None
        True labels of the images.
    y_pred : ndarray of shape (n_images,), default=None
        Predicted labels of the images.
    n_columns : int, default=None
        Number of images side by side. None chooses at most 10, so that labels have
        room; on given axes, None chooses the number that makes the images largest.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        Image that contains all images.
    texts_ : list of matplotlib.text.Text
        Text above each image.
    ax_ : matplotlib.axes.Axes
        Axes with the images.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    confusion_pairs : Which classes are confused, and the samples.
    top_losses : The samples with the largest losses.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import TemplateMatchingClassifier
    >>> from skdigits.inspection import DigitGridDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = TemplateMatchingClassifier().fit(X[:1000], y[:1000])
    >>> display = DigitGridDisplay.from_estimator(model, X, y, rows=range(1000, 1020))
    >>> [text.get_text() for text in display.texts_][-3:]
    ['2', '5→9', '7']
    >>> plt.close(display.figure_)
    """

    def __init__(self, images, y_true=None, y_pred=None, *, n_columns=None):
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.n_columns = whole_number("n_columns", n_columns, or_none=True)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        rows=None,
        image_shape=None,
        n_columns=None,
        ax=None,
    ):
        """Draw samples with the labels that a fitted estimator predicts.

        The estimator predicts only the samples that are drawn.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator with a method ``predict``.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples to predict, one image per row. The grey scale is 0 to 255 for dtype
            uint8, 0 to 1 for values within [0, 1], and otherwise the range of the
            values drawn.
        y : array-like of shape (n_samples,), default=None
            True labels of the samples.
        rows : int, slice or array-like of int or bool, default=None
            Samples to draw, in this order. None draws the first 100, or all if there
            are fewer.
        image_shape : tuple of int, default=None
            Shape of the images: ``(height, width)`` or ``(height, width, 3)``. None
            stands for the ``image_shape`` of the model if it has one, otherwise for
            square images.
        n_columns : int, default=None
            Number of images side by side. None chooses at most 10, so that labels have
            room; on given axes, None chooses the number that makes the images largest.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        DigitGridDisplay
            The display of the samples with their predictions.

        Raises
        ------
        AttributeError
            If the estimator has no ``predict``.
        ValueError
            If X does not hold images of ``image_shape``, X and y differ in length, only
            one of y and the predictions holds strings, or ``rows`` selects no samples
            of X.
        """
        X = _with_shape(samples_for(estimator, X))
        places = _places(rows, X.shape[0])
        if y is not None:
            y = true_labels(X, y)

        # All labels are checked, but only samples that are drawn are predicted.
        X = _at(X, places)
        y_true = _at(y, places)
        y_pred = predicted_labels(estimator, X, y_true)
        images = _images(X, innermost(estimator), image_shape)
        return cls(images, y_true, y_pred, n_columns=n_columns)._drawn(ax)

    @classmethod
    def from_predictions(
        cls,
        X,
        y_true=None,
        y_pred=None,
        *,
        rows=None,
        image_shape=None,
        n_columns=None,
        ax=None,
    ):
        """Draw samples with their labels and with given predictions.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or \
                (n_samples, height, width[, 3])
            Images. The grey scale is 0 to 255 for dtype uint8, 0 to 1 for values within
            [0, 1], and otherwise the range of the values drawn.
        y_true : array-like of shape (n_samples,), default=None
            True labels.
        y_pred : array-like of shape (n_samples,), default=None
            Predicted labels.
        rows : int, slice or array-like of int or bool, default=None
            Images to draw, in this order. None draws the first 100, or all if there are
            fewer.
        image_shape : tuple of int, default=None
            Shape of the images: ``(height, width)`` or ``(height, width, 3)``. None
            stands for the shape of the images in X, or for square images if X has two
            dimensions.
        n_columns : int, default=None
            Number of images side by side. None chooses at most 10, so that labels have
            room; on given axes, None chooses the number that makes the images largest.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        DigitGridDisplay
            The display of the images with their labels.

        Raises
        ------
        ValueError
            If X does not hold images of ``image_shape``, X and the labels differ in
            length, only one of ``y_true`` and ``y_pred`` holds strings, or ``rows``
            selects no images of X.
        """
        X = _with_shape(X)
        places = _places(rows, X.shape[0])
        if y_true is not None:
            y_true = true_labels(X, y_true, "y_true")
        if y_pred is not None:
            y_pred = match_labels(y_pred, X.shape[0], y_true, "y_pred", "y_true")

        images = _images(_at(X, places), None, image_shape)
        # After the labels have been compared as a whole.
        y_true = _at(y_true, places)
        y_pred = _at(y_pred, places)
        return cls(images, y_true, y_pred, n_columns=n_columns)._drawn(ax)

    def plot(self, ax=None, *, cmap="gray_r"):
        """Draw the images.

        A figure that `from_estimator` or `from_predictions` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        cmap : str or matplotlib Colormap, default="gray_r"
            Colour map of grey images. Not used for images with 3 channels.

        Returns
        -------
        self : DigitGridDisplay
            The display.
        """
        images = np.asarray(self.images)
        labels, wrong = self._labels()
        # The labels come first, as their widths limit the number of columns.
        n_columns = self._columns(images, labels, ax)
        cells = np.arange(len(images))
        layout = _mosaic.lay_out(images.shape[1:3], cells, n_columns, labels, ax)

        self._begin(ax, _mosaic.size_in_inches(layout))
        self._draw_mosaic(
            images,
            layout,
            labels,
            limits=_mosaic.brightness_limits(images),
            cmap=cmap,
            highlights=[ORANGE if each else "" for each in wrong],
        )
        return self

    def _columns(
        self, images: np.ndarray, labels: Sequence[str], ax: Axes | None
    ) -> int:
        """Return the number of images side by side."""
        if self.n_columns is not None:
            return min(self.n_columns, len(images))
        # The size of given axes is fixed, so that images matter more than labels there.
        if ax is not None:
            return _mosaic.widest_tiles(images.shape[1:3], len(images), ax)
        return _mosaic.columns_for(labels, min(10, len(images)))

    def _labels(self) -> tuple[list[str], list[bool]]:
        """Return the text above each image, if any, and which predictions are wrong."""
        if self.y_true is None or self.y_pred is None:
            known = self.y_pred if self.y_true is None else self.y_true
            return _mosaic.short_labels(known), [False] * len(self.images)

        pairs = list(zip(self.y_true, self.y_pred, strict=True))
        wrong = [bool(true != predicted) for true, predicted in pairs]
        return [_pair_label(true, predicted) for true, predicted in pairs], wrong


def _pair_label(true: object, predicted: object) -> str:
    """Return one label if both are the same, else both with an arrow between them."""
    label = _mosaic.short_label(true)
    if true == predicted:
        return label
    return f"{label}→{_mosaic.short_label(predicted)}"


def _with_shape(X: ArrayLike) -> np.ndarray | pd.DataFrame | csr_array:
    """Return X as a container with a shape, from which samples can be taken."""
    # Of all sparse formats, CSR is the one to take rows from.
    if hasattr(X, "tocsr"):
        X = X.tocsr()
    elif not hasattr(X, "shape"):
        refuse_cuda_tensors(X=X)
        X = np.asarray(X)

    if len(X.shape) < 2:
        raise ValueError(
            f"X has shape {tuple(X.shape)}, but one row per image is expected: for one "
            "image, pass X.reshape(1, -1), or X[[0]] instead of X[0]."
        )
    return X


def _at(
    values: np.ndarray | pd.DataFrame | csr_array | None, places: np.ndarray
) -> np.ndarray | pd.DataFrame | csr_array | None:
    """Return the samples or labels at these places; None stays None."""
    if values is None:
        return None
    return values.iloc[places] if hasattr(values, "iloc") else values[places]


def _images(
    X: np.ndarray | pd.DataFrame | csr_array,
    model: BaseEstimator | None,
    image_shape: tuple[int, ...] | None,
) -> np.ndarray:
    """Return samples as images of the given shape, that of X, or that of the model."""
    pixels = as_array(dense_targets(X))
    try:
        pixels = pixels.astype(float) if pixels.dtype == object else pixels
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"X has values that are no numbers ({error}): pass real numbers."
        ) from error
    if pixels.dtype.kind not in "biuf":
        raise ValueError(
            f"X has dtype {pixels.dtype}, but real numbers are expected: convert X, by "
            ".astype(float) for example."
        )

    if image_shape is None and pixels.ndim > 2:
        image_shape = pixels.shape[1:]
    shape = _mosaic.shape_seen(model, image_shape, math.prod(pixels.shape[1:]))
    return _mosaic.as_images(pixels, shape)


def _places(rows: slice | ArrayLike | None, n_samples: int) -> np.ndarray:
    """Return the positions (n,) of the samples to draw."""
    try:
        places = _positions(rows, n_samples)
    # Anything can be passed; the message below then quotes it.
    except (TypeError, ValueError):
        places = np.empty(1)

    if places.size == 0:
        raise ValueError(
            "There are no samples to draw, as X or rows is empty: pass at least one."
        )
    fitting = places.ndim == 1 and places.dtype.kind in "iu"
    if not fitting or places.min() < -n_samples or places.max() >= n_samples:
        raise ValueError(
            f"rows must be positions in X, which has {n_samples} samples, a slice, or "
            f"one boolean per sample, got {rows!r}."
        )
    return places


def _positions(rows: slice | ArrayLike | None, n_samples: int) -> np.ndarray:
    """Return the positions that ``rows`` stands for, which may be invalid still."""
    if rows is None:
        return np.arange(min(n_samples, MOST_SAMPLES))
    if isinstance(rows, slice):
        return np.arange(n_samples)[rows]

    # NumPy does not read a range or a generator by itself.
    if hasattr(rows, "__iter__") and not hasattr(rows, "shape"):
        rows = list(rows)
    places = np.atleast_1d(as_array(rows))
    mask = places.dtype == bool and places.shape == (n_samples,)
    return np.flatnonzero(places) if mask else places
