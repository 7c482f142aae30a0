"""Learning curves: loss, score and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skdigits._plotting import (
    BLUE,
    COLORS,
    GREEN,
    ORANGE,
    legend_below,
    legend_line,
    log_ticks,
    whole_ticks,
)
from skdigits.inspection._display import Display, check_kind, innermost

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

COLUMNS = {
    "loss": ["train_loss", "validation_loss"],
    "score": ["validation_score"],
    "learning_rate": ["learning_rate"],
}
KINDS = (*COLUMNS, "all")
KNOWN_COLUMNS = {"epoch"}.union(*COLUMNS.values())
NAMES = {
    "train_loss": "training",
    "validation_loss": "validation",
    "learning_rate": "learning rate",
}
STYLES = {"validation_loss": "--", "validation_score": "-."}
COLUMN_COLORS = {"validation_loss": ORANGE, "validation_score": GREEN}
# Up to this number of epochs, each epoch has a dot; more dots would merge.
FEW_EPOCHS = 20
# An axis is logarithmic above this ratio of largest to smallest value.
WIDE = 20
WHY_NOTHING = {
    "loss": "train_loss is missing, or NaN in all epochs: pass another history.",
    "score": "no samples were held out. Fit with early_stopping=True, or pass X_val "
    "and y_val.",
    "learning_rate": "it was not recorded. Fit with another solver than 'lbfgs'.",
}


class Curve(NamedTuple):
    """One column of a history, to be drawn as a line."""

    name: str
    column: str
    epochs: np.ndarray
    values: np.ndarray


class LearningCurveDisplay(Display):
    """Loss, validation score or learning rate of each epoch, from ``history_``.

    `from_estimator` and `from_history` create the display and draw it.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Histories by name, in the form of the attribute ``history_``. A dict of columns
        may replace a DataFrame.
    score_name : str, default="score"
        Name of the validation score.
    kind : {"loss", "score", "learning_rate", "all"}, default="loss"
        Curves that `plot` draws by default.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        Lines, history by history.
    ax_ : matplotlib.axes.Axes
        Axes with the curves.
    score_ax_ : matplotlib.axes.Axes or None
        Second axes with the score, at the right, with ``kind="all"``; otherwise None.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Score against the number of samples.
    LearningRateSearchDisplay : The epochs of all candidates of a search.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.inspection import LearningCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> model = SoftmaxRegression(0.1, max_iter=20, tol=None, random_state=0)
    >>> model = model.fit(X[:1000], y[:1000], X_val=X[1000:], y_val=y[1000:])
    >>> display = LearningCurveDisplay.from_estimator(model)
    >>> [line.get_label() for line in display.lines_]
    ['training', 'validation']
    >>> plt.close(display.figure_)
    """

    def __init__(self, histories, *, score_name="score", kind="loss"):
        self.histories = histories
        self.score_name = score_name
        self.kind = kind

    @classmethod
    def from_estimator(cls, estimator, *, kind="loss", ax=None):
        """Draw the curves of one or several fitted estimators.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            Fitted estimator with ``history_``, or a Pipeline or search around one. The
            estimators of a dict have different colours and are named by their keys.
        kind : {"loss", "score", "learning_rate", "all"}, default="loss"
            Curves to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        LearningCurveDisplay
            The display of the estimators' histories.

        Raises
        ------
        TypeError
            If an estimator has no ``history_``.
        ValueError
            If there is nothing to draw, or two keys are equal as text.
        """
        named = estimator if isinstance(estimator, dict) else {None: estimator}
        if not named:
            raise ValueError(
                "There are no curves to draw, as the dict of estimators is empty: pass "
                "a fitted estimator."
            )

        histories = {}
        score_names = set()
        for name, each in named.items():
            model = _with_history(each)
            title = type(model).__name__ if name is None else str(name)
            histories[title] = model.history_
            score_names.add(_score_name(model))
        if len(histories) < len(named):
            raise ValueError(
                "The dict of estimators has keys that are the same as text: "
                f"{[*named]}. Give each its own name."
            )

        # Different scores have no name in common.
        score_name = score_names.pop() if len(score_names) == 1 else "score"
        return cls(histories, score_name=score_name, kind=kind)._drawn(ax)

    @classmethod
    def from_history(cls, history, name=None, *, kind="loss", ax=None):
        """Draw the curves of a history.

        Parameters
        ----------
        history : DataFrame or dict of str to array-like
            History with the columns of ``history_``; some may be missing. Without a
            column ``epoch``, epochs count from 1.
        name : str, default=None
            Name of the model. None stands for "model".
        kind : {"loss", "score", "learning_rate", "all"}, default="loss"
            Curves to draw, as in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        LearningCurveDisplay
            The display of the history.

        Raises
        ------
        ValueError
            If there is nothing to draw, or a column is not numeric.
        """
        title = "model" if name is None else str(name)
        return cls({title: history}, kind=kind)._drawn(ax)

    def plot(self, ax=None, *, kind=None):
        """Draw the curves.

        An axis is logarithmic if its largest value is more than 20 times its smallest.
        A figure that `from_estimator` or `from_history` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        kind : {"loss", "score", "learning_rate", "all"}, default=None
            Curves to draw. ``"loss"`` draws the training loss (solid) and the
            validation loss (dashed). ``"score"`` draws the validation score.
            ``"learning_rate"`` draws the learning rate of the last step of each epoch.
            ``"all"`` draws both losses, and the validation score on a second axis at
            the right. None stands for the ``kind`` of the display.

        Returns
        -------
        self : LearningCurveDisplay
            The display.

        Raises
        ------
        TypeError
            If ``histories`` is not a dict.
        ValueError
            If ``kind`` is unknown, there is nothing to draw, or a column is not
            numeric.
        """
        kind = check_kind(self.kind if kind is None else kind, KINDS)
        if not isinstance(self.histories, dict):
            raise TypeError(
                "histories must be a dict of DataFrames by name, got "
                f"{type(self.histories).__name__}: for a single one, use from_history."
            )

        # All that can fail comes before _begin, so that no empty figure is left over.
        histories = {}
        for name, history in self.histories.items():
            histories[name] = _known_columns(history, name)
        curves = _curves(histories, "loss" if kind == "all" else kind)
        scores = _curves(histories, "score") if kind == "all" else []

        self._begin(ax)
        self.score_ax_ = self.ax_.twinx() if kind == "all" else None
        self.lines_ = self._draw(self.ax_, curves)
        if self.score_ax_ is not None:
            self.lines_ += self._draw(self.score_ax_, scores)
        self._label(kind)
        self._add_legend()
        return self

    def _draw(self, ax: Axes, curves: Sequence[Curve]) -> list[Line2D]:
        """Draw the curves and return their lines."""
        most_epochs = max(len(curve.values) for curve in curves)
        marker = "o" if most_epochs <= FEW_EPOCHS else None

        lines: list[Line2D] = []
        for curve in curves:
            label, color = self._label_and_color(curve)
            style = STYLES.get(curve.column, "-")
            lines += ax.plot(
                curve.epochs,
                curve.values,
                style,
                color=color,
                label=label,
                marker=marker,
                markersize=4,
            )

        _scale(ax, np.concatenate([line.get_ydata() for line in lines]))
        return lines

    def _label_and_color(self, curve: Curve) -> tuple[str, str]:
        """Return the label of a curve, and its colour by column or by history."""
        label = NAMES.get(curve.column, f"validation {self.score_name}")
        if len(self.histories) == 1:
            return label, COLUMN_COLORS.get(curve.column, BLUE)
        return f"{curve.name}, {label}", self._color_of(curve.name)

    def _color_of(self, name: str) -> str:
        """Return the colour of a history, one of several."""
        position = list(self.histories).index(name)
        return COLORS[position % len(COLORS)]

    def _label(self, kind: str) -> None:
        """Label the axes."""
        score = f"Validation {self.score_name}"
        y_labels = {"score": score, "learning_rate": "Learning rate (end of the epoch)"}
        self.ax_.set_xlabel("Epoch")
        self.ax_.set_ylabel(y_labels.get(kind, "Loss"), parse_math=False)
        whole_ticks(self.ax_.xaxis)

        # Otherwise, a constant learning rate would seem to vary by rounding errors.
        if kind == "learning_rate" and self.ax_.get_yscale() == "linear":
            self.ax_.set_ylim(bottom=0)
        self.ax_.grid(alpha=0.3)
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel(score, parse_math=False)

    def _add_legend(self) -> None:
        """Explain the lines, or the colours of models and the styles of lines."""
        if len(self.histories) > 1:
            legend_below(self.ax_, self._colors_and_styles(), grow=self._own)
        # Within the axes, the legend would cover lines of the other axis.
        elif self.score_ax_ is not None:
            legend_below(self.ax_, self.lines_, grow=self._own)
        elif len(self.lines_) > 1:
            self.ax_.legend(handles=self.lines_, framealpha=0.9)

    def _colors_and_styles(self) -> list[Line2D]:
        """Return a line for each model and, if there are several, for each style."""
        handles = [legend_line(name, self._color_of(name)) for name in self.histories]

        styles = {}
        for line in self.lines_:
            label = line.get_label().split(", ")[-1]
            styles[label] = line.get_linestyle()
        if len(styles) > 1:
            handles += [legend_line(label, style=styles[label]) for label in styles]
        return handles


def _known_columns(
    history: pd.DataFrame | Mapping[str, ArrayLike], name: str
) -> dict[str, np.ndarray]:
    """Return the columns that can be drawn, as numbers."""
    try:
        table = pd.DataFrame(history)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The history of {name} is no table: {error}. Pass a DataFrame, or a dict "
            "of columns such as train_loss, each a list of one number per epoch."
        ) from error

    known = [column for column in table.columns if column in KNOWN_COLUMNS]
    try:
        return {column: np.asarray(table[column], dtype=float) for column in known}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The history of {name} has a column that is not numeric: {error}. Pass "
            "one number per epoch."
        ) from error


def _curves(
    histories: Mapping[str, Mapping[str, np.ndarray]], kind: str
) -> list[Curve]:
    """Return the curves of all histories, at least one."""
    curves = []
    for name, history in histories.items():
        for column in COLUMNS[kind]:
            values = history.get(column, np.empty(0))
            if np.isfinite(values).any():
                epochs = history.get("epoch", np.arange(1, len(values) + 1))
                curves.append(Curve(name, column, epochs, values))

    if not curves:
        names = ", ".join(map(str, histories))
        raise ValueError(f"No {kind} of {names} can be drawn: {WHY_NOTHING[kind]}")
    return curves


def _with_history(estimator: BaseEstimator) -> BaseEstimator:
    """Return the fitted model inside, which must have a history."""
    model = innermost(estimator)
    if not hasattr(model, "history_"):
        raise TypeError(
            f"LearningCurveDisplay draws history_, which {type(model).__name__} does "
            "not have: pass a model that was trained in epochs, or pass a history to "
            "from_history."
        )
    return model


def _score_name(model: BaseEstimator) -> str:
    """Return the name of a model's validation score."""
    scoring = getattr(model, "scoring", None)
    # Models that monitor the loss record the accuracy all the same.
    if scoring is None or scoring == "loss":
        return "accuracy"
    return scoring.replace("_", " ") if isinstance(scoring, str) else "score"


def _scale(ax: Axes, values: np.ndarray) -> None:
    """Make the axis of widely spread values logarithmic."""
    values = values[np.isfinite(values)]
    if values.min() > 0 and values.max() > WIDE * values.min():
        ax.set_yscale("log")
        log_ticks(ax.yaxis, values.min(), values.max())
