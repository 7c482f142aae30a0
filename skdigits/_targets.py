"""Checks of targets: classes or labels, those that a model knows, and their weights."""

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from torch import Tensor

from skdigits._arrays import to_numpy

if TYPE_CHECKING:
    from skdigits._input_checks import Samples

TOTAL_WEIGHTS = (1e-300, 1e300)  # sums of weights that float64 can divide by


def check_targets(y: np.ndarray) -> np.ndarray:
    """Return one class per sample (N,), or which labels each sample has (N, L).

    Raises
    ------
    ValueError
        If y is neither.
    """
    try:
        check_classification_targets(y)
    except TypeError as error:
        if y.dtype.kind != "O":
            raise
        raise ValueError(
            "y has labels that cannot be sorted, such as words beside numbers: make "
            "words of all, for example by y.astype(str)."
        ) from error
    except ValueError as error:
        kinds = {type(label) for label in y.flat} if y.dtype.kind == "O" else set()
        if not kinds or not all(issubclass(kind, Real) for kind in kinds):
            raise
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        whole = all(issubclass(kind, Integral) for kind in kinds)
        cure = "bool" if kinds <= {bool, np.bool_} else "int" if whole else "float"
        raise ValueError(
            f"Unknown label type: y has dtype object and holds {names}: pass "
            f"y.astype({cure})."
        ) from error

    if y.ndim == 1:
        return y
    # A column of classes has two axes as well, and scikit-learn's warning about it.
    kind = type_of_target(y)
    if kind == "multiclass-multioutput":
        raise ValueError(
            f"y has shape {y.shape}, several classes per sample: pass one column with "
            "the class of each sample, or an indicator matrix of zeros and ones with a "
            "column for each label."
        )
    if kind != "multilabel-indicator":
        column: np.ndarray = column_or_1d(y, warn=True)
        return column
    if not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"y has a column for each label, but values {np.unique(y).tolist()}: pass "
            "1 for a label that a sample has, and 0 for any other."
        )
    return y


def several_columns(y: Any) -> ValueError:
    """Return the error about indicators for a classifier that takes one class each."""
    made = "y.idxmax(axis=1)" if hasattr(y, "iloc") else "y.argmax(1)"
    return ValueError(
        f"y should be a 1d array, got an array of shape {tuple(y.shape)} instead: pass "
        f"the class of each sample, as {made} makes it of one-hot rows."
    )


def dense_targets(y: Any) -> Any:
    """Return a sparse indicator matrix as a dense one, and anything else as it is."""
    return y.toarray() if issparse(y) else y


def plain_targets(y: Any) -> Any:
    """Return targets in a form of which scikit-learn keeps the labels.

    Sparse indicators become dense. Nullable integers and booleans of pandas become
    NumPy's, as scikit-learn would make floats of them.

    Raises
    ------
    ValueError
        If a label is missing.
    """
    if issparse(y):
        return dense_targets(y)
    # Tensors and arrays of other namespaces have no missing labels but NaN.
    if hasattr(y, "__array_namespace__") and not isinstance(y, np.ndarray):
        return y
    if isinstance(y, Tensor):
        return y

    # scikit-learn tells of NaN; labels of other kinds need not even be comparable.
    missing = pd.isna(np.asarray(y, dtype=object))
    if np.any(missing):
        raise ValueError(
            f"Input y contains NaN: {np.sum(missing)} of {np.size(missing)} labels are "
            "missing. Leave out their samples, or give them a label."
        )
    if getattr(y, "ndim", 1) == 2 and hasattr(y, "iloc") and len(y):
        return y.apply(_without_nulls)
    return _without_nulls(y)


def _without_nulls(column: Any) -> Any:
    """Return a column of nullable integers or booleans as NumPy's."""
    dtype = getattr(getattr(column, "dtype", None), "numpy_dtype", None)
    if dtype is None or dtype.kind not in "biu":
        return column
    return column.astype(dtype)


def check_classes(estimator: BaseEstimator, classes: ArrayLike | None) -> np.ndarray:
    """Return the classes of a partial_fit: given in the first call, then unchanged.

    Raises
    ------
    ValueError
        If the first call gives none, or a later call gives others.
    """
    # Listed classes are sorted like those of fit, so that columns have the same order.
    known = getattr(estimator, "classes_", None)
    if classes is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return to_numpy(known)

    given = _listed_classes(classes)
    if known is not None and not np.array_equal(known, given):
        raise ValueError(
            f"classes={given.tolist()}, but the model was started with "
            f"{known.tolist()}. Leave classes out, or fit a new model."
        )
    return given


