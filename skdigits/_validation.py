"""What users pass in: parameters, rows, labels and weights, checked in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._array_api import check_same_namespace
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from skdigits._arrays import input_dtypes, surely_finite, take_rows, to_numpy
from skdigits.engine.losses import LOSSES
from skdigits.engine.networks import ACTIVATIONS, WEIGHT_INITS
from skdigits.engine.optimizers import N_MOMENTS
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.templates import METRICS

POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
FRACTION = Interval(Real, 0, 1, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")
DEVICE = {"device": [str], "random_state": ["random_state"]}

TRAINING = {
    **DEVICE,
    "loss": [StrOptions(set(LOSSES))],
    "solver": [StrOptions(set(N_MOMENTS))],
    "alpha": [NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), COUNT],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [POSITIVE],
    "power_t": [NOT_NEGATIVE],
    "max_iter": [COUNT],
    "shuffle": ["boolean"],
    "tol": [NOT_NEGATIVE, None],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "beta_1": [FRACTION],
    "beta_2": [FRACTION],
    "epsilon": [POSITIVE],
    "weight_decay": [NOT_NEGATIVE],
    "n_iter_no_change": [COUNT],
    "max_fun": [COUNT],
    "label_smoothing": [FRACTION],
    "weight_init": [StrOptions(set(WEIGHT_INITS))],
}
"""Constraints on the parameters that all estimators trained by gradients share."""

HIDDEN = {
    "hidden_layer_sizes": ["array-like", COUNT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "weight_init": [StrOptions(set(WEIGHT_INITS) - {"zeros"})],
    "dropout": [FRACTION],
}

TEMPLATES = {
    **DEVICE,
    "metric": [StrOptions(set(METRICS))],
    "n_templates": [COUNT],
    "temperature": [StrOptions({"auto"}), POSITIVE],
}

SEARCH = {"refit_epochs": [StrOptions({"best"}), None], "working_memory": [POSITIVE, None]}
"""Those of the parameters that searches have beside scikit-learn's."""


class Rows(NamedTuple):
    """Checked rows to learn from.

    ``X`` (N, D) in a dtype that is computed in, or uint8; ``codes`` (N,), positions in
    ``classes`` (C,), sorted; ``weight`` (N,), all positive, or None. ``kept`` are the
    positions of these rows among those that were given, where some had no weight, or None.
    """

    X: Any
    codes: np.ndarray
    weight: np.ndarray | None
    classes: np.ndarray
    kept: np.ndarray | None = None


def check_parameters(estimator: Any) -> None:
    """Check all parameters against the estimator's constraints, as scikit-learn does.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        A ValueError that names the parameter, what it may be and what it is.
    """
    estimator._validate_params()


