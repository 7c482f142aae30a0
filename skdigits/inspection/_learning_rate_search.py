"""How good each learning rate of a search was."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skdigits._plotting import COLORS, legend_below, log_ticks, pyplot, whole_ticks
from skdigits.inspection._candidates import candidates
from skdigits.inspection._display import Display

MARKERS = "os^Dv<>"
STYLES = ("-", "--", ":", "-.")
PALEST = 0.9  # of viridis, as yellow is hard to see on white


class LearningRateSearchDisplay(Display):
    """Test score of a search by learning rate, or by epoch for every learning rate.

    Made by `from_estimator`, which draws at once.

    Parameters
    ----------
    scores : DataFrame
        A row for each candidate: ``learning_rate``, ``setting`` (its other parameters, as
        text, another for each setting), ``mean`` and ``std`` of its test scores, and
        ``by_epoch``, an array of mean scores, which may be empty.
    score_name : str, default="score"
        What the score is.
    n_splits : int, default=1
        Folds that it is the mean of.
    kind : {"rate", "epoch"}, default="rate"
        What to draw unless `plot` is told otherwise.
    rate_name : str, default="Learning rate"
        What the learning rate is called.

    Attributes
    ----------
    lines_ : list of matplotlib.lines.Line2D
        A line for each setting of other parameters, or with ``kind="epoch"`` for each
        candidate.
    ax_ : matplotlib.axes.Axes
        Axes with the lines.
    figure_ : matplotlib.figure.Figure
        Figure of the axes.

    See Also
    --------
    skdigits.model_selection.BatchedGridSearchCV : Searches many learning rates at once.
    sklearn.model_selection.ValidationCurveDisplay : Does its own search, of one parameter.

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
            A fitted BatchedGridSearchCV, GridSearchCV or any other with ``cv_results_``.
        kind : {"rate", "epoch"}, default="rate"
            As in `plot`.
        metric : str, default=None
            Which score to draw, of several; None: the one that ``refit`` names.
        parameter : str, default=None
            The parameter to draw by, of positive numbers; None: the one whose name ends
            with ``learning_rate_init``, which is called "Learning rate".
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.

        Returns
        -------
        LearningRateSearchDisplay
            What was drawn.

        Raises
        ------
        TypeError
            If it is no search.
        ValueError
            If the search has no such parameter or metric, the parameter has values that are
            no positive numbers, or there is nothing to be drawn.
        """
        check_is_fitted(search)
        if not hasattr(search, "cv_results_"):
            raise TypeError(
                f"{cls.__name__} draws a fitted search, such as BatchedGridSearchCV, got "
                f"{type(search).__name__}, which has no cv_results_."
            )
        results = search.cv_results_
        key, name = _metric(search, metric)
        drawn, rate_name = _parameter(results["params"], parameter)
        display = cls(
            candidates(results, drawn, key),
            score_name=name,
            n_splits=search.n_splits_,
            kind=kind,
            rate_name=rate_name,
        )
        return display._drawn(ax)

    def plot(self, ax=None, *, kind=None):
        """Draw the scores.

        Candidates without a finite score are left out. A figure that `from_estimator` opened
        is closed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; None: those of a new figure.
        kind : {"rate", "epoch"}, default=None
            None is that of the display. ``"rate"`` is the mean score against the rate, with a
            band of one standard deviation over folds: a line for each setting of other
            parameters, or no more than the seven of the best scores, or points where hardly
            two candidates share a setting. ``"epoch"`` is the mean score after each epoch, a
            line for each candidate, with the rate as its colour and the setting as its style,
            or no more than the four of the best scores.

        Returns
        -------
        self : LearningRateSearchDisplay
            The display.

        Raises
        ------
        ValueError
            If ``kind`` is none of these, or there is nothing to be drawn.
        """
        kind = self.kind if kind is None else kind
        if kind not in ("rate", "epoch"):
            raise ValueError(f"kind={kind!r} is none of 'rate', 'epoch'.")
        scores = self._finite(kind)
        self._begin(ax)
        self.lines_ = (self._by_rate if kind == "rate" else self._by_epoch)(scores)
        self.ax_.grid(alpha=0.3)
        return self

    def _finite(self, kind):
        """The candidates that can be drawn."""
        scores = self.scores
        if kind == "rate":
            scores = scores[np.isfinite(scores["mean"])]
            cure = "all their scores are NaN."
        else:
            scores = scores[
                [bool(np.isfinite(each).any()) for each in scores["by_epoch"]]
            ]
            cure = (
                "the search has no mean_test_…_by_epoch. BatchedGridSearchCV records it for "
                "models that it trains in batches."
            )
        if not len(scores):
            raise ValueError(f"No candidate can be drawn with kind={kind!r}: {cure}")
        return scores

    def _by_rate(self, scores):
        lines, scattered = [], _scattered(scores)
        groups = [("", scores)] if scattered else _best_settings(scores, len(MARKERS))
        for (setting, group), color, marker in zip(
            groups, COLORS, MARKERS, strict=False
        ):
            group = group.sort_values("learning_rate")
            rates, mean, std = (
                group[c].to_numpy() for c in ("learning_rate", "mean", "std")
            )
            style = "none" if scattered else "-"
            lines += self.ax_.plot(
                rates,
                mean,
                linestyle=style,
                color=color,
                marker=marker,
                markersize=5,
                label=setting,
            )
            if self.n_splits > 1 and scattered:
                self.ax_.errorbar(rates, mean, std, fmt="none", color=color, alpha=0.4)
            elif self.n_splits > 1:
                self.ax_.fill_between(
                    rates, mean - std, mean + std, color=color, alpha=0.15
                )
        self._label_rates(scores)
        self._explain(lines, scores)
        return lines

    def _label_rates(self, scores):
        rates = scores["learning_rate"]
        self.ax_.set_xscale("log")
        log_ticks(self.ax_.xaxis, rates.min(), rates.max())
        folds = f", mean ± std of {self.n_splits} folds" if self.n_splits > 1 else ""
        self.ax_.set_xlabel(self.rate_name, parse_math=False)
        self.ax_.set_ylabel(f"Test {self.score_name}{folds}", parse_math=False)

    def _explain(self, lines, scores):
        """A legend of the settings, if there are several."""
        n_settings = scores["setting"].nunique()
        if n_settings > 1 and not _scattered(scores):
            few = len(lines) < n_settings
            title = f"Best of {n_settings} settings" if few else None
            legend_below(self.ax_, lines, title, grow=self._own)

    def _by_epoch(self, scores):
        from matplotlib.lines import Line2D

        colors = self._colors_of_rates(scores["learning_rate"])
        scattered, lines, styles = _scattered(scores), [], []
        groups = [("", scores)] if scattered else _best_settings(scores, len(STYLES))
        for (setting, group), style in zip(groups, STYLES, strict=False):
            styles.append(Line2D([], [], color="0.4", linestyle=style, label=setting))
            for rate, values in zip(
                group["learning_rate"], group["by_epoch"], strict=True
            ):
                epochs = np.arange(1, len(values) + 1)
                marker = "o" if len(values) == 1 else None
                lines += self.ax_.plot(
                    epochs,
                    values,
                    style,
                    color=colors(rate),
                    marker=marker,
                    label=f"{rate:g}",
                )
        self._explain(styles, scores)
        whole_ticks(self.ax_.xaxis)
        folds = f", mean of {self.n_splits} folds" if self.n_splits > 1 else ""
        self.ax_.set_xlabel("Epoch")
        self.ax_.set_ylabel(f"Test {self.score_name}{folds}", parse_math=False)
        return lines

    def _colors_of_rates(self, rates):
        """Colour of a rate, and a bar that explains it."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LinearSegmentedColormap, LogNorm

        viridis = pyplot().get_cmap("viridis")
        cmap = LinearSegmentedColormap.from_list(
            "rates", viridis(np.linspace(0, PALEST, 256))
        )
        low, high = rates.min(), rates.max()
        norm = LogNorm(low, high) if low < high else LogNorm(low / 2, low * 2)
        mappable = ScalarMappable(norm, cmap)
        bar = self.figure_.colorbar(mappable, ax=self.ax_)
        bar.ax.set_ylabel(self.rate_name, parse_math=False)
        log_ticks(bar.ax.yaxis, norm.vmin, norm.vmax)
        return mappable.to_rgba


