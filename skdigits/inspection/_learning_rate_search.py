"""Test scores of a search by learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import check_is_fitted

from skdigits._plotting import (
    COLORS,
    legend_below,
    legend_line,
    log_ticks,
    pyplot,
    whole_ticks,
)
from skdigits.inspection._candidates import candidates
from skdigits.inspection._display import Display, check_kind

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

MARKERS = "os^Dv<>"
STYLES = ("-", "--", ":", "-.")
# The end of viridis is left out, because yellow is hard to see on white.
PALEST = 0.9


class LearningRateSearchDisplay(Display):
    """Test score of a search by learning rate, or by epoch for each learning rate.

    `from_estimator` creates the display and draws it.

    Parameters
    ----------
    scores : DataFrame
        One row per candidate, with these columns: ``learning_rate``; ``setting``, the
        other parameters as text, distinct for each setting; ``mean`` and ``std`` of the
        test scores over the folds; and ``by_epoch``, an array of the mean test score
        after each epoch, which may be empty.
    score_name : str, default="score"
        Name of the score.
    n_splits : int, default=1
        Number of folds over which the scores are averaged.
    kind : {"rate", "epoch"}, default="rate"
        Default ``kind`` of `plot`: score by learning rate or by epoch.
    rate_name : str, default="Learning rate"
        Label of the axis or colour bar of learning rates.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        One line for each setting of the other parameters; with ``kind="epoch"``, one
        line for each candidate.
    ax_ : matplotlib.axes.Axes
        Axes with the scores.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    skdigits.model_selection.BatchedGridSearchCV : Searches many learning rates at once.
    sklearn.model_selection.ValidationCurveDisplay : Searches one parameter itself.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.inspection import LearningRateSearchDisplay
    >>> from skdigits.model_selection import BatchedGridSearchCV
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(max_iter=5, tol=None, random_state=0)
    >>> rates = {"learning_rate_init": np.geomspace(0.001, 1, 7)}
    >>> search = BatchedGridSearchCV(model, rates, cv=3).fit(X / 16, y)
    >>> display = LearningRateSearchDisplay.from_estimator(search)
    >>> display.ax_.get_xlabel()
    'Learning rate'
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        scores,
        *,
        score_name="score",
        n_splits=1,
        kind="rate",
        rate_name="Learning rate",
    ):
        self.scores = scores
        self.score_name = score_name
        self.n_splits = n_splits
        self.kind = kind
        self.rate_name = rate_name

    @classmethod
    def from_estimator(
        cls, search, *, kind="rate", metric=None, parameter=None, ax=None
    ):
        """Draw the scores of a fitted search.

        Parameters
        ----------
        search : estimator
            Fitted BatchedGridSearchCV, GridSearchCV or any other search with
            ``cv_results_``.
        kind : {"rate", "epoch"}, default="rate"
            Whether to draw the score by learning rate or by epoch, as in `plot`.
        metric : str, default=None
            Metric to draw, for a search with several metrics. None stands for the
            metric that ``refit`` names.
        parameter : str, default=None
            Parameter of the horizontal axis; its values must be positive numbers. None
            stands for the parameter whose name ends with ``learning_rate_init``.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        LearningRateSearchDisplay
            The display of the scores.

        Raises
        ------
        TypeError
            If ``search`` has no ``cv_results_``.
        ValueError
            If the search lacks the parameter or metric, a value of the parameter is not
            a positive number, or there is nothing to draw.
        """
        check_is_fitted(search)
        if not hasattr(search, "cv_results_"):
            raise TypeError(
                f"{cls.__name__} draws a fitted search, such as BatchedGridSearchCV, "
                f"got {type(search).__name__}, which has no cv_results_."
            )

        results = search.cv_results_
        key, score_name = _metric(search, metric)
        parameter, rate_name = _parameter(results["params"], parameter)
        display = cls(
            candidates(results, parameter, key),
            score_name=score_name,
            n_splits=search.n_splits_,
            kind=kind,
            rate_name=rate_name,
        )
        return display._drawn(ax)

    def plot(self, ax=None, *, kind=None):
        """Draw the scores.

        Candidates without a finite score are left out. A figure that `from_estimator`
        opened is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None opens a new figure.
        kind : {"rate", "epoch"}, default=None
            ``"rate"`` draws the mean score against the learning rate, with a band of
            one standard deviation over the folds. There is one line for each setting of
            the other parameters, for at most the seven settings with the best scores.
            If most settings have a single candidate, points replace lines. ``"epoch"``
            draws the mean score after each epoch. There is one line for each candidate,
            for at most the four settings with the best scores. Its colour shows the
            learning rate, and its dashes show the setting. None stands for the ``kind``
            of the display.

        Returns
        -------
        self : LearningRateSearchDisplay
            The display.

        Raises
        ------
        ValueError
            If ``kind`` is unknown, or there is nothing to draw.
        """
        kind = check_kind(self.kind if kind is None else kind, ("rate", "epoch"))
        scores = self._finite(kind)

        self._begin(ax)
        draw = self._by_rate if kind == "rate" else self._by_epoch
        self.lines_ = draw(scores)
        self.ax_.grid(alpha=0.3)
        return self

    def _finite(self, kind: str) -> pd.DataFrame:
        """Return the candidates with finite scores, at least one."""
        if kind == "rate":
            finite = np.isfinite(self.scores["mean"])
            reason = "all their scores are NaN; the warnings of the search tell why."
        else:
            by_epoch = self.scores["by_epoch"]
            finite = [bool(np.isfinite(values).any()) for values in by_epoch]
            reason = (
                "the search has no mean_test_…_by_epoch. Set return_epoch_scores=True "
                "of BatchedGridSearchCV or BatchedRandomizedSearchCV and fit it again: "
                "it then records the scores of models that it trains in batches."
            )

        scores = self.scores[finite]
        if not len(scores):
            raise ValueError(f"No candidate can be drawn with kind={kind!r}: {reason}")
        return scores

    def _by_rate(self, scores: pd.DataFrame) -> list[Line2D]:
        """Draw mean scores against the learning rate, and return their lines."""
        groups = _groups(scores, len(MARKERS))
        scattered = _scattered(scores)
        style = "none" if scattered else "-"

        lines: list[Line2D] = []
        for (setting, group), color, marker in zip(
            groups, COLORS, MARKERS, strict=False
        ):
            group = group.sort_values("learning_rate")
            lines += self.ax_.plot(
                group["learning_rate"].to_numpy(),
                group["mean"].to_numpy(),
                linestyle=style,
                color=color,
                marker=marker,
                markersize=5,
                label=setting,
            )
            if self.n_splits > 1:
                self._draw_spread(group, color, scattered)

        self._label_rates(scores["learning_rate"])
        self._label_scores("mean ± std")
        self._add_legend(lines, scores)
        return lines

    def _draw_spread(self, group: pd.DataFrame, color: str, scattered: bool) -> None:
        """Draw one standard deviation over folds around the mean scores."""
        rates = group["learning_rate"].to_numpy()
        mean = group["mean"].to_numpy()
        std = group["std"].to_numpy()

        # A band would join points that have nothing to do with each other.
        if scattered:
            self.ax_.errorbar(rates, mean, std, fmt="none", color=color, alpha=0.4)
        else:
            self.ax_.fill_between(
                rates, mean - std, mean + std, color=color, alpha=0.15
            )

    def _label_rates(self, rates: pd.Series) -> None:
        """Make the axis of learning rates logarithmic and label it."""
        self.ax_.set_xscale("log")
        log_ticks(self.ax_.xaxis, rates.min(), rates.max())
        self.ax_.set_xlabel(self.rate_name, parse_math=False)

    def _label_scores(self, statistic: str) -> None:
        """Label the axis of scores, which show a statistic if there are folds."""
        folds = f", {statistic} of {self.n_splits} folds" if self.n_splits > 1 else ""
        self.ax_.set_ylabel(f"Test {self.score_name}{folds}", parse_math=False)

    def _add_legend(self, lines: Sequence[Line2D], scores: pd.DataFrame) -> None:
        """Explain the settings, if there are several."""
        n_settings = scores["setting"].nunique()
        if n_settings > 1 and not _scattered(scores):
            few = len(lines) < n_settings
            title = f"Best of {n_settings} settings" if few else None
            legend_below(self.ax_, lines, title, grow=self._own)

    def _by_epoch(self, scores: pd.DataFrame) -> list[Line2D]:
        """Draw mean scores after each epoch, and return their lines."""
        color_of = self._add_colors(scores["learning_rate"])
        groups = _groups(scores, len(STYLES))

        lines: list[Line2D] = []
        settings = []
        for (setting, group), style in zip(groups, STYLES, strict=False):
            settings.append(legend_line(setting, style=style))
            lines += self._draw_epochs(group, style, color_of)

        # After the colour bar, which narrows the axes and thus the legend.
        self._add_legend(settings, scores)
        whole_ticks(self.ax_.xaxis)
        self.ax_.set_xlabel("Epoch")
        self._label_scores("mean")
        return lines

    def _draw_epochs(
        self, group: pd.DataFrame, style: str, color_of: Callable[..., object]
    ) -> list[Line2D]:
        """Draw a line for each candidate of a setting, and return them."""
        lines: list[Line2D] = []

        for rate, values in zip(group["learning_rate"], group["by_epoch"], strict=True):
            # A line through a single point could not be seen.
            marker = "o" if len(values) == 1 else None
            lines += self.ax_.plot(
                np.arange(1, len(values) + 1),
                values,
                style,
                color=color_of(rate),
                marker=marker,
                label=f"{rate:g}",
            )

        return lines

    def _add_colors(self, rates: pd.Series) -> Callable[..., object]:
        """Draw a colour bar of learning rates; return the colour of each of them."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        viridis = pyplot().get_cmap("viridis")
        shades = viridis(np.linspace(0, PALEST, 256))
        cmap = LinearSegmentedColormap.from_list("rates", shades)

        low = rates.min()
        high = rates.max()
        # The scale of a single learning rate has a width, too.
        norm = LogNorm(low, high) if low < high else LogNorm(low / 2, low * 2)
        mappable = ScalarMappable(norm, cmap)

        bar = self.figure_.colorbar(mappable, ax=self.ax_)
        bar.ax.set_ylabel(self.rate_name, parse_math=False)
        log_ticks(bar.ax.yaxis, norm.vmin, norm.vmax)
        return mappable.to_rgba


def _metric(search: BaseEstimator, metric: str | None) -> tuple[str, str]:
    """Return the key of the metric in ``cv_results_``, and its name."""
    known = [
        column.removeprefix("mean_test_")
        for column in search.cv_results_
        if column.startswith("mean_test_") and not column.endswith("_by_epoch")
    ]
    # With a single metric, scikit-learn calls it "score" whatever its name.
    single = known == ["score"]
    if metric is None and single:
        metric = "score"
    elif metric is None and isinstance(search.refit, str):
        metric = search.refit

    if metric not in known:
        raise ValueError(
            f"metric={metric!r} is none of the search's metrics: pass one of {known}."
        )
    return metric, _single_name(search) if single else metric.replace("_", " ")


def _single_name(search: BaseEstimator) -> str:
    """Return the name of a search's only metric."""
    if isinstance(search.scoring, str):
        return search.scoring.replace("_", " ")
    accuracy = search.scoring is None and is_classifier(search.estimator)
    return "accuracy" if accuracy else "score"


