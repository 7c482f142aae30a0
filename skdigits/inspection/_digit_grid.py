"""Rows as images, with what they are and what they were taken for."""

import numpy as np

from skdigits._arrays import to_numpy
from skdigits._plotting import ORANGE
from skdigits.inspection import _mosaic
from skdigits.inspection._display import Display, check_count, innermost

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
        check_count("n_columns", n_columns)
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.n_columns = n_columns

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, rows=None, image_shape=None, n_columns=None, ax=None
    ):
        """Draw rows with what a fitted estimator takes them for.

        Only the rows that are drawn are predicted.

        Parameters
        ----------
        estimator : estimator
            Fitted; anything with ``predict``.
        X : array-like of shape (n_samples, n_features)
            Rows as the estimator takes them, made of images; of dtype uint8, pixels of 0 to
            255. Values within [0, 1] are drawn on that scale, others from the least to the
            largest of what is drawn.
        y : array-like of shape (n_samples,), default=None
            Their labels.
        rows : array-like of int or bool, default=None
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
        ValueError
            If ``image_shape`` is not that of X, labels are not as many as rows, or there is
            no such row.
        """
        model = innermost(estimator)
        X, y_true, _ = _chosen(X, y, None, rows)
        if image_shape is None:
            image_shape = _told(model, X.shape[1])
        return cls._of(X, y_true, estimator.predict(X), image_shape, n_columns)._drawn(ax)

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
        rows : array-like of int or bool, default=None
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
            If ``image_shape`` is not that of X, labels are not as many as rows, or there is
            no such row.
        """
        X, y_true, y_pred = _chosen(X, y_true, y_pred, rows)
        return cls._of(X, y_true, y_pred, image_shape, n_columns)._drawn(ax)

    @classmethod
    def _of(cls, X, y_true, y_pred, image_shape, n_columns):
        X = _array(X)
        if image_shape is None and X.ndim > 2:
            image_shape = X.shape[1:]
        shape = _mosaic.check_image_shape(image_shape, X[0].size)
        labels = [None if y is None else _column(_array(y)) for y in (y_true, y_pred)]
        return cls(_mosaic.as_images(X, shape), *labels, n_columns=n_columns)

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
            return [] if known is None else [_mosaic.short(label) for label in known], none
        pairs = list(zip(self.y_true, self.y_pred, strict=True))
        wrong = [bool(true != predicted) for true, predicted in pairs]
        return [_shown(*pair) for pair in pairs], wrong


def _shown(true, predicted):
    if true == predicted:
        return _mosaic.short(true)
    return f"{_mosaic.short(true)}→{_mosaic.short(predicted)}"


def _array(values):
    """An array-like as NumPy's."""
    known = hasattr(values, "shape") and not hasattr(values, "to_numpy")
    return to_numpy(values) if known else np.asarray(values)


def _column(labels):
    if labels.ndim != 1:
        raise ValueError(
            f"Labels have shape {labels.shape}, but an image is shown with one: pass one "
            "column, the class of each row."
        )
    return labels


def _told(model, n_features):
    """The shape of images that a model was told, if rows of so many features have it."""
    shape = getattr(model, "image_shape", None)
    return shape if shape is not None and np.prod(shape) == n_features else None


def _chosen(X, y_true, y_pred, rows):
    """The rows of all that were asked for."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    n_rows = X.shape[0]
    for name, y in ("y_true", y_true), ("y_pred", y_pred):
        if y is not None and len(y) != n_rows:
            raise ValueError(f"{name} has {len(y)} labels for {n_rows} rows of X.")
    places = _places(rows, n_rows)
    labels = [None if y is None else _array(y)[places] for y in (y_true, y_pred)]
    return X.iloc[places] if hasattr(X, "iloc") else X[places], *labels


def _places(rows, n_rows):
    """Positions of the rows to draw."""
    if rows is None:
        places = np.arange(min(n_rows, MOST_ROWS))
    else:
        places = np.asarray(list(rows))
        if places.dtype == bool and places.shape == (n_rows,):
            places = np.flatnonzero(places)
    if places.size == 0:
        raise ValueError("There are no rows to draw: X, or rows, is empty.")
    if places.dtype.kind not in "iu" or places.min() < -n_rows or places.max() >= n_rows:
        raise ValueError(
            f"rows must be positions in X, which has {n_rows} rows, or a boolean for each of "
            f"them, got {rows!r}."
        )
    return places