def hidden_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Units of each hidden layer, from one number or any sequence of them.

    Raises
    ------
    ValueError
        If one is not a positive integer.
    """
    sizes: Any = [hidden_layer_sizes]
    if not isinstance(hidden_layer_sizes, Integral):
        sizes = np.atleast_1d(np.asarray(hidden_layer_sizes, dtype=object))
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(
            f"hidden_layer_sizes must be > 0, got {hidden_layer_sizes!r}: give a whole "
            "number of units for each hidden layer, such as (100,)."
        )
    return tuple(int(size) for size in sizes)


def same_setting(one: Any, other: Any) -> bool:
    """Whether two values of a parameter mean the same.

    Estimators do if their parameters do and they have nothing else, such as what they were
    fitted to; generators if they are in the same state. What cannot be compared is taken to
    differ.
    """
    if one is other:
        return True
    if isinstance(one, BaseEstimator) and type(one) is type(other):
        ours, theirs = one.get_params(deep=False), other.get_params(deep=False)
        plain = type(one).__sklearn_clone__ is BaseEstimator.__sklearn_clone__
        return (
            plain
            and vars(one).keys() | vars(other).keys() <= ours.keys()
            and all(same_setting(ours[name], theirs[name]) for name in ours)
        )
    if isinstance(one, np.random.RandomState) and isinstance(other, np.random.RandomState):
        states = zip(one.get_state(), other.get_state(), strict=True)
        return all(np.array_equal(a, b) for a, b in states)
    try:
        return bool(np.array_equal(one, other))
    except Exception:
        return False


def check_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    reset: bool,
    classes: np.ndarray | None = None,
) -> Rows:
    """Check what a fit was given; rows of weight zero are left out from here on.

    Parameters
    ----------
    estimator : object
        Learns the number and names of the features if ``reset``, else has its own
        compared with those of X.
    X, y, sample_weight : array-like
        As passed to fit.
    reset : bool
        Whether the fit begins anew.
    classes : ndarray, optional
        All classes there are, sorted; default: those of ``y``.

    Raises
    ------
    ValueError
        If anything is amiss with X, y or the weights.
    """
    doubtful = not surely_finite(X)
    X, y = validate_data(
        estimator, X, y, dtype=input_dtypes(X), reset=reset, ensure_all_finite=doubtful
    )
    check_classification_targets(y)
    y, weight, kept = to_numpy(y), None, None
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weight = to_numpy(weight)
        if not 1e-300 < weight.sum(dtype=np.float64) < 1e300:
            raise ValueError(
                f"sample_weight sums to {weight.sum(dtype=np.float64):g}, out of float64's "
                "reach: scale it so that its sum is near the number of rows."
            )
        if not weight.all():
            kept = np.flatnonzero(weight)
            X, y, weight = take_rows(X, kept), y[kept], weight[kept]
    found, codes = np.unique(y, return_inverse=True)
    if classes is None:
        return Rows(X, codes, weight, found, kept)
    unknown = np.setdiff1d(found, classes)
    if len(unknown):
        raise ValueError(
            f"y has labels that are not among the classes: {unknown.tolist()}. The classes "
            f"are {classes.tolist()}, those of the first call; pass all of them there."
        )
    return Rows(X, np.searchsorted(classes, found)[codes], weight, classes, kept)


def check_classes(estimator: Any, classes: Any) -> np.ndarray:
    """The classes of a partial_fit: given in the first call, the same ever after.

    Raises
    ------
    ValueError
        If the first call gives none, or a later one gives others.
    """
    known = getattr(estimator, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return to_numpy(known)
    given: np.ndarray = np.unique(to_numpy(classes) if hasattr(classes, "dtype") else classes)
    if known is not None and not np.array_equal(known, given):
        raise ValueError(
            f"classes={given.tolist()} is not what the model began with, "
            f"{known.tolist()}. Leave classes out, or fit a new model."
        )
    return given


def private_random_state(random_state: Any) -> np.random.RandomState:
    """A generator for ``random_state``; for None a fresh one, never NumPy's global one."""
    if random_state is None:
        return np.random.RandomState()
    rng: np.random.RandomState = check_random_state(random_state)
    return rng


@contextmanager
def unharmed(estimator: Any) -> Iterator[None]:
    """Leave an estimator as it was if what it was given turns out to be bad."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_more(estimator: Any, X: Any) -> Any:
    """Check rows against the number and names of the features that it has learnt.

    What can be seen to be good at a glance is not checked at length, which would take longer
    than to predict for a row.

    Raises
    ------
    ValueError
        If X has other features, is empty or holds NaN or infinity.
    """
    if (
        type(X) is np.ndarray
        and X.ndim == 2
        and len(X)
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
        and surely_finite(X)
    ):
        return X
    return validate_data(estimator, X, dtype=input_dtypes(X), reset=False)


def check_query(estimator: Any, X: Any, method: str) -> Any:
    """Check rows to predict for against what the estimator was fitted on.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it was not.
    ValueError
        If X has other features, is empty or holds NaN or infinity.
    """
    if not estimator.__sklearn_is_fitted__():
        check_is_fitted(estimator)  # which takes longer, and has the words for it
    check_same_namespace(X, estimator, attribute="_fitted_array", method=method)
    return check_more(estimator, X)
