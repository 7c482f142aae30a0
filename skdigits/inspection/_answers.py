"""Predictions beside true labels, checked in one place for all tables."""

from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skdigits._arrays import to_numpy
from skdigits._targets import check_targets, dense_targets
from skdigits.inspection._display import innermost

# By this much, the probabilities of a sample may sum to something else than 1: users
# round them, and float32 does.
TOLERANCE = 1e-3
CURES = {
    "predict": "labels are needed: pass a classifier.",
    "predict_proba": "probabilities are needed: wrap it in "
    "sklearn.calibration.CalibratedClassifierCV, or pass another estimator.",
}


class Answers(NamedTuple):
    """Probabilities and true class of each sample.

    ``proba`` (n, C) is float; ``codes`` (n,) holds the position of each true label in
    ``classes`` (C,).
    """

    proba: np.ndarray
    codes: np.ndarray
    classes: np.ndarray

    @property
    def of_true(self) -> np.ndarray:
        """Probability of each sample's true class."""
        samples = np.arange(len(self.codes))
        found: np.ndarray = self.proba[samples, self.codes]
        return found


def true_labels(X: ArrayLike | None, y: ArrayLike, name: str = "y") -> np.ndarray:
    """Return the labels (n,) of the samples in X, if there is an X."""
    y = check_targets(_check_labels(as_array(dense_targets(y)), name))

    if y.ndim != 1:
        raise ValueError(
            f"{name} has shape {y.shape}, several labels per sample, but one class per "
            f"sample is expected: pass one column, such as {name}[:, 0]."
        )
    if X is not None and n_samples(X) != len(y):
        raise ValueError(
            f"X has {n_samples(X)} samples, but {name} has {len(y)} labels: pass one "
            "label per sample."
        )
    return y


def n_samples(X: ArrayLike) -> int:
    """Return the number of samples of a list, frame, sparse matrix or array."""
    shape: tuple[int, ...] | None = getattr(X, "shape", None)
    if shape is None:
        shape = (len(X),) if isinstance(X, Sized) else ()

    if not shape:
        raise ValueError(
            f"X={X!r} has no samples: pass an array of shape (n_samples, n_features)."
        )
    return int(shape[0])


