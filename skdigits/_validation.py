"""Rows, labels and weights as users pass them, checked in one place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_random_state
from sklearn.utils._array_api import check_same_namespace
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from skdigits._arrays import input_dtypes, surely_finite, take_rows, to_numpy
from skdigits._parameters import NOT_NEGATIVE


class Rows(NamedTuple):
    """Checked rows to learn from.

    ``X`` (N, D) in a dtype that is computed in, or uint8; ``codes`` (N,), positions in
    ``classes`` (C,), sorted, or (N, C) of labels, 1 for each that is there; ``weight`` (N,),
    all positive, or None. ``kept`` are the positions of these rows among those that were
    given, where some had no weight, or None.
    """

    X: Any
    codes: np.ndarray
    weight: np.ndarray | None
    classes: np.ndarray
    kept: np.ndarray | None = None

    @property
    def multilabel(self) -> bool:
        """Whether a row may have any number of labels, and not just one class."""
        return self.codes.ndim == 2

    @property
    def y(self) -> np.ndarray:
        """What was to be learnt, in the user's own labels."""
        return self.codes if self.multilabel else self.classes[self.codes]

    def weighted(self, weight: np.ndarray) -> "Rows":
        """The same rows with these weights, those of weight 0 left out."""
        if weight.all():
            return self._replace(weight=weight)
        kept = np.flatnonzero(weight)
        places = kept if self.kept is None else self.kept[kept]
        rows = take_rows(self.X, kept), self.codes[kept], weight[kept]
        return Rows(*rows, self.classes, places)


def check_rows(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    *,
    reset: bool,
    classes: np.ndarray | None = None,
    class_weight: Any = None,
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
    class_weight : dict, "balanced" or None
        Multiplies the weights of the rows of each class.

    Raises
    ------
    ValueError
        If anything is amiss with X, y or the weights.
    """
    _check_dimensions(estimator, X)
    doubtful = not surely_finite(X)
    X, y = validate_data(
        estimator, X, _dense(y), dtype=input_dtypes(X), reset=reset,
        ensure_all_finite=doubtful, multi_output=estimator._takes_labels,
    )  # fmt: skip
    y = _targets(to_numpy(y))
    weight = None
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        weight = to_numpy(weight)
        _check_sum("sample_weight", weight)
    places = slice(None) if weight is None else weight > 0
    found = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y[places])
    known = found if classes is None else _known(found, classes, y.ndim == 2)
    codes = y.astype(np.int64) if y.ndim == 2 else np.searchsorted(known, y)
    rows = Rows(X, codes, None, known)
    rows = rows if weight is None else rows.weighted(weight)
    return rows if class_weight is None else _class_weighted(rows, class_weight)


def _check_dimensions(estimator: Any, X: Any) -> None:
    """In scikit-learn's words, and what is to be done with images."""
    shape = tuple(getattr(X, "shape", ()))
    if len(shape) > 2:
        raise ValueError(
            f"Found array with dim {len(shape)}, while dim <= 2 is required by "
            f"{type(estimator).__name__}: X has shape {shape}, make a row of each image by "
            "X.reshape(len(X), -1)."
        )


def _dense(y: Any) -> Any:
    """A sparse indicator matrix written out."""
    return y.toarray() if issparse(y) else y


def _targets(y: np.ndarray) -> np.ndarray:
    """One class per row (N,), or which labels each has (N, L)."""
    try:
        check_classification_targets(y)
    except TypeError as error:
        if y.dtype.kind != "O":
            raise
        raise ValueError(
            "y has labels that cannot be sorted, such as words beside numbers or None: make "
            "all of them words, say."
        ) from error
    if y.ndim == 1:
        return y
    kind = type_of_target(y)
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y has shape {y.shape}, several classes per row: give one column with the class "
            "of each row, or an indicator matrix of zeros and ones, a column for each label."
        )
    if kind != "multilabel-indicator":
        column: np.ndarray = column_or_1d(y, warn=True)
        return column
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"y has a column for each label, but values {np.unique(y).tolist()}: give 1 for "
            "a label that a row has, 0 for one that it has not."
        )
    return y


