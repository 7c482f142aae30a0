"""Metrics of many models at once, from what they answer: scikit-learn's own values.

A score is NaN wherever scikit-learn would warn of something or raise an error, so that
its own scorers can be called there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from skdigits._arrays import to_numpy
from skdigits._base import log_proba


class Targets(NamedTuple):
    """True classes of N samples: positions ``codes`` (N,) in sorted ``classes`` (C,).

    ``weight`` (N,) is not negative, and sums to more than 0; None weighs each as 1.
    """

    codes: np.ndarray
    classes: np.ndarray
    weight: np.ndarray | None


@dataclass(frozen=True)
class Responses:
    """What K models with logits (K, N, C) answer, in scikit-learn's words and shapes.

    Each response is computed once, when a metric first needs it.
    """

    logits: Tensor

    @cached_property
    def predict(self) -> np.ndarray:
        """Positions (K, N) of the predicted classes."""
        predicted: np.ndarray = to_numpy(self.logits.argmax(2))
        return predicted

    @cached_property
    def predict_proba(self) -> np.ndarray:
        """Probabilities (K, N, C); of two classes (K, N), those of the second."""
        proba = to_numpy(log_proba(self.logits).exp())
        return proba[..., 1] if proba.shape[2] == 2 else proba

    @cached_property
    def decision_function(self) -> np.ndarray:
        """Logits (K, N, C); of two classes (K, N), their difference."""
        logits: np.ndarray = to_numpy(self.logits)
        return logits[..., 1] - logits[..., 0] if logits.shape[2] == 2 else logits


def accuracy(predictions: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the share (K,) of right predictions (K, N), by weight."""
    return np.average(predictions == targets.codes, 1, targets.weight)


