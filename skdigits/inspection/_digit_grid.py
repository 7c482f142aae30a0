"""Rows as images, with what they are and what they were taken for."""

import math

import numpy as np

from skdigits._plotting import ORANGE
from skdigits._validation import _dense
from skdigits.inspection import _mosaic
from skdigits.inspection._answers import (
    as_array,
    asked_for_labels,
    matched_labels,
    needed,
    true_labels,
)
from skdigits.inspection._display import Display, innermost, whole_number

MOST_ROWS = 100  # unless they are named


class DigitGridDisplay(Display):
    """Images with their true and predicted labels; those that are wrong stand out.

    Made by `from_estimator` or `from_predictions`, which draw at once. Above an image stands
    its label; where that is not what was predicted, both in orange, as "4→9", and the image
    has a frame.

    Parameters
    ----------
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        Images; of dtype uint8, pixels of 0 to 255.
    y_true : ndarray of shape (n_images,), default=None
        Their labels.
    y_pred : ndarray of shape (n_images,), default=None
        The labels predicted.
    n_columns : int, default=None
        Images in a row; None: as many as leave room for the labels, but not more
            than 10; on given axes, as many as make images largest.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        All images as one.
    texts_ : list of matplotlib.text.Text
        What stands above each.
    ax_ : matplotlib.axes.Axes
        Axes with the image.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    confusion_pairs : What was taken for what, and the rows.
    top_losses : The rows that a model is most wrong about.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import TemplateMatchingClassifier
    >>> from skdigits.inspection import DigitGridDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = TemplateMatchingClassifier().fit(X[:1000] / 16, y[:1000])
    >>> display = DigitGridDisplay.from_estimator(model, X / 16, y, rows=range(1000, 1020))
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
        """Draw rows with what a fitted estimator takes them for.

        Only the rows that are drawn are predicted.

        Parameters
        ----------
        estimator : estimator
            Fitted; anything with ``predict``.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows as the estimator takes them, made of images; of dtype uint8, pixels of 0 to
            255. Values within [0, 1] are drawn on that scale, others from the least to the
            largest of what is drawn.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        rows : int, slice or array-like of int or bool, default=None
            Which rows to draw, in this order; None: all, but not more than the first 100.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, 3)`` of the images; None: what the model
            was told itself, else square.
        n_columns : int, default=None
            Images in a row; None: as many as leave room for the labels, but not more
            than 10; on given axes, as many as make images largest.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        DigitGridDisplay
            What was drawn.

        Raises
        ------
        AttributeError
            If the estimator has no ``predict``.
        ValueError
            If X is not made of images of ``image_shape``, the labels are not as many as its
            rows, some are words and others numbers, or there is no such row.
        """
        X = _rows_of_images(needed(X, estimator))
        places = _places(rows, X.shape[0])
        y_true = None if y is None else true_labels(X, y)[places]
        X = _taken(X, places)
        y_pred = asked_for_labels(estimator, X, y_true)
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
        """Draw rows with their labels, and with predictions that were made before.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, height, width[, 3])
            Images; of dtype uint8, pixels of 0 to 255. Values within [0, 1] are drawn on
            that scale, others from the least to the largest of what is drawn.
        y_true : array-like of shape (n_samples,), default=None
            Their labels.
        y_pred : array-like of shape (n_samples,), default=None
            The labels predicted.
        rows : int, slice or array-like of int or bool, default=None
            Which rows to draw, in this order; None: all, but not more than the first 100.
        image_shape : tuple of int, default=None
            ``(height, width)`` or ``(height, width, 3)`` of the images; None: that of X if
            it holds images, else square.
        n_columns : int, default=None
            Images in a row; None: as many as leave room for the labels, but not more
            than 10; on given axes, as many as make images largest.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        DigitGridDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If X is not made of images of ``image_shape``, the labels are not as many as its
            rows, some are words and others numbers, or there is no such row.
        """
        X = _rows_of_images(X)
        places = _places(rows, X.shape[0])
        if y_true is not None:
            y_true = true_labels(X, y_true, "y_true")
        if y_pred is not None:
            y_pred = matched_labels(y_pred, X.shape[0], y_true, "y_pred", "y_true")
        chosen = [None if y is None else y[places] for y in (y_true, y_pred)]
        images = _images(_taken(X, places), None, image_shape)
        return cls(images, *chosen, n_columns=n_columns)._drawn(ax)

    def plot(self, ax=None, *, cmap="gray_r"):
        """Draw the images.

        A figure that `from_estimator` or `from_predictions` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.
        cmap : str or matplotlib Colormap, default="gray_r"
            Colours of the values, unless the images have their own.

        Returns
        -------
        self : DigitGridDisplay
            The display.
        """
        images, (labels, wrong) = np.asarray(self.images), self._labels()
        n_columns = self._columns(images, labels, ax)
        cells = np.arange(len(images))
        layout = _mosaic.lay_out(images.shape[1:3], cells, n_columns, labels, ax)
        self._begin(ax, _mosaic.size_in_inches(layout))
        self.image_ = _mosaic.draw(
            self.ax_, images, layout, limits=_mosaic.brightness_limits(images), cmap=cmap,
            frames=[ORANGE if each else _mosaic.FRAME for each in wrong],
        )  # fmt: skip
        colors = [ORANGE if each else "black" for each in wrong]
        self.texts_ = _mosaic.write(self.ax_, labels, layout, colors)
        for text, each in zip(self.texts_, wrong, strict=False):
            text.set_fontweight("bold" if each else "normal")
        return self

    def _columns(self, images, labels, ax):
        if self.n_columns is not None:
            return min(self.n_columns, len(images))
        if ax is not None:
            return _mosaic.widest_tiles(images.shape[1:3], len(images), ax)
        return _mosaic.columns_for(labels, min(10, len(images)))

    def _labels(self):
        """What stands above each image, if anything, and which are wrong."""
        none = [False] * len(self.images)
        if self.y_true is None or self.y_pred is None:
            known = self.y_pred if self.y_true is None else self.y_true
            return [] if known is None else [
                _mosaic.short(label) for label in known
            ], none
        pairs = list(zip(self.y_true, self.y_pred, strict=True))
        wrong = [bool(true != predicted) for true, predicted in pairs]
        return [_shown(*pair) for pair in pairs], wrong


def _shown(true, predicted):
    if true == predicted:
        return _mosaic.short(true)
    return f"{_mosaic.short(true)}→{_mosaic.short(predicted)}"


def _rows_of_images(X):
    """X with a shape, and rows that can be taken."""
    X = (
        X.tocsr()
        if hasattr(X, "tocsr")
        else X
        if hasattr(X, "shape")
        else np.asarray(X)
    )
    if len(X.shape) < 2:
        raise ValueError(
            f"X has shape {tuple(X.shape)}, but a row for each image is wanted: of one image, "
            "pass X.reshape(1, -1), or X[[0]] instead of X[0]."
        )
    return X


def _taken(X, places):
    return X.iloc[places] if hasattr(X, "iloc") else X[places]


def _images(X, model, image_shape):
    """Rows as images: of the shape given, of X itself or such as the model was told."""
    pixels = as_array(_dense(X))
    try:
        pixels = pixels.astype(float) if pixels.dtype == object else pixels
    except (TypeError, ValueError) as error:
        raise ValueError(f"X has values that are no numbers: {error}.") from error
    if pixels.dtype.kind not in "biuf":
        raise ValueError(f"X is of dtype {pixels.dtype}, but real numbers are wanted.")
    if image_shape is None and pixels.ndim > 2:
        image_shape = pixels.shape[1:]
    shape = _mosaic.shape_seen(model, image_shape, math.prod(pixels.shape[1:]))
    return _mosaic.as_images(pixels, shape)


def _places(rows, n_rows):
    """Positions (n,) of the rows to draw."""
    try:
        places = _positions(rows, n_rows)
    except (TypeError, ValueError):  # of what is no sequence at all
        places = np.empty(1)
    if places.size == 0:
        raise ValueError("There are no rows to draw: X, or rows, is empty.")
    fitting = places.ndim == 1 and places.dtype.kind in "iu"
    if not fitting or places.min() < -n_rows or places.max() >= n_rows:
        raise ValueError(
            f"rows must be positions in X, which has {n_rows} rows, a slice, or a boolean for "
            f"each of them, got {rows!r}."
        )
    return places


def _positions(rows, n_rows):
    """What rows asks for, as an array, be it sensible or not."""
    if rows is None:
        return np.arange(min(n_rows, MOST_ROWS))
    if isinstance(rows, slice):
        return np.arange(n_rows)[rows]
    plain = hasattr(rows, "shape") or not hasattr(rows, "__iter__")
    places = np.atleast_1d(as_array(rows if plain else list(rows)))
    mask = places.dtype == bool and places.shape == (n_rows,)
    return np.flatnonzero(places) if mask else places
