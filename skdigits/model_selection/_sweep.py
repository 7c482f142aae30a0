"""A short batched search that compares learning rates on held-out samples."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target

from skdigits._arrays import isolated, to_numpy
from skdigits._gradient import GradientClassifier
from skdigits._input_checks import (
    COUNT,
    POSITIVE,
    check_parameters,
    check_samples,
    private_random_state,
)
from skdigits._plotting import BLUE, ORANGE, axes
from skdigits.model_selection._batched import BatchedGridSearchCV
from skdigits.model_selection._range_test import check_solver, find_model
from skdigits.model_selection._rate_curve import label_rate_plot, mark_rate
from skdigits.model_selection._scoring import Search, n_samples_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATES = np.geomspace(1e-5, 1, 16)
HELD_OUT = 0.1


class LearningRateSweep:
    """Result of a `learning_rate_sweep`.

    It holds the score of every learning rate on held-out samples, and the best learning
    rate.

    Parameters
    ----------
    search : BatchedGridSearchCV
        Fitted search over increasing learning rates.
    parameter : str
        Name of the parameter that holds the learning rate.

    Attributes
    ----------
    search_ : BatchedGridSearchCV
        Fitted search, without a refitted estimator.
    parameter : str
        Name of the learning rate for ``set_params``: ``"learning_rate_init"`` or, in a
        Pipeline, ``"<step>__learning_rate_init"``.
    best_rate : float or None
        Learning rate with the highest mean score; None if no score is finite. If
        several learning rates have the highest score, the middle one.
    message : str
        The best learning rate, and whether it is the smallest or the largest one tried.

    See Also
    --------
    learning_rate_sweep : Runs the sweep and returns this result.
    LearningRateRangeTest : Result of a hundred steps with rising learning rates.

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

    def __init__(self, search: Search, parameter: str) -> None:
        self.search_ = search
        self.parameter = parameter

    @property
    def best_rate(self) -> float | None:
        """Learning rate with the highest mean score; the middle one of several."""
        frame = self.to_frame()
        best = frame["learning_rate"][
            frame["mean_test_score"] == frame["mean_test_score"].max()
        ]
        return float(best.iloc[len(best) // 2]) if len(best) else None

    @property
    def message(self) -> str:
        """The best learning rate, and whether it is the smallest or largest tried."""
        frame = self.to_frame()
        best = self.best_rate
        rates = frame["learning_rate"].tolist()
        if best is None:
            return "no learning rate has a finite score: scale X, or try smaller ones"

        score = frame["mean_test_score"].max()
        text = f"best learning rate {best:.2g} of {len(rates)}, score {score:.4f}"
        if len(rates) > 1 and best == rates[0]:
            text += "; it is the smallest one tried, so try smaller ones"
        if len(rates) > 1 and best == rates[-1]:
            text += "; it is the largest one tried, so try larger ones"
        return text

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as a DataFrame.

        Returns
        -------
        DataFrame
            One row per learning rate, in increasing order. The columns are
            ``learning_rate``; ``mean_test_score``, which is NaN if training diverged or
            the score is not finite; ``std_test_score`` over the splits; and
            ``fit_seconds``, the duration of the fit or its share of a batched run.
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

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the score against the learning rate, and mark the best learning rate.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. None opens a new figure.

        Returns
        -------
        matplotlib Axes
            Axes with the plot.

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

        # Failed learning rates have no score; their crosses are just above the axis.
        failed = rates[scores.isna()]
        if len(failed):
            ax.plot(
                failed, [0.04] * len(failed), "x", color="black",
                transform=ax.get_xaxis_transform(), label="no finite score",
            )  # fmt: skip

        if self.best_rate is not None:
            mark_rate(ax, "best", self.best_rate, scores.max(), ("D", ORANGE, 10))
        label_rate_plot(ax, rates, self.parameter, "Score on held-out samples")
        return ax

    def __repr__(self) -> str:
        return f"LearningRateSweep({self.parameter}: {self.message})"


def learning_rate_sweep(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    *,
    rates: ArrayLike | None = None,
    max_iter: int = 1,
    cv: Any = None,
    scoring: str | Callable[..., float] | None = None,
    n_jobs: int | None = None,
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> LearningRateSweep:
    """Train one model per learning rate, and score the models on held-out samples.

    This is a search by `BatchedGridSearchCV` over the learning rate alone. By default,
    each model trains for one epoch. Small models train together, so that all of them
    take only as long as a few models.

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameter ``learning_rate_init``, or a Pipeline that ends in
        one. The estimator itself does not change.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples. The estimator decides whether integers are pixels.
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
        Class labels, or multilabel targets.
    rates : array-like of float, default=None
        Learning rates to try. None stands for 16 learning rates from 1e-5 to 1, in
        geometric progression.
    max_iter : int, default=1
        Number of epochs, instead of the ``max_iter`` of the estimator. It is also the
        length of a cycle with ``learning_rate="one_cycle"``.
    cv : int, cross-validation generator or iterable, default=None
        Splits into training and held-out samples, as in scikit-learn's GridSearchCV.
        None holds out a tenth of each class, once.
    scoring : str or callable, default=None
        Scorer, as in scikit-learn. None stands for the ``score`` of the estimator.
    n_jobs : int, default=None
        Number of processes, as in `BatchedGridSearchCV`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples in training; None gives every sample weight 1.
    random_state : int, RandomState instance or None, default=None
        Seed of the held-out samples and of the model. None stands for the
        ``random_state`` of the model. A RandomState instance is copied and does not
        change.

    Returns
    -------
    LearningRateSweep
        Scores and best learning rate.

    Raises
    ------
    TypeError
        If the estimator has no ``learning_rate_init``.
    ValueError
        If the solver has no learning rate, if a class has too few samples to hold out a
        tenth, or if an argument is invalid. Errors of a scorer are raised as well.

    See Also
    --------
    learning_rate_range_test : Rule of thumb that takes a hundred steps.
    BatchedGridSearchCV : Search over any parameters.

    Notes
    -----
    The best learning rate for one epoch tends to be higher than the best for many
    epochs, with Adam several times higher. A larger ``max_iter`` takes longer and comes
    closer. A learning rate at which training diverges has the score NaN. Models of
    skdigits do not warn in this case.

    Models train together if their solver keeps at most 200,000 numbers: one number per
    parameter with SGD, two with Adam. Larger models train one after another on a CPU,
    for example a perceptron of 784 features, 128 hidden units and 10 classes with Adam.
    So do all models that `BatchedGridSearchCV` does not batch.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skdigits import SoftmaxRegression
    >>> from skdigits.model_selection import learning_rate_sweep
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SoftmaxRegression(random_state=0)
    >>> sweep = learning_rate_sweep(model, X / 16, y, max_iter=5)
    >>> 0.05 < sweep.best_rate <= 1
    True
    """
    parameter, _ = find_model(estimator)
    estimator = _prepared(estimator, parameter, max_iter, random_state)
    grid = {parameter: _checked(rates)}
    scorer = _scorer(estimator, scoring)
    ours = isinstance(find_model(estimator)[1], GradientClassifier)
    if ours:
        with isolated():
            _check_samples(estimator, X, y, sample_weight)

    search = BatchedGridSearchCV(
        estimator,
        grid,
        scoring=scorer,
        n_jobs=n_jobs,
        refit=False,
        cv=_one_split(estimator, y) if cv is None else cv,
        # Other estimators may raise an error when they diverge; the score is then NaN.
        error_score="raise" if ours else math.nan,
    )
    _fit(search, X, y, _weight(estimator, parameter, sample_weight))
    return LearningRateSweep(search, parameter)


class _Scorer(NamedTuple):
    """A scorer that returns NaN if the training loss or the score is not finite."""

    scorer: Callable[..., float]

    def __call__(self, estimator: BaseEstimator, X: ArrayLike, y: ArrayLike) -> float:
        history = getattr(find_model(estimator)[1], "history_", None)
        if history is not None and not math.isfinite(history["train_loss"].iloc[-1]):
            return math.nan

        score = float(self.scorer(estimator, X, y))
        return score if math.isfinite(score) else math.nan


def _scorer(
    estimator: BaseEstimator, scoring: str | Callable[..., float] | None
) -> _Scorer:
    if scoring is not None and not isinstance(scoring, str) and not callable(scoring):
        raise ValueError(
            "scoring must be the name of a score, a callable or None, got "
            f"{scoring!r}: a sweep compares by one score. BatchedGridSearchCV takes "
            "several."
        )
    return _Scorer(check_scoring(estimator, scoring))


def _check_samples(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    sample_weight: ArrayLike | None,
) -> None:
    """Check the arguments once for all folds, except the output of Pipeline steps."""
    model = clone(find_model(estimator)[1])
    seen = np.zeros((n_samples_of(X), 1)) if isinstance(estimator, Pipeline) else X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the search repeats them
        check_samples(
            model,
            seen,
            y,
            sample_weight,
            reset=True,
            class_weight=model.class_weight,
            takes_labels=model._takes_labels,
        )


def _fit(search: Search, X: ArrayLike, y: ArrayLike, params: dict[str, Any]) -> None:
    """Fit a search without warnings of divergence; an error of a scorer is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", "One or more of the test scores are non-finite"
        )
        warnings.filterwarnings("error", "Scoring failed")
        try:
            search.fit(X, y, **params)
        except UserWarning as warning:
            # scikit-learn warns while it handles the scorer's error.
            raise warning.__context__ or warning from None


def _prepared(
    estimator: BaseEstimator, parameter: str, max_iter: int, random_state: object
) -> BaseEstimator:
    """Return a clone that trains for ``max_iter`` epochs."""
    if not COUNT.is_satisfied_by(max_iter):
        raise ValueError(
            f"max_iter must be a whole number of 1 or more, got {max_iter!r}."
        )

    estimator = clone(estimator)
    model = find_model(estimator)[1]
    if not hasattr(model, "learning_rate_init") or not hasattr(model, "max_iter"):
        raise TypeError(
            "learning_rate_sweep compares values of learning_rate_init, which "
            f"{type(model).__name__} has not: pass a model that is trained by "
            "gradients, such as MLPClassifierTorch, or a Pipeline that ends in one. Of "
            "a search, that is its estimator."
        )
    check_solver(model)

    settings: dict[str, object] = {"max_iter": max_iter}
    if random_state is not None:
        settings["random_state"] = random_state
    prefix = parameter.removesuffix("learning_rate_init")
    estimator.set_params(**{prefix + name: settings[name] for name in settings})
    if isinstance(model, GradientClassifier):
        check_parameters(model)
    return estimator


def _checked(rates: ArrayLike | None) -> list[float]:
    """Return distinct learning rates in increasing order."""
    values = np.asarray(RATES if rates is None else rates, dtype=object)
    numbers = values.ndim == 1 and values.size > 0
    if not numbers or not all(map(POSITIVE.is_satisfied_by, values)):
        raise ValueError(
            f"rates must be positive, finite numbers, at least one, got {rates!r}: "
            "pass numpy.geomspace(1e-5, 1, 16), for example."
        )
    return [float(rate) for rate in np.unique(values.astype(float))]


def _one_split(estimator: BaseEstimator, y: ArrayLike) -> Any:
    """Return a splitter that holds out a tenth of each class, or of all samples."""
    model = find_model(estimator)[1]
    random_state = copy.deepcopy(getattr(model, "random_state", None))
    if random_state is None:
        # With None, the splitter would use NumPy's global generator.
        random_state = private_random_state(None).randint(2**31 - 1)

    y = to_numpy(y) if hasattr(y, "dtype") else y
    kind = ShuffleSplit
    if is_classifier(estimator) and type_of_target(y) in ("binary", "multiclass"):
        _check_counts(np.unique(y, return_counts=True)[1])
        kind = StratifiedShuffleSplit
    return kind(n_splits=1, test_size=HELD_OUT, random_state=random_state)


def _check_counts(counts: np.ndarray) -> None:
    """Check that each class has samples in the held-out tenth and outside of it."""
    n_samples = counts.sum()
    fewest = counts.min()
    if fewest < 2 or math.ceil(HELD_OUT * n_samples) < len(counts):
        raise ValueError(
            "cv=None holds out a tenth of each class, for which y has too few samples: "
            f"{n_samples} of {len(counts)} classes, {fewest} of the rarest. Pass cv, "
            "such as ShuffleSplit(1, test_size=0.2)."
        )


def _weight(
    estimator: BaseEstimator, parameter: str, sample_weight: ArrayLike | None
) -> dict[str, Any]:
    """Return sample weights under the name that the ``fit`` of a search needs."""
    if sample_weight is None:
        return {}
    routing = get_config()["enable_metadata_routing"] or not isinstance(
        estimator, Pipeline
    )
    prefix = "" if routing else parameter.removesuffix("learning_rate_init")
    return {f"{prefix}sample_weight": sample_weight}