def balanced_accuracy(predictions: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the mean over the classes of the share of right predictions (K, N)."""
    if not has_all_classes(targets):
        return _undefined(predictions)

    of_class = np.eye(len(targets.classes))[targets.codes]
    if targets.weight is not None:
        of_class = of_class * targets.weight[:, None]
    hits = (predictions == targets.codes).astype(float)
    with np.errstate(invalid="ignore"):  # classes whose samples all weigh nothing
        recalls = hits @ of_class / of_class.sum(0)
    mean: np.ndarray = recalls.mean(1)
    return mean


def log_loss(
    proba: np.ndarray, targets: Targets, *, labels: ArrayLike | None = None
) -> np.ndarray:
    """Return the mean (K,) of minus the log-probability of the true class."""
    if not has_all_classes(targets, labels):
        return _undefined(proba)

    if proba.ndim == 2:
        likelihood = np.where(targets.codes == 1, proba, 1 - proba)
    else:
        likelihood = _of_true_class(proba, targets)
    smallest = np.finfo(proba.dtype).eps
    losses = -np.log(likelihood.clip(smallest, 1 - smallest))
    return np.average(losses, 1, targets.weight)


def brier_score(
    proba: np.ndarray, targets: Targets, *, labels: ArrayLike | None = None
) -> np.ndarray:
    """Return the mean (K,) squared distance of probabilities from the true class.

    That of two classes is halved.
    """
    words = targets.classes.dtype.kind in "OUS"
    two = proba.ndim == 2
    # scikit-learn does not know which of two words is the positive class.
    if not has_all_classes(targets, labels) or (two and words):
        return _undefined(proba)

    columns = np.stack([1 - proba, proba], 2) if two else proba
    true = np.eye(len(targets.classes), dtype=proba.dtype)[targets.codes]
    squares = np.square(true - columns).sum(2)
    score = np.average(squares, 1, targets.weight)
    return 0.5 * score if two else score


def top_k_accuracy(
    scores: np.ndarray, targets: Targets, *, k: int = 2, labels: ArrayLike | None = None
) -> np.ndarray:
    """Return the share (K,) of samples with the true class among the ``k`` highest.

    Of equal scores, that of the later class counts as the higher one.
    """
    n_classes = len(targets.classes)
    meaningful = isinstance(k, int) and 0 < k < n_classes
    # A threshold decides between two classes, whose place depends on the scores.
    if scores.ndim == 2 or not meaningful or not has_all_classes(targets, labels):
        return _undefined(scores)

    own = _of_true_class(scores, targets)[..., None]
    later = np.arange(n_classes) > targets.codes[:, None]
    ahead = (scores > own) | ((scores == own) & later)
    return np.average(ahead.sum(2) < k, 1, targets.weight)


def roc_auc(
    scores: np.ndarray,
    targets: Targets,
    *,
    multi_class: str = "raise",
    average: str | None = "macro",
    labels: ArrayLike | None = None,
) -> np.ndarray:
    """Return the area (K,) under the curve of true against false positives.

    That of several classes is the mean over each class against the rest.
    """
    two = scores.ndim == 2
    if not has_all_classes(targets, None if two else labels):
        return _undefined(scores)
    weight = np.ones(len(targets.codes))
    if targets.weight is not None:
        weight = targets.weight.astype(float)
    if two:
        return _area(scores, targets.codes == 1, weight)

    averages = average in ("macro", "weighted")
    are_proba = np.allclose(1, scores.sum(2))
    if multi_class != "ovr" or not averages or not are_proba:
        return _undefined(scores)
    of_class = targets.codes == np.arange(len(targets.classes))[:, None]
    areas = [_area(scores[..., c], own, weight) for c, own in enumerate(of_class)]
    shares = of_class @ weight if average == "weighted" else None
    mean: np.ndarray = np.average(areas, axis=0, weights=shares)
    return mean


def _area(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the area (K,) under the ROC curves of scores (K, N); NaN if undefined."""
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(scores, order, 1)
    of_positive = np.where(positive, weight, 0.0)
    true = of_positive[order].cumsum(1)
    false = (weight - of_positive)[order].cumsum(1)

    # Equal scores are one point of the curve: the last of them.
    last = np.ones(scores.shape, bool)
    last[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
    models, _ = np.nonzero(last)
    heights = _since_point_before(true[last], models, np.add)
    widths = _since_point_before(false[last], models, np.subtract)
    areas = np.bincount(models, widths * heights / 2, len(scores))
    with np.errstate(divide="ignore", invalid="ignore"):  # without either kind
        areas = areas / (true[:, -1] * false[:, -1])
    return np.where(np.isfinite(scores).all(1), areas, np.nan)


def _since_point_before(
    values: np.ndarray, models: np.ndarray, combine: np.ufunc
) -> np.ndarray:
    """Return each value combined with the one before it of the same model, else 0."""
    before = np.roll(values, 1)
    before[np.diff(models, prepend=-1) != 0] = 0
    combined: np.ndarray = combine(values, before)
    return combined


def has_all_classes(targets: Targets, labels: ArrayLike | None = None) -> bool:
    """Return whether there are samples of all classes, two at least.

    They must be the ``labels`` that a scorer was given, too.
    """
    n_classes = len(targets.classes)
    if labels is not None and not np.array_equal(labels, targets.classes):
        return False
    present = np.bincount(targets.codes, minlength=n_classes) > 0
    return n_classes > 1 and bool(present.all())


def _of_true_class(scores: np.ndarray, targets: Targets) -> np.ndarray:
    """Return the scores (K, N) of each sample's true class."""
    taken: np.ndarray = np.take_along_axis(scores, targets.codes[None, :, None], 2)
    return taken[..., 0]


def _undefined(responses: np.ndarray) -> np.ndarray:
    """Return a NaN for each model."""
    return np.full(len(responses), np.nan)


class Metric(NamedTuple):
    """A function of a response and `Targets`, for all models at once.

    ``responses`` are scikit-learn's names of those that it understands, ``options`` the
    keyword arguments.
    """

    function: Callable[..., np.ndarray]
    responses: tuple[str, ...]
    options: frozenset[str] = frozenset()


SCORES = ("decision_function", "predict_proba")
METRICS = {
    "accuracy_score": Metric(accuracy, ("predict",)),
    "balanced_accuracy_score": Metric(balanced_accuracy, ("predict",)),
    "log_loss": Metric(log_loss, ("predict_proba",), frozenset({"labels"})),
    "brier_score_loss": Metric(brier_score, ("predict_proba",), frozenset({"labels"})),
    "top_k_accuracy_score": Metric(top_k_accuracy, SCORES, frozenset({"k", "labels"})),
    "roc_auc_score": Metric(
        roc_auc, SCORES, frozenset({"multi_class", "average", "labels"})
    ),
}
"""Metrics by the name of scikit-learn's function in ``sklearn.metrics``."""