def _metric(search, metric):
    """The metric's key in ``cv_results_``, and its name."""
    results = search.cv_results_
    known = [
        name.removeprefix("mean_test_")
        for name in results
        if name.startswith("mean_test_") and not name.endswith("_by_epoch")
    ]
    single = known == ["score"]
    if metric is None and isinstance(search.refit, str) and not single:
        metric = search.refit
    key = "score" if metric is None and single else metric
    if key not in known:
        raise ValueError(
            f"metric={metric!r} is none of the search's: pass one of {known}."
        )
    if key != "score" or not single:
        return key, key.replace("_", " ")
    if isinstance(search.scoring, str):
        return key, search.scoring.replace("_", " ")
    accuracy = search.scoring is None and is_classifier(search.estimator)
    return key, "accuracy" if accuracy else "score"


def _parameter(settings, parameter):
    """The parameter that is the learning rate, and what it is called on an axis."""
    known = list(dict.fromkeys(name for setting in settings for name in setting))
    found = [name for name in known if name.endswith("learning_rate_init")]
    if parameter is not None:
        if parameter not in known:
            raise ValueError(
                f"parameter={parameter!r} was not searched over: pass one of {known}."
            )
        return parameter, "Learning rate" if found == [parameter] else parameter
    if len(found) != 1:
        what = f"several learning rates, {found}" if found else "no learning_rate_init"
        raise ValueError(
            f"The search has {what}: pass the parameter to draw by as parameter=, one of "
            f"{known}."
        )
    return found[0], "Learning rate"


def _scattered(scores):
    """Whether hardly two candidates share a setting, as in a random search."""
    return (
        scores["setting"].nunique() > 1
        and len(scores) < 2 * scores["setting"].nunique()
    )


def _best_settings(scores, most):
    """Settings with their candidates, in the order of the search; only the best if many."""
    best = scores.groupby("setting", sort=False)["mean"].max()
    kept = best.nlargest(most).index
    return [(setting, scores[scores["setting"] == setting]) for setting in best.index
            if setting in kept]  # fmt: skip
