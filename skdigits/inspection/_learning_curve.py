"""How a model learnt, epoch by epoch."""

import numpy as np
import pandas as pd

from skdigits._plotting import (
    BLUE,
    COLORS,
    GREEN,
    ORANGE,
    legend_below,
    log_ticks,
    whole_ticks,
)
from skdigits.inspection._display import Display, innermost

KINDS = {
    "loss": ["train_loss", "validation_loss"],
    "score": ["validation_score"],
    "learning_rate": ["learning_rate"],
}
NAMES = {
    "train_loss": "training",
    "validation_loss": "validation",
    "learning_rate": "learning rate",
}
STYLES = {"validation_loss": "--", "validation_score": "-."}
FEW_EPOCHS = 20  # in the longest history, up to which each has a dot
WIDE = 20  # largest by smallest value from which an axis is logarithmic
WHY_NOTHING = {
    "loss": "train_loss is missing or NaN throughout.",
    "score": "no rows were held out. Fit with early_stopping=True, or pass X_val and y_val.",
    "learning_rate": "it has none, as after solver='lbfgs'.",
}


class LearningCurveDisplay(Display):
    """Loss, validation score or learning rate of each epoch, from ``history_``.

    Made by `from_estimator` or `from_history`, which draw at once.

    Parameters
    ----------
    histories : dict of str to DataFrame
        Histories, as estimators have them in ``history_``, or dicts of such columns, by name.
    score_name : str, default="score"
        What the validation score is.
    kind : {"loss", "score", "learning_rate", "all"}, default="loss"
        What to draw unless `plot` is told otherwise.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        The lines, history by history.
    ax_ : matplotlib.axes.Axes
        Axes with the curves.
    score_ax_ : matplotlib.axes.Axes or None
        Axes of the score, on the right, with ``kind="all"``.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Score against the number of rows.
    LearningRateSearchDisplay : The epochs of all candidates of a search.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.inspection import LearningCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(0.1, max_iter=20, tol=None, random_state=0)
    >>> model = model.fit(X[:1000] / 16, y[:1000], X_val=X[1000:] / 16, y_val=y[1000:])
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
        """Draw the curves of a fitted estimator, or of several.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            Fitted, with ``history_``; a Pipeline that ends with one, or a search that found
            one. Of a dict, each has a colour of its own and its key as name.
        kind : {"loss", "score", "learning_rate", "all"}, default="loss"
            As in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        LearningCurveDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If a model has no ``history_``.
        ValueError
            If there is nothing to be drawn, or two keys are the same as text.
        """
        several = isinstance(estimator, dict)
        if several and not estimator:
            raise ValueError(
                "There are no curves to draw: the dict of estimators is empty."
            )
        models = {
            name: _with_history(each)
            for name, each in (estimator if several else {None: estimator}).items()
        }
        names = {_score_name(model) for model in models.values()}
        histories = {
            type(model).__name__ if name is None else str(name): model.history_
            for name, model in models.items()
        }
        if len(histories) < len(models):
            raise ValueError(
                f"The dict of estimators has keys that are the same as text: {[*models]}. "
                "Give each its own name."
            )
        score_name = names.pop() if len(names) == 1 else "score"
        return cls(histories, score_name=score_name, kind=kind)._drawn(ax)

    @classmethod
    def from_history(cls, history, name=None, *, kind="loss", ax=None):
        """Draw the curves of a history.

        Parameters
        ----------
        history : DataFrame or dict of str to array-like
            Columns as those of ``history_``; any may be missing, and without ``epoch`` they
            are counted from 1.
        name : str, default=None
            What it is the history of; None: "model".
        kind : {"loss", "score", "learning_rate", "all"}, default="loss"
            As in `plot`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        LearningCurveDisplay
            What was drawn.

        Raises
        ------
        ValueError
            If there is nothing to be drawn, or columns are no lists of numbers.
        """
        return cls({"model" if name is None else str(name): history}, kind=kind)._drawn(
            ax
        )

    def plot(self, ax=None, *, kind=None):
        """Draw the curves.

        An axis is logarithmic where the largest value is more than 20 times the smallest. A
        figure that `from_estimator` or `from_history` opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.
        kind : {"loss", "score", "learning_rate", "all"}, default=None
            None is that of the display. ``"loss"`` is that of training (without a break) and
            of validation (dashed); ``"score"`` the validation score; ``"learning_rate"`` that
            of each epoch's last step; ``"all"`` both losses, and the score on a second axis
            at the right.

        Returns
        -------
        self : LearningCurveDisplay
            The display.

        Raises
        ------
        TypeError
            If ``histories`` is no dict.
        ValueError
            If ``kind`` is none of these, there is nothing to be drawn, or columns are no
            lists of numbers.
        """
        kind = self.kind if kind is None else kind
        if kind not in (*KINDS, "all"):
            raise ValueError(
                f"kind={kind!r} is none of 'loss', 'score', 'learning_rate', 'all'."
            )
        if not isinstance(self.histories, dict):
            raise TypeError(
                "histories must be a dict of DataFrames by name, got "
                f"{type(self.histories).__name__}: of one, use from_history."
            )
        histories = {
            name: _columns(each, name) for name, each in self.histories.items()
        }
        curves = _curves(histories, "loss" if kind == "all" else kind)
        scores = _curves(histories, "score") if kind == "all" else []
        self._begin(ax)
        self.score_ax_ = self.ax_.twinx() if kind == "all" else None
        self.lines_ = self._draw(self.ax_, curves) + self._draw(self.score_ax_, scores)
        self._label(kind)
        self._explain()
        return self

    def _draw(self, ax, curves):
        lines, alone = [], len(self.histories) == 1
        dotted = max((len(values) for *_, values in curves), default=0) <= FEW_EPOCHS
        for name, column, epochs, values in curves:
            label = NAMES.get(column, f"validation {self.score_name}")
            lines += ax.plot(
                epochs, values, STYLES.get(column, "-"),
                color=_color(column) if alone else self._color_of(name),
                label=label if alone else f"{name}, {label}",
                marker="o" if dotted else None, markersize=4,
            )  # fmt: skip
        if lines:
            _scale(ax, np.concatenate([line.get_ydata() for line in lines]))
        return lines

    def _color_of(self, name):
        return COLORS[list(self.histories).index(name) % len(COLORS)]

    def _label(self, kind):
        score = f"Validation {self.score_name}"
        what = {"score": score, "learning_rate": "Learning rate (end of the epoch)"}
        self.ax_.set_xlabel("Epoch")
        self.ax_.set_ylabel(what.get(kind, "Loss"), parse_math=False)
        whole_ticks(self.ax_.xaxis)
        if kind == "learning_rate" and self.ax_.get_yscale() == "linear":
            self.ax_.set_ylim(bottom=0)
        self.ax_.grid(alpha=0.3)
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel(score, parse_math=False)

    def _explain(self):
        """A legend: of the lines, or of the colours of models and the styles of lines."""
        from matplotlib.lines import Line2D

        handles = self.lines_ if len(self.lines_) > 1 else []
        if len(self.histories) > 1:
            handles = [
                Line2D([], [], color=self._color_of(n), label=n) for n in self.histories
            ]
            styles = {line.get_label().split(", ")[-1]: line for line in self.lines_}
            if len(styles) > 1:
                handles += [
                    Line2D(
                        [], [], color="0.4", linestyle=line.get_linestyle(), label=label
                    )
                    for label, line in styles.items()
                ]
        if self.score_ax_ is not None or len(self.histories) > 1:
            legend_below(self.ax_, handles, grow=self._own)
        elif handles:
            self.ax_.legend(handles=handles, framealpha=0.9)


def _columns(history, name):
    """The columns that can be drawn, as numbers."""
    try:
        table = pd.DataFrame(history)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The history of {name} is no table: {error}. Pass a DataFrame, or a dict of "
            "columns such as train_loss, each a list with a number for each epoch."
        ) from error
    known = {"epoch", *(column for columns in KINDS.values() for column in columns)}
    try:
        return {
            c: np.asarray(table[c], dtype=float) for c in table.columns if c in known
        }
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The history of {name} has a column with something else than numbers: {error}."
        ) from error


def _curves(histories, kind):
    """Name, column, epochs and values of all lines there are."""
    found = [
        (name, column, history.get("epoch", np.arange(1, len(history[column]) + 1)),
         history[column])
        for name, history in histories.items()
        for column in KINDS[kind]
        if column in history and np.isfinite(history[column]).any()
    ]  # fmt: skip
    if not found:
        names = ", ".join(map(str, histories))
        raise ValueError(f"No {kind} of {names} can be drawn: {WHY_NOTHING[kind]}")
    return found


def _with_history(estimator):
    model = innermost(estimator)
    if not hasattr(model, "history_"):
        raise TypeError(
            f"LearningCurveDisplay draws history_, which {type(model).__name__} has not: pass "
            "a model that was trained in epochs, or what it recorded to from_history."
        )
    return model


def _score_name(model):
    scoring = getattr(model, "scoring", None)
    if scoring is None or scoring == "loss":
        return "accuracy"
    return scoring.replace("_", " ") if isinstance(scoring, str) else "score"


def _color(column):
    return {"validation_loss": ORANGE, "validation_score": GREEN}.get(column, BLUE)


def _scale(ax, values):
    values = values[np.isfinite(values)]
    if values.min() > 0 and values.max() > WIDE * values.min():
        ax.set_yscale("log")
        log_ticks(ax.yaxis, values.min(), values.max())
