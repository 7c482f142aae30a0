"""A page with the digits that were found and read on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from skdigits._plotting import BLUE, ORANGE
from skdigits.inspection import _mosaic
from skdigits.inspection._answers import (
    answers,
    as_array,
    check_estimator,
    match_labels,
    method,
    predicted_labels,
)
from skdigits.inspection._display import Display
from skdigits.preprocessing import FoundDigit, find_digits
from skdigits.preprocessing._find_digits._readings import Taken, taken_by
from skdigits.preprocessing._pages import checked_page

if TYPE_CHECKING:
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text

# Smallest and largest size of the texts, in points: the first can still be read.
FONTS = (5.0, 12.0)
# Between a box and the texts above and below it, in points.
GAP = 1.5
# A text may be wider than its digit by this factor, as digits keep a distance.
WIDER = 1.3


class DigitsOnPageDisplay(Display):
    """A page with a box around each digit, what was read there, and how surely.

    `from_estimator` and `from_predictions` create the display and draw it. The label is
    above each digit, and its probability below, in percent, rounded down. Doubtful
    digits are orange, all others are blue; the title counts them.

    Parameters
    ----------
    image : array-like of shape (height, width), or PIL.Image.Image
        The page: grey values, of dtype uint8 from 0 to 255, or an image of Pillow of
        any mode.
    found : list of FoundDigit
        The digits that were found on the page.
    labels : ndarray of shape (n_digits,)
        What was read.
    probabilities : ndarray of shape (n_digits,), default=None
        Probability of each label. None draws labels alone.
    doubtful : float, default=0.8
        Digits with a lower probability are doubtful.

    Attributes
    ----------
    image_ : matplotlib.image.AxesImage
        The page.
    boxes_ : list of matplotlib.patches.Rectangle
        The box of each digit.
    texts_ : list of matplotlib.text.Text
        Label above each digit.
    percents_ : list of matplotlib.text.Text
        Probability below each digit. Empty without probabilities.
    ax_ : matplotlib.axes.Axes
        Axes with the page.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    DigitGridDisplay : Images of digits, one beside the other.
    skdigits.preprocessing.find_digits : Finds the digits of a page.

    Examples
    --------
    A page with the number 407, made of three digits that the model has not seen:

    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.inspection import DigitsOnPageDisplay
    >>> from skdigits.preprocessing import DigitNormalizer
    >>> X, y = load_digits(return_X_y=True)
    >>> X = (X * 15).astype(np.uint8)
    >>> model = make_pipeline(DigitNormalizer(), SoftmaxRegression(random_state=0))
    >>> model = model.fit(X[:1000], y[:1000])
    >>> line = np.hstack(X[[1754, 1317, 1674]].reshape(-1, 8, 8))
    >>> page = 240 - np.pad(line.repeat(9, axis=0).repeat(9, axis=1), 60)
    >>> display = DigitsOnPageDisplay.from_estimator(model, page)
    >>> [text.get_text() for text in display.texts_]
    ['4', '0', '7']
    >>> plt.close(display.figure_)
    """

    def __init__(self, image, found, labels, probabilities=None, *, doubtful=0.8):
        self.image = image
        self.found = found
        self.labels = labels
        self.probabilities = probabilities
        self.doubtful = _fraction("doubtful", doubtful)

    @classmethod
    def from_estimator(
        cls, estimator, image, *, layout="free", dark=None, doubtful=0.8, ax=None
    ):
        """Find the digits of a page, read them, and draw both.

        Parameters
        ----------
        estimator : estimator
            Fitted classifier of digits. Its probabilities also decide where digits that
            touch each other are cut apart, see `skdigits.preprocessing.find_digits`.
            Without ``predict_proba``, labels are drawn alone. Classifiers of other
            libraries need a `skdigits.preprocessing.DigitNormalizer` as the first step.
            Those of skdigits alone are handed rows of square images like MNIST's, of
            the numbers that they were fitted to.
        image : array-like of shape (height, width), or PIL.Image.Image
            The page: grey values of any range, or an image of Pillow of any mode.
        layout : {"free", "cells"}, default="free"
            How digits stand on the page: ``"free"`` for lines of digits such as numbers
            and dates, ``"cells"`` for the cells of a printed grid.
        dark : bool, default=None
            Whether ink is darker than the page. None decides by the strokes.
        doubtful : float, default=0.8
            Digits with a lower probability are doubtful.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        DigitsOnPageDisplay
            The display of the page with its digits.

        Raises
        ------
        AttributeError
            If the estimator has no ``predict``.
        ValueError
            If the image is not a 2-D array of finite numbers, a parameter is invalid,
            there is ink, but no grid with ``layout="cells"``, or the estimator needs a
            DigitNormalizer.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        doubtful = _fraction("doubtful", doubtful)
        check_estimator(estimator)
        method(estimator, "predict")
        taken = taken_by(estimator, "estimator")
        page = checked_page(image)

        model = estimator if hasattr(estimator, "predict_proba") else None
        found = find_digits(page, layout=layout, model=model, dark=dark)
        labels, probabilities = _readings(estimator, taken, found)
        return cls(page, found, labels, probabilities, doubtful=doubtful)._drawn(ax)

    @classmethod
    def from_predictions(
        cls, image, found, labels, probabilities=None, *, doubtful=0.8, ax=None
    ):
        """Draw a page with digits that were found and read before.

        Parameters
        ----------
        image : array-like of shape (height, width), or PIL.Image.Image
            The page.
        found : list of FoundDigit
            The digits of the page, from `skdigits.preprocessing.find_digits`. Empty
            cells, which have no cut-out, are not drawn.
        labels : array-like of shape (n_digits,)
            What was read in the cut-outs, in the order of ``found``.
        probabilities : array-like of shape (n_digits,) or (n_digits, n_classes), \
                default=None
            Probability of each label; or those of all classes, of which the largest
            counts. None draws labels alone.
        doubtful : float, default=0.8
            Digits with a lower probability are doubtful.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        DigitsOnPageDisplay
            The display of the page with its digits.

        Raises
        ------
        ValueError
            If the image is not a 2-D array of finite numbers, the numbers of digits,
            labels and probabilities differ, or a probability is not within [0, 1].
        TypeError
            If ``found`` holds anything else than digits of `find_digits`.
        """
        digits = _digits(found)
        page = checked_page(image)
        n_digits = len(digits)
        # Labels of no digits are fine here, but nowhere else.
        if n_digits or len(as_array(labels)):
            labels = match_labels(labels, n_digits, None, "labels")
        if probabilities is not None:
            probabilities = _of_labels(as_array(probabilities), n_digits)

        return cls(page, digits, labels, probabilities, doubtful=doubtful)._drawn(ax)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the page and its digits.

        A figure that `from_estimator` or `from_predictions` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            Colour map of the page.

        Returns
        -------
        self : DigitsOnPageDisplay
            The display.
        """
        page = checked_page(self.image)
        is_doubtful = self._is_doubtful()
        colors = [ORANGE if each else BLUE for each in is_doubtful]

        self._begin(ax, _size_in_inches(page.shape))
        low, high = _mosaic.brightness_limits(page)
        self.image_ = self.ax_.imshow(page, cmap=cmap, vmin=low, vmax=high)
        self.ax_.set_axis_off()
        self.ax_.set_title(_title(is_doubtful))

        self.boxes_ = [
            self.ax_.add_patch(_rectangle(digit, color))
            for digit, color in zip(self.found, colors, strict=True)
        ]
        self.texts_ = self._write_above(colors)
        self.percents_ = self._write_below(colors)
        return self

    def _is_doubtful(self) -> list[bool]:
        """Return which digits are doubtful; none is without probabilities."""
        if self.probabilities is None:
            return [False] * len(self.found)
        return [bool(each < self.doubtful) for each in self.probabilities]

    def _write_above(self, colors: Sequence[str]) -> list[Text]:
        """Write the label above each box."""
        labels = _mosaic.short_labels(self.labels)
        places = [(digit.box[0] - 0.5, _middle(digit)) for digit in self.found]
        return self._write(labels, places, colors, above=True)

    def _write_below(self, colors: Sequence[str]) -> list[Text]:
        """Write the probability of the label below each box, if it is known."""
        if self.probabilities is None:
            return []
        percents = [_percent(each) for each in self.probabilities]
        places = [(digit.box[2] - 0.5, _middle(digit)) for digit in self.found]
        return self._write(percents, places, colors, above=False)

    def _write(
        self,
        texts: Sequence[str],
        places: Sequence[tuple[float, float]],
        colors: Sequence[str],
        *,
        above: bool,
    ) -> list[Text]:
        """Write texts above or below (row, column) of the page."""
        from matplotlib.patheffects import withStroke

        style: dict[str, Any] = {
            "xytext": (0, GAP if above else -GAP),
            "textcoords": "offset points",
            "ha": "center",
            "va": "bottom" if above else "top",
            "fontsize": self._font(texts),
            "fontweight": "bold" if above else "normal",
            "parse_math": False,
            # Ink and shadows of photographs have any brightness: letters have a rim.
            "path_effects": [withStroke(linewidth=2, foreground="white")],
        }
        return [
            self.ax_.annotate(text, (column, row), color=color, **style)
            for text, (row, column), color in zip(texts, places, colors, strict=True)
        ]

    def _font(self, texts: Sequence[str]) -> float:
        """Return the size at which texts are about as wide as the digits, in points."""
        smallest, largest = FONTS
        if not texts:
            return largest

        height, width = checked_page(self.image).shape
        bounds = self.ax_.get_window_extent()
        pixel = min(bounds.width / width, bounds.height / height)
        points = pixel * _mosaic.POINTS_PER_INCH / self.figure_.dpi
        letters = max(map(len, texts))
        room = points * _room([digit.box for digit in self.found])
        return min(max(room / (_mosaic.LETTER * letters), smallest), largest)


def _readings(
    estimator: BaseEstimator, taken: Taken, found: Sequence[FoundDigit]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return label and probability of each digit that was found."""
    with_probabilities = hasattr(estimator, "predict_proba")
    # No classifier takes no samples.
    if not found:
        return np.empty(0, int), np.empty(0) if with_probabilities else None

    X = taken([digit.cut_out for digit in found])
    labels = predicted_labels(estimator, X, None)
    if not with_probabilities:
        return labels, None
    return labels, answers(estimator, X, labels).of_true


