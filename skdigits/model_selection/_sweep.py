"""Many learning rates compared on rows held out: a short batched search."""

import copy
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target

from skdigits._arrays import to_numpy
from skdigits._parameters import COUNT, POSITIVE, check_parameters
from skdigits._plotting import BLUE, ORANGE, axes
from skdigits._validation import check_rows, private_random_state
from skdigits.model_selection._batched import BatchedGridSearchCV
from skdigits.model_selection._grouping import BATCHED
from skdigits.model_selection._private import n_rows
from skdigits.model_selection._range_test import check_solver, find_model
from skdigits.model_selection._rate_curve import label_rate_plot, mark_rate

RATES = np.geomspace(1e-5, 1, 16)
HELD_OUT = 0.1


class LearningRateSweep:
    """Outcome of a `learning_rate_sweep`.

    The score of every rate on rows held out, and the best of them.

    Parameters
    ----------
    search : BatchedGridSearchCV
        Fitted over rates that rise.
    parameter : str
        Name of the parameter that the rates are of.

    Attributes
    ----------
    search_ : BatchedGridSearchCV
        The fitted search; it has refitted nothing.
    parameter : str
        ``"learning_rate_init"`` or, in a Pipeline, ``"<step>__learning_rate_init"``, for
        ``set_params``.
    best_rate : float or None
        The rate with the highest mean score, of several the middle one: few rows cannot
        tell them apart. None if no rate has a finite score.
    message : str
        What was found, and whether it lies at the edge of the rates that were tried.

    See Also
    --------
    learning_rate_sweep : Makes it.
    LearningRateRangeTest : What a hundred steps have led to.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import learning_rate_sweep
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(random_state=0)
    >>> sweep = learning_rate_sweep(model, X / 16, y, rates=[1e-5, 0.1], max_iter=3)
    >>> sweep.best_rate
    0.1
    >>> list(sweep.to_frame())
    ['learning_rate', 'mean_test_score', 'std_test_score', 'fit_seconds']
    """

    def __init__(self, search: Any, parameter: str):
        self.search_, self.parameter = search, parameter

    @property
    def best_rate(self) -> float | None:
        """The rate with the highest mean score, of equals the middle one; None without any."""
        frame = self.to_frame()
        best = frame["learning_rate"][
            frame["mean_test_score"] == frame["mean_test_score"].max()
        ]
        return float(best.iloc[len(best) // 2]) if len(best) else None

    @property
    def message(self) -> str:
        """What was found, and whether it lies at the edge of the rates that were tried."""
        frame = self.to_frame()
        best, rates = self.best_rate, frame["learning_rate"].tolist()
        if best is None:
            return "no rate has a finite score: scale X, or try smaller rates"
        score = frame["mean_test_score"].max()
        text = f"best rate {best:.2g}, score {score:.4f}, of {len(rates)} rates"
        if best in (rates[0], rates[-1]) and len(rates) > 1:
            which, way = ("smallest", "down") if best == rates[0] else ("largest", "up")
            text += f"; it is the {which} that was tried, so try more further {way}"
        return text

    def to_frame(self) -> pd.DataFrame:
        """Give the scores as a DataFrame.

        Returns
        -------
        DataFrame
            A row for each rate, from the smallest: ``learning_rate``, ``mean_test_score``
            (NaN where training diverged or a score is not finite), ``std_test_score`` over
            the splits and ``fit_seconds``, those of the fit or its share of a run of many.
        """
        results = self.search_.cv_results_
        return pd.DataFrame(
            {
                "learning_rate": [
                    setting[self.parameter] for setting in results["params"]
                ],
                "mean_test_score": results["mean_test_score"],
                "std_test_score": results["std_test_score"],
                "fit_seconds": results["mean_fit_time"],
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Plot the score against the learning rate, with the best one marked.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default, those of a new figure.

        Returns
        -------
        matplotlib Axes
            The axes with the plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        _, ax = axes(ax)
        frame = self.to_frame()
        rates = frame["learning_rate"]
        scores = frame["mean_test_score"]
        spread = frame["std_test_score"] if self.search_.n_splits_ > 1 else None
        ax.errorbar(
            rates, scores, spread, color=BLUE, marker="o", capsize=3, label="held out"
        )

        # Failed learning rates have no score: their crosses lie just above the axis.
        failed = rates[scores.isna()]
        if len(failed):
            ax.plot(
                failed, [0.04] * len(failed), "x", color="black",
                transform=ax.get_xaxis_transform(), label="no finite score",
            )  # fmt: skip

        if self.best_rate is not None:
            mark_rate(ax, "best", self.best_rate, scores.max(), ("D", ORANGE, 10))
        label_rate_plot(ax, rates, self.parameter, "Score on held-out rows")
        return ax

    def __repr__(self) -> str:
        return f"LearningRateSweep({self.parameter}: {self.message})"


def learning_rate_sweep(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    rates: Any = None,
    max_iter: int = 1,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    sample_weight: Any = None,
    random_state: Any = None,
) -> LearningRateSweep:
    """Train with many learning rates, for an epoch each, and score them on rows held out.

    A search by `BatchedGridSearchCV` over nothing but the rate. What it tells is not read off
    a training loss, but measured. It takes as long as so many epochs, or for small models,
    which train together, as a few.

    Parameters
    ----------
    estimator : estimator
        With a ``learning_rate_init``, or a Pipeline whose last step has one. It is not
        changed, fitted or not.
    X : array-like of shape (n_samples, n_features)
        Rows; uint8 are pixels.
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Labels.
    rates : array-like of float, default=None
        Rates to try; default: 16 from 1e-5 to 1 in geometric progression.
    max_iter : int, default=1
        Epochs, in the place of the estimator's own. Of ``learning_rate="one_cycle"`` it is
        the length of the cycle: each rate goes through a whole one, if a short one.
    cv : int, cross-validation generator or iterable, default=None
        Which rows are held out, as in scikit-learn's GridSearchCV; default: a tenth of
        each class, once.
    scoring : str or callable, default=None
        One scorer, as in scikit-learn; default: the estimator's ``score``.
    n_jobs : int, default=None
        Processes, as in `BatchedGridSearchCV`.
    sample_weight : array-like of shape (n_samples,), default=None
        How often each row counts for the model as it trains.
    random_state : int, RandomState instance or None, default=None
        Drives which rows are held out, and the model; None: the model's own. An instance is
        copied, and left as it is.

    Returns
    -------
    LearningRateSweep
        The scores, and the best rate.

    Raises
    ------
    TypeError
        If the estimator has no ``learning_rate_init``.
    ValueError
        If its solver has no use for one, if y has too few rows of a class to hold a tenth
        out, or if anything else is not as described. What a scorer raises is raised.

    See Also
    --------
    learning_rate_range_test : A hundred steps instead, and a rule of thumb.
    BatchedGridSearchCV : Compare whatever else.

    Notes
    -----
    The best rate for one epoch tends to be higher than that for many, for Adam several times
    so: a larger ``max_iter`` takes longer and comes closer. Rates at which
    training diverges have NaN as their score; of skdigits' models it is not warned of.

    Models train together whose optimizer keeps up to 200,000 numbers, that is one for each
    parameter with SGD, two with Adam. Larger ones on a CPU, such as a perceptron of 784
    features, 128 hidden units and 10 classes with Adam, are trained one after another, as is
    whatever else `BatchedGridSearchCV` does not batch: an epoch for each rate.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import learning_rate_sweep
    >>> X, y = load_digits(return_X_y=True)
    >>> sweep = learning_rate_sweep(SoftmaxRegression(random_state=0), X / 16, y, max_iter=5)
    >>> 0.05 < sweep.best_rate <= 1
    True
    """
    parameter, _ = find_model(estimator)
    estimator = _prepared(estimator, parameter, max_iter, random_state)
    grid, scorer = {parameter: _checked(rates)}, _scorer(estimator, scoring)
    ours = isinstance(find_model(estimator)[1], BATCHED)
    if ours:
        _check_rows(estimator, X, y, sample_weight)
    search = BatchedGridSearchCV(
        estimator,
        grid,
        scoring=scorer,
        n_jobs=n_jobs,
        refit=False,
        cv=_one_split(estimator, y) if cv is None else cv,
        error_score="raise"
        if ours
        else math.nan,  # others may raise where they diverge
    )
    _fit(search, X, y, _weight(estimator, parameter, sample_weight))
    return LearningRateSweep(search, parameter)


class _Scorer(NamedTuple):
    """A scorer that gives NaN for a model whose training, or score, is not finite."""

    scorer: Any

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        history = getattr(find_model(estimator)[1], "history_", None)
        if history is not None and not math.isfinite(history["train_loss"].iloc[-1]):
            return math.nan
        score = float(self.scorer(estimator, X, y))
        return score if math.isfinite(score) else math.nan


def _scorer(estimator: Any, scoring: Any) -> _Scorer:
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(
            f"scoring must be the name of a score, a callable or None, got {scoring!r}: a "
            "sweep compares by one. BatchedGridSearchCV takes several."
        )
    return _Scorer(check_scoring(estimator, scoring))


def _check_rows(estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
    """Check what the model will be given, but for what a Pipeline makes of X."""
    model = clone(find_model(estimator)[1])
    seen = np.zeros((n_rows(X), 1)) if isinstance(estimator, Pipeline) else X
    check_rows(
        model, seen, y, sample_weight, reset=True, class_weight=model.class_weight
    )


def _fit(search: Any, X: Any, y: Any, params: dict[str, Any]) -> None:
    """Fit a search, warning of no divergence; what a scorer raises is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", "One or more of the test scores are non-finite"
        )
        warnings.filterwarnings("error", "Scoring failed")
        try:
            search.fit(X, y, **params)
        except UserWarning as warning:  # what a scorer raised is its context
            raise warning.__context__ or warning from None


def _prepared(estimator: Any, parameter: str, max_iter: Any, random_state: Any) -> Any:
    """A clone that trains for so many epochs."""
    if not COUNT.is_satisfied_by(max_iter):
        raise ValueError(
            f"max_iter must be a whole number of 1 or more, got {max_iter!r}."
        )
    estimator, prefix = clone(estimator), parameter.removesuffix("learning_rate_init")
    model = find_model(estimator)[1]
    if not hasattr(model, "learning_rate_init") or not hasattr(model, "max_iter"):
        raise TypeError(
            f"learning_rate_sweep compares values of learning_rate_init, which "
            f"{type(model).__name__} has not: pass a model that is trained by gradients, such "
            "as MLPClassifierTorch, or a Pipeline that ends in one. Of a search, that is its "
            "estimator."
        )
    check_solver(model)
    settings: dict[str, Any] = {"max_iter": max_iter}
    if random_state is not None:
        settings["random_state"] = random_state
    estimator.set_params(**{prefix + name: settings[name] for name in settings})
    if isinstance(model, BATCHED):
        check_parameters(model)
    return estimator


def _checked(rates: Any) -> list[float]:
    """Distinct rates, the smallest first."""
    values = np.asarray(RATES if rates is None else rates, dtype=object)
    good = (
        values.ndim == 1 and values.size and all(map(POSITIVE.is_satisfied_by, values))
    )
    if not good:
        raise ValueError(
            f"rates must be positive, finite numbers, at least one, got {rates!r}: "
            "numpy.geomspace(1e-5, 1, 16), say."
        )
    return [float(rate) for rate in np.unique(values.astype(float))]


def _one_split(estimator: Any, y: Any) -> Any:
    """A tenth of each class, or of all rows where these have none; the same in every sweep."""
    random_state = copy.deepcopy(
        getattr(find_model(estimator)[1], "random_state", None)
    )
    if (
        random_state is None
    ):  # of which the splitter would take NumPy's global generator
        random_state = private_random_state(None).randint(2**31 - 1)
    y = to_numpy(y) if hasattr(y, "dtype") else y
    kind: Any = ShuffleSplit
    if is_classifier(estimator) and type_of_target(y) in ("binary", "multiclass"):
        _check_counts(np.unique(y, return_counts=True)[1])
        kind = StratifiedShuffleSplit
    return kind(n_splits=1, test_size=HELD_OUT, random_state=random_state)


def _check_counts(counts: np.ndarray) -> None:
    """Check that a tenth of all rows has some of each class, and leaves some."""
    n, fewest = counts.sum(), counts.min()
    if fewest < 2 or math.ceil(HELD_OUT * n) < len(counts):
        raise ValueError(
            f"cv=None holds out a tenth of each class, for which y has too few rows: {n} of "
            f"{len(counts)} classes, {fewest} of the rarest. Pass cv, such as "
            "ShuffleSplit(1, test_size=0.2)."
        )


def _weight(estimator: Any, parameter: str, sample_weight: Any) -> dict[str, Any]:
    """Sample weights as a Pipeline's ``fit`` wants to be passed them."""
    if sample_weight is None:
        return {}
    routing = get_config()["enable_metadata_routing"] or not isinstance(
        estimator, Pipeline
    )
    prefix = "" if routing else parameter.removesuffix("learning_rate_init")
    return {f"{prefix}sample_weight": sample_weight}