def _check_labels(labels: np.ndarray, subject: str) -> np.ndarray:
    """Return labels that can be compared and sorted, at least one."""
    if labels.ndim == 0 or not labels.size:
        raise ValueError(
            f"{subject} has shape {labels.shape}: pass the label of each sample, at "
            "least one."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(
            f"{subject} has NaN or infinity among the labels: leave these samples out."
        )

    objects: Iterable[object] = labels.flat if labels.dtype == object else []
    odd = [label for label in objects if not isinstance(label, str)]
    if odd:
        raise ValueError(
            f"{subject} is an array of objects with {odd[0]!r}, which is no string: "
            "make all labels strings, or make all of them numbers by .astype(int)."
        )
    return labels


def as_array(values: ArrayLike) -> np.ndarray:
    """Return a list, frame, tensor or array of any namespace as a NumPy array."""
    # NumPy reads frames and lists itself, but no tensor that requires a gradient.
    if hasattr(values, "detach") or hasattr(values, "__array_namespace__"):
        return to_numpy(values)
    return np.asarray(values)


def predictions(
    model: BaseEstimator | ArrayLike, X: ArrayLike | None, y: np.ndarray
) -> np.ndarray:
    """Return the predicted labels (n,), passed or computed by a model."""
    if is_estimator(model):
        return predicted_labels(model, samples_for(model, X), y)
    return match_labels(model, len(y), y, "The array of predictions")


def predicted_labels(
    model: BaseEstimator, X: ArrayLike, y: np.ndarray | None
) -> np.ndarray:
    """Return the labels (n,) that a model predicts; y holds the true ones, if known."""
    predicted = method(model, "predict")(X)
    subject = f"The output of {type(model).__name__}.predict"
    return match_labels(predicted, n_samples(X), y, subject)


def match_labels(
    predicted: ArrayLike, n: int, y: np.ndarray | None, subject: str, name: str = "y"
) -> np.ndarray:
    """Return predicted labels (n,) of n samples that can be compared with y."""
    predicted = as_array(predicted)
    if predicted.shape not in {(n,), (n, 1)}:
        raise ValueError(
            f"{subject} has shape {predicted.shape}, but ({n},) is expected: one label "
            "per sample."
        )

    predicted = _check_labels(predicted.ravel(), subject)
    if y is not None:
        check_comparable(y, predicted, subject, name)
    return predicted


def check_estimator(model: BaseEstimator) -> None:
    """Raise an error for a class, and for a model that is not fitted."""
    if isinstance(model, type):
        raise TypeError(
            f"{model.__name__} is a class: pass a fitted estimator of this class."
        )
    innermost(model)


def samples_for(model: BaseEstimator, X: ArrayLike | None) -> ArrayLike:
    """Return X after a check that the model is fitted and that X is there."""
    check_estimator(model)
    if X is None:
        raise ValueError(
            f"X is None, but {type(model).__name__} needs samples to predict: pass X, "
            "or pass predictions instead of the estimator."
        )
    return X


def check_comparable(
    y: np.ndarray, others: np.ndarray, subject: str, name: str = "y"
) -> None:
    """Check that both or neither hold strings."""
    # NumPy would find the number 3 equal to the string "3".
    if isinstance(y[0], str) != isinstance(others[0], str):
        raise ValueError(
            f"{subject} has labels such as {others[:1].tolist()[0]!r}, but {name} such "
            f"as {y[:1].tolist()[0]!r}: make both strings, or both numbers."
        )


def answers(
    model: Any,
    X: ArrayLike | None,
    y: np.ndarray,
    name: str = "",
) -> Answers:
    """Return probabilities, passed or computed by a model, with true classes."""
    if is_estimator(model):
        # A model that is not fitted is refused before one that has no probabilities.
        X = samples_for(model, X)
        proba = as_array(method(model, "predict_proba")(X))
        subject = f"The probabilities of {type(model).__name__}"
        return match_probabilities(proba, y, model.classes_, subject)

    subject = f"The probabilities of {name!r}" if name else "The probabilities"
    return match_probabilities(as_array(model), y, np.unique(y), subject)


def is_estimator(model: object) -> bool:
    """Return whether this is an estimator rather than an array."""
    # A method alone would not do: a search with refit=False has no ``predict``.
    return any(hasattr(model, name) for name in ("get_params", "fit", *CURES))


def method(estimator: BaseEstimator, name: str) -> Callable[[ArrayLike], ArrayLike]:
    """Return a method that predicts labels or probabilities."""
    if not hasattr(estimator, name):
        raise AttributeError(
            f"{type(estimator).__name__} has no {name}, and {CURES[name]}"
        )
    found: Callable[[ArrayLike], ArrayLike] = getattr(estimator, name)
    return found


def match_probabilities(
    proba: np.ndarray, y: np.ndarray, classes: ArrayLike, subject: str
) -> Answers:
    """Return probabilities with the true class of each sample.

    Raises
    ------
    ValueError
        If the shape, the dtype or the values are wrong, or a label is not a class.
    """
    classes = as_array(classes)
    _check_shape(proba, y, classes, subject)
    proba = proba if proba.dtype.kind == "f" else proba.astype(np.float64)
    _check_values(proba, subject)

    # In this order, as strings and numbers must not meet in setdiff1d.
    check_comparable(y, classes, "The array of classes")
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(
            f"y has labels that the estimator has never seen: {unknown.tolist()}. Its "
            f"classes are {classes.tolist()}: leave these samples out."
        )

    # Other libraries' classes need not be sorted.
    order = np.argsort(classes)
    codes = order[np.searchsorted(classes, y, sorter=order)]
    return Answers(proba, codes, classes)


def _check_shape(
    proba: np.ndarray, y: np.ndarray, classes: np.ndarray, subject: str
) -> None:
    """Check that there are numbers for each label (row) and class (column)."""
    if proba.shape != (len(y), len(classes)):
        raise ValueError(
            f"{subject} have shape {proba.shape}, but ({len(y)}, {len(classes)}) is "
            "expected: one row for each label in y, one column for each of the classes "
            f"{classes.tolist()}, in this order."
        )

    if proba.dtype.kind not in "fiu":
        raise ValueError(
            f"{subject} have dtype {proba.dtype}, but numbers are expected: convert "
            "them, by .astype(float) for example."
        )


def _check_values(proba: np.ndarray, subject: str) -> None:
    """Check that each row is finite, non-negative and sums to 1."""
    finite = np.isfinite(proba).all(1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise ValueError(
            f"{subject} are not all finite: row {row} has {proba[row].tolist()}."
        )

    sums = proba.sum(1, dtype=np.float64)
    bad = (np.abs(sums - 1) > TOLERANCE) | (proba.min(1) < -TOLERANCE)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{subject} must be 0 or more and sum to 1 in each row, but row {row}, "
            f"{proba[row].tolist()}, sums to {sums[row]:g}. Convert logits by "
            "scipy.special.softmax(logits, axis=1)."
        )