def _listed_classes(classes: ArrayLike) -> np.ndarray:
    """Return the distinct classes among those that a user lists."""
    try:
        plain = hasattr(classes, "dtype") and not issparse(classes)
        labels = to_numpy(plain_targets(classes)) if plain else np.asarray(classes)
        if labels.ndim != 1:
            raise ValueError(f"its shape is {labels.shape}")
        with np.errstate(invalid="ignore"):
            check_classification_targets(labels)
        found: np.ndarray = np.unique(labels)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"classes must be a list of all labels, numbers or words, got {classes!r}: "
            f"{error}"
        ) from error
    return found


def known_classes(
    found: np.ndarray, classes: np.ndarray, multilabel: bool
) -> np.ndarray:
    """Return the known classes, if they include all that were found.

    Raises
    ------
    ValueError
        If they do not.
    """
    if multilabel and len(found) != len(classes):
        raise ValueError(
            f"y has {len(found)} columns, one for each label, but the model has "
            f"{len(classes)} labels: pass the labels of the first call."
        )

    unknown = np.setdiff1d(found, classes)
    if multilabel and len(unknown):
        raise ValueError(
            f"y has {len(found)} columns, one for each label, but the model knows the "
            "class of each sample: pass y.argmax(1) of one-hot rows, or "
            "y.idxmax(axis=1) of a DataFrame."
        )
    if len(unknown):
        raise ValueError(
            f"y has labels that are not among the classes: {unknown.tolist()}. The "
            f"classes are {classes.tolist()}: those of the training samples or, for "
            "partial_fit, of the first call, to which all of them must be passed."
        )
    return classes


def check_total(name: str, weight: np.ndarray) -> None:
    """Check that the sum of weights can be divided by.

    Raises
    ------
    ValueError
        If it is zero, too small or too large.
    """
    with np.errstate(over="ignore"):  # an overflow is reported below
        total = weight.sum(dtype=np.float64)

    if total == 0:
        raise ValueError(
            f"{name} is zero for all samples: at least one must have a positive weight."
        )
    smallest, largest = TOTAL_WEIGHTS
    if not smallest < total < largest:
        raise ValueError(
            f"{name} sums to {total:g}, which is out of range for float64: scale it so "
            "that its sum is near the number of samples."
        )


def weights_by_class(
    samples: "Samples", class_weight: dict[Any, float] | str
) -> np.ndarray:
    """Return weights times those of the classes, as scikit-learn computes them.

    Raises
    ------
    ValueError
        If the targets have several labels, or the classes no such weights.
    """
    if samples.multilabel:
        raise ValueError(
            f"class_weight={class_weight!r} weighs samples by their class, but y is "
            "multilabel: pass sample_weight to fit."
        )

    weight = samples.weight
    if weight is None:
        weight = np.ones(len(samples.codes))
    if isinstance(class_weight, dict):
        each = _of_each_class(class_weight, samples.classes.tolist())
    else:
        each = compute_class_weight(
            class_weight, classes=samples.classes, y=samples.y, sample_weight=weight
        )

    with np.errstate(over="ignore"):  # an overflow is reported below
        weighted: np.ndarray = weight * each[samples.codes]
    check_total("sample_weight times class_weight", weighted)
    return weighted


def _of_each_class(class_weight: dict[Any, float], classes: list[Any]) -> np.ndarray:
    """Return the weight of each class, 1 by default."""
    if not all(map(_is_weight, class_weight.values())):
        raise ValueError(
            f"class_weight={class_weight!r} has negative weights, or some that are not "
            "finite: the weight of a class must be a number of 0 or more."
        )

    # compute_class_weight would look for the label "3" as the number 3.
    missing = [label for label in classes if label not in class_weight]
    known = set(classes)
    unknown = [label for label in class_weight if label not in known]
    if missing and unknown:
        raise ValueError(
            f"The classes, {missing}, are not in class_weight={class_weight!r}, which "
            f"has {unknown} instead: its keys must be labels of y."
        )
    return np.array(
        [class_weight.get(label, 1.0) for label in classes], dtype=np.float64
    )


def _is_weight(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return 0 <= float(value) < math.inf