def _digits(found: Any) -> list[FoundDigit]:
    """Return the digits that were found, without empty cells."""
    is_several = isinstance(found, list | tuple | np.ndarray)
    digits = list(found) if is_several else [found]
    odd = [each for each in digits if not isinstance(each, FoundDigit)]
    if odd:
        raise TypeError(
            f"found holds {type(odd[0]).__name__}, but digits of find_digits are "
            "expected: pass found=find_digits(image)."
        )
    return [digit for digit in digits if digit.cut_out is not None]


def _of_labels(probabilities: np.ndarray, n_digits: int) -> np.ndarray:
    """Return the probability (n,) of each label."""
    fits = probabilities.ndim in (1, 2) and len(probabilities) == n_digits
    if not fits or probabilities.dtype.kind not in "fiub":
        raise ValueError(
            f"probabilities has shape {probabilities.shape} and dtype "
            f"{probabilities.dtype}, but there are {n_digits} digits with a cut-out: "
            "pass one number for each, or the rows of predict_proba."
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(
            "probabilities must lie within [0, 1], but range from "
            f"{probabilities.min():g} to {probabilities.max():g}: pass what "
            "predict_proba returns, not scores or logits."
        )
    return probabilities if probabilities.ndim == 1 else probabilities.max(axis=1)


def _fraction(name: str, value: Any) -> float:
    """Return a parameter that must be a number within [0, 1]."""
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not is_number or not 0 <= value <= 1:
        raise ValueError(
            f"{name}={value!r} must be a probability within [0, 1], such as 0.8; 0 "
            "lets no digit be doubtful."
        )
    return float(value)


def _rectangle(digit: FoundDigit, color: str) -> Rectangle:
    """Return the box of a digit around its pixels, of which centres are integers."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = digit.box
    corner = (left - 0.5, top - 0.5)
    return Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=color)


def _middle(digit: FoundDigit) -> float:
    """Return the column in the middle of a digit."""
    return (digit.box[1] + digit.box[3] - 1) / 2


def _room(boxes: Sequence[tuple[int, int, int, int]]) -> float:
    """Return the width that a text above a usual digit may have, in pixels."""
    top, left, bottom, right = np.array(boxes).T
    # A 1 is narrow, but keeps the distance of other digits.
    widths = np.maximum(right - left, 0.6 * (bottom - top))
    return WIDER * float(np.median(widths))


def _size_in_inches(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the size of a figure for a page, with a title above."""
    height, width = shape
    scale = min(_mosaic.WIDTH / width, _mosaic.TALLEST / height)
    # A narrow page still has room for its title.
    return max(scale * width, 2.5), scale * height + 0.4


def _percent(probability: float) -> str:
    """Return whole percents, rounded down: 99.9 % are not certain, 79.9 % not 80."""
    # Twenty-nine hundredths times a hundred is a little less than 29.
    return f"{int(100 * probability + 1e-6)} %"


def _title(is_doubtful: Sequence[bool]) -> str:
    """Return how many digits there are, and how many of them are doubtful."""
    n_digits = len(is_doubtful)
    if not n_digits:
        return "No digit found"
    title = "1 digit" if n_digits == 1 else f"{n_digits} digits"
    return f"{title}, {sum(is_doubtful)} doubtful" if any(is_doubtful) else title
