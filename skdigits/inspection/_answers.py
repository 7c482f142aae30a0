"""What a model answers about rows with known labels, checked once for all tables."""

from typing import Any, NamedTuple

import numpy as np

from skdigits._arrays import to_numpy
from skdigits._validation import _dense, _targets
from skdigits.inspection._display import innermost

TOLERANCE = 1e-3  # by which probabilities of a row may sum to something else than 1
WITHOUT = {
    "predict": "labels are what is asked: pass a classifier.",
    "predict_proba": "probabilities are what is asked: wrap it in "
    "sklearn.calibration.CalibratedClassifierCV, or pass another estimator.",
}


class Answers(NamedTuple):
    """Probabilities of every row.

    ``proba`` (n, C), float; ``codes`` (n,), positions in ``classes`` (C,) of the true labels.
    """

    proba: np.ndarray
    codes: np.ndarray
    classes: np.ndarray

    @property
    def of_true(self) -> np.ndarray:
        """The probability of each row's true class."""
        found: np.ndarray = self.proba[np.arange(len(self.codes)), self.codes]
        return found


def true_labels(X: Any, y: Any, name: str = "y") -> np.ndarray:
    """The labels y (n,) of rows X, which may be None."""
    y = _targets(_checked(as_array(_dense(y)), name))
    if y.ndim != 1:
        raise ValueError(
            f"{name} has shape {y.shape}, several labels per row, but one class per row is "
            f"wanted: pass one column {name}[:, j] with the answers for its label, say."
        )
    if X is not None and n_rows(X) != len(y):
        raise ValueError(f"X has {n_rows(X)} rows, but {name} has {len(y)} labels.")
    return y


def n_rows(X: Any) -> int:
    """How many rows there are in a list, frame, sparse matrix or array."""
    shape = getattr(X, "shape", None)
    if shape is None:
        shape = (len(X),) if hasattr(X, "__len__") else ()
    if not len(shape):
        raise ValueError(f"X={X!r} has no rows: pass an array of them.")
    return int(shape[0])