def _check_sum(name: str, weight: np.ndarray) -> None:
    with np.errstate(over="ignore"):  # which is told of in words that help
        total = weight.sum(dtype=np.float64)
    if total == 0:
        raise ValueError(f"{name} is zero for all rows: nothing is left to learn from.")
    if not 1e-300 < total < 1e300:
        raise ValueError(
            f"{name} sums to {total:g}, out of float64's reach: scale it so that its sum "
            "is near the number of rows."
        )


def _known(found: np.ndarray, classes: np.ndarray, multilabel: bool) -> np.ndarray:
    """The classes there are, among which all that were found must be."""
    unknown = np.setdiff1d(found, classes)
    if multilabel and len(found) != len(classes):
        raise ValueError(
            f"y has {len(found)} columns, one for each label, but there are {len(classes)} "
            "labels: those of the first call."
        )
    if len(unknown):
        raise ValueError(
            f"y has labels that are not among the classes: {unknown.tolist()}. The classes "
            f"are {classes.tolist()}: those of the rows to learn from, or of the first call "
            "of partial_fit, to which all of them must be passed."
        )
    return classes


def _class_weighted(rows: Rows, class_weight: Any) -> Rows:
    """Rows with the weights of their classes, as scikit-learn computes them."""
    if rows.multilabel:
        raise ValueError(
            f"class_weight={class_weight!r} weighs rows by their class, but rows of "
            "multilabel targets have none: pass sample_weight to fit."
        )
    weight = np.ones(len(rows.codes)) if rows.weight is None else rows.weight
    if isinstance(class_weight, dict):
        each = _of_each_class(class_weight, rows.classes.tolist())
    else:
        each = compute_class_weight(
            class_weight, classes=rows.classes, y=rows.y, sample_weight=weight
        )
    with np.errstate(over="ignore"):  # the sum will show it
        weight = weight * each[rows.codes]
    _check_sum("sample_weight times class_weight", weight)
    return rows.weighted(weight)


def _of_each_class(class_weight: dict[Any, Any], classes: list[Any]) -> np.ndarray:
    """The weight of each class, 1 where none is given.

    scikit-learn's own function looks for the label "3" as the number 3.
    """
    if not all(
        NOT_NEGATIVE.is_satisfied_by(weight) for weight in class_weight.values()
    ):
        raise ValueError(
            f"class_weight={class_weight!r} has negative weights or such as are no finite "
            "number: what a class counts must be 0 or more."
        )
    missing = [label for label in classes if label not in class_weight]
    unknown = [label for label in class_weight if label not in classes]
    if missing and unknown:
        raise ValueError(
            f"The classes, {missing}, are not in class_weight={class_weight!r}, which has "
            f"{unknown} that y has not: its keys must be labels of y."
        )
    return np.array(
        [class_weight.get(label, 1.0) for label in classes], dtype=np.float64
    )


def _sorted(classes: Any) -> np.ndarray:
    """The distinct classes among those that a user lists."""
    try:
        plain = hasattr(classes, "dtype") and not issparse(classes)
        labels = to_numpy(classes) if plain else np.asarray(classes)
        if labels.ndim != 1:
            raise ValueError(f"its shape is {labels.shape}")
        with np.errstate(invalid="ignore"):
            check_classification_targets(labels)
        found: np.ndarray = np.unique(labels)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"classes must be a list of all labels, numbers or words, got {classes!r}: {error}"
        ) from error
    return found


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
    given: np.ndarray = _sorted(classes)
    if known is not None and not np.array_equal(known, given):
        raise ValueError(
            f"classes={given.tolist()} is not what the model began with, "
            f"{known.tolist()}. Leave classes out, or fit a new model."
        )
    return given


def check_increment(estimator: Any, classes: Any) -> np.ndarray:
    """The classes of a model that is trained by gradients, as `check_classes` has them.

    Raises
    ------
    ValueError
        If a parameter makes sense for all rows at once only, or ``classes`` is amiss.
    """
    if estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    if estimator.class_weight == "balanced":
        raise ValueError(
            "class_weight='balanced' needs all rows at once, which partial_fit does not see: "
            "pass the result of sklearn.utils.class_weight.compute_class_weight('balanced', "
            "classes=classes, y=y) as a dict."
        )
    return check_classes(estimator, classes)


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
    _check_dimensions(estimator, X)
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