def _parameter(
    settings: Sequence[dict[str, object]], parameter: str | None
) -> tuple[str, str]:
    """Return the name of the learning rate's parameter, and the label of its axis."""
    # A dict keeps the order, unlike a set.
    known = list(dict.fromkeys(name for setting in settings for name in setting))
    found = [name for name in known if name.endswith("learning_rate_init")]

    if parameter is None:
        if len(found) != 1:
            rates = "no learning_rate_init"
            if found:
                rates = f"several learning rates, {found}"
            raise ValueError(
                f"The search has {rates}: pass the parameter to draw by as parameter=, "
                f"one of {known}."
            )
        return found[0], "Learning rate"

    if parameter not in known:
        raise ValueError(
            f"parameter={parameter!r} was not searched over: pass one of {known}."
        )
    return parameter, "Learning rate" if found == [parameter] else parameter


def _scattered(scores: pd.DataFrame) -> bool:
    """Return whether hardly two candidates share a setting, as in a random search."""
    n_settings = scores["setting"].nunique()
    return n_settings > 1 and len(scores) < 2 * n_settings


def _groups(scores: pd.DataFrame, most: int) -> list[tuple[str, pd.DataFrame]]:
    """Return each setting with its candidates, up to ``most`` settings with the best.

    Scattered candidates are a single group without a setting.
    """
    if _scattered(scores):
        return [("", scores)]

    best = scores.groupby("setting", sort=False)["mean"].max()
    kept = best.nlargest(most).index
    # In the order of the search, so that the legend has it.
    return [
        (setting, scores[scores["setting"] == setting])
        for setting in best.index
        if setting in kept
    ]