def _checked(labels: np.ndarray, who: str) -> np.ndarray:
    """Labels that can be told apart and sorted, one at least."""
    if labels.ndim == 0 or not labels.size:
        raise ValueError(
            f"{who} has shape {labels.shape}: pass the label of each row, one at least."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(
            f"{who} has NaN or infinity among the labels: leave these rows out."
        )
    objects = labels.flat if labels.dtype == object else []
    odd = [label for label in objects if not isinstance(label, str)]
    if odd:
        raise ValueError(
            f"{who} is an array of objects with {odd[0]!r}, which is no word: make all labels "
            "words, or all of them numbers by .astype(int)."
        )
    return labels


def as_array(values: Any) -> np.ndarray:
    """A list, frame, tensor or array of any namespace as NumPy's."""
    plain = hasattr(values, "detach") or hasattr(values, "__array_namespace__")
    return to_numpy(values) if plain else np.asarray(values)


def predictions(model: Any, X: Any, y: np.ndarray) -> np.ndarray:
    """The predicted label of each row: the model's own, or those that were passed."""
    if not is_estimator(model):
        return matched_labels(model, len(y), y, "The array of predictions")
    return asked_for_labels(model, needed(X, model), y)


def asked_for_labels(model: Any, X: Any, y: np.ndarray | None) -> np.ndarray:
    """What a model predicts for rows whose true labels are y, if they are known."""
    predicted = method(model, "predict")(X)
    return matched_labels(
        predicted, n_rows(X), y, f"What {type(model).__name__} predicts"
    )


def matched_labels(
    predicted: Any, n: int, y: np.ndarray | None, who: str, name: str = "y"
) -> np.ndarray:
    """Predicted labels (n,) of n rows, such that they can be compared with y."""
    predicted = as_array(predicted)
    if predicted.shape not in {(n,), (n, 1)}:
        raise ValueError(
            f"{who} has shape {predicted.shape}, but ({n},) is wanted: a label for each row."
        )
    predicted = _checked(predicted.ravel(), who)
    if y is not None:
        check_comparable(y, predicted, who, name)
    return predicted


def needed(X: Any, model: Any) -> Any:
    """X, which only predictions that are passed can do without, for a model that is fitted."""
    if isinstance(model, type):
        raise TypeError(
            f"{model.__name__} is a class: pass a fitted estimator, made by it."
        )
    innermost(model)
    if X is None:
        raise ValueError(
            f"X is None, but {type(model).__name__} needs rows to predict for: pass X, or "
            "predictions in the place of the estimator."
        )
    return X


def check_comparable(
    y: np.ndarray, others: np.ndarray, who: str, name: str = "y"
) -> None:
    """Whether both are words: NumPy would find the number 3 equal to the word "3"."""
    if isinstance(y[0], str) != isinstance(others[0], str):
        raise ValueError(
            f"{who} has labels such as {others[:1].tolist()[0]!r}, but {name} such as "
            f"{y[:1].tolist()[0]!r}: make both words, or both numbers."
        )


def answers(model: Any, X: Any, y: np.ndarray, name: str = "") -> Answers:
    """The model's probabilities, or those that were passed, beside the true labels."""
    named = f" {name!r}" if name else ""
    if is_estimator(model):
        X = needed(X, model)
        proba = as_array(method(model, "predict_proba")(X))
        return matched(
            proba, y, model.classes_, f"Probabilities of {type(model).__name__}"
        )
    return matched(as_array(model), y, np.unique(y), f"The probabilities{named} passed")


def is_estimator(model: Any) -> bool:
    """Whether it is no array; a search may have no ``predict``."""
    return any(hasattr(model, name) for name in ("get_params", "fit", *WITHOUT))


def method(estimator: Any, name: str) -> Any:
    """A method of an estimator that tells of labels or probabilities."""
    if not hasattr(estimator, name):
        raise AttributeError(
            f"{type(estimator).__name__} has no {name}, and {WITHOUT[name]}"
        )
    return getattr(estimator, name)


def matched(proba: np.ndarray, y: np.ndarray, classes: Any, who: str) -> Answers:
    """Probabilities and labels that fit together.

    Raises
    ------
    ValueError
        If they do not: by shape, value or a label that has no column.
    """
    classes = as_array(classes)
    if proba.shape != (len(y), len(classes)):
        raise ValueError(
            f"{who} have shape {proba.shape}, but ({len(y)}, {len(classes)}) is wanted: a row "
            f"for each label in y, a column for each of the classes {classes.tolist()}, in "
            "this order."
        )
    if proba.dtype.kind not in "fiu":
        raise ValueError(f"{who} are of dtype {proba.dtype}, but numbers are wanted.")
    proba = proba if proba.dtype.kind == "f" else proba.astype(np.float64)
    _check_values(proba, who)
    check_comparable(y, classes, "The array of classes")
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        raise ValueError(
            f"y has labels that the estimator has never seen: {unknown.tolist()}. Its classes "
            f"are {classes.tolist()}: leave these rows out."
        )
    order = np.argsort(classes)
    return Answers(proba, order[np.searchsorted(classes, y, sorter=order)], classes)


def _check_values(proba: np.ndarray, who: str) -> None:
    if not np.isfinite(proba).all():
        row = int(np.flatnonzero(~np.isfinite(proba).all(1))[0])
        raise ValueError(
            f"{who} are not all finite: row {row} has {proba[row].tolist()}."
        )
    sums = proba.sum(1, dtype=np.float64)
    bad = (np.abs(sums - 1) > TOLERANCE) | (proba.min(1) < -TOLERANCE)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{who} must be 0 or more and sum to 1 in each row, but those of row {row}, "
            f"{proba[row].tolist()}, sum to {sums[row]:g}. Logits become probabilities by "
            "scipy.special.softmax(logits, axis=1)."
        )
