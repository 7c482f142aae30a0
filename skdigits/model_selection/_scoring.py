"""Scores of models, from their logits where scorers need nothing else."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from joblib.logger import short_format_time
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import (
    _BaseScorer,
    _MultimetricScorer,
    _PassthroughScorer,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.model_selection._validation import _score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params, _num_samples
from torch import Tensor

from skdigits._arrays import Array
from skdigits._base import TorchClassifier

safe_indexing: Callable[..., Any] = _safe_indexing
"""Return some samples of whatever users pass as X, y or weights."""


n_samples_of: Callable[[Any], int] = _num_samples
"""Return the number of samples of whatever users pass as X."""

Search: TypeAlias = GridSearchCV | RandomizedSearchCV


class Scoring(NamedTuple):
    """How models are scored: GridSearchCV's parameters of the same names."""

    scorer: Callable[..., Any]
    params: dict[str, Any]
    return_train_score: bool
    error_score: float | str


class ScoringData(NamedTuple):
    """Samples to score on, as the model sees them and as the user passed them."""

    samples: ArrayLike
    X: ArrayLike
    y: ArrayLike
    params: dict[str, Any]


class Outcome(NamedTuple):
    """Result of one candidate in one fold.

    ``result`` is a result of scikit-learn's ``_fit_and_score``; ``by_epoch`` are the
    test scores after every epoch; ``alone`` tells that no other model shared its run.
    """

    candidate: int
    split: int
    result: dict[str, Any]
    by_epoch: list[Any]
    alone: bool


class KnownPredictions(TorchClassifier):
    """Stands in for a fitted classifier whose logits are known.

    A scorer gets predictions and probabilities from it as from the classifier itself.
    ``overflow`` says that some of the logits are not finite, which is then an error.
    """

    def __init__(self, classes: Array, logits: Tensor, overflow: bool) -> None:
        self.classes_ = classes
        self.logits = logits
        self.overflow = overflow

    def _checked_logits(self, X: ArrayLike, method: str) -> tuple[ArrayLike, Tensor]:
        if self.overflow:
            return X, self._finite(self.logits)
        return X, self.logits

    def _logits(self, X: Tensor) -> Tensor:
        return self.logits

    @property
    def _fitted_array(self) -> Tensor:
        return self.logits


def scoring_data(
    scoring: Scoring,
    X: ArrayLike,
    y: ArrayLike,
    samples: np.ndarray,
    transformed: ArrayLike | None = None,
) -> ScoringData:
    """Return some samples of X and y, with the parameters of scorers for them."""
    chosen = safe_indexing(X, samples)
    params = _check_method_params(X, scoring.params, samples)
    seen = chosen if transformed is None else transformed
    return ScoringData(seen, chosen, safe_indexing(y, samples), params)


def needs_predictions_only(scorer: Callable[..., Any]) -> bool:
    """Return whether a scorer uses nothing of a classifier but its predictions."""
    if isinstance(scorer, _MultimetricScorer):
        return all(map(needs_predictions_only, scorer._scorers.values()))
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)


def score_model(
    scoring: Scoring,
    data: ScoringData,
    classes: Array,
    logits: Tensor,
    overflow: bool,
    as_fitted: Callable[[], BaseEstimator],
) -> Any:
    """Score a model whose logits are known, as GridSearchCV would.

    ``overflow`` says that some of the logits are not finite. ``as_fitted`` makes the
    model for a scorer that looks at it.

    Returns
    -------
    float or dict of str to float
        The score, or the scores by metric.
    """
    # Making a fitted estimator takes longer than most scores.
    if needs_predictions_only(scoring.scorer):
        model = KnownPredictions(classes, logits, overflow)
        X = data.samples
    else:
        model = as_fitted()
        X = data.X
    return _score(model, X, data.y, scoring.scorer, data.params, scoring.error_score)


def add_scores_by_epoch(
    results: dict[str, Any], outcomes: Sequence[Sequence[Outcome]]
) -> None:
    """Add ``split*_test_score_by_epoch`` and their means to ``cv_results_``.

    ``outcomes`` are those of each candidate, split by split. Each entry of a column is
    an array with a score for every epoch of the candidate's longest fold. It is empty
    if the candidate was not batched. A fold that ended earlier repeats its final score.
    """
    by_candidate = [_score_matrices(some) for some in outcomes]
    n_splits = len(outcomes[0])
    names = dict.fromkeys(name for matrices in by_candidate for name in matrices)
    for name in names:
        empty = np.empty((n_splits, 0))
        matrices = [some.get(name, empty) for some in by_candidate]
        columns = {
            f"split{split}_test_{name}_by_epoch": [one[split] for one in matrices]
            for split in range(n_splits)
        }
        columns[f"mean_test_{name}_by_epoch"] = [one.mean(0) for one in matrices]

        for key, arrays in columns.items():
            # Filled in, as NumPy would make a matrix of arrays of one length.
            results[key] = np.empty(len(arrays), dtype=object)
            results[key][:] = arrays


def _score_matrices(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Return a candidate's scores (splits, epochs) by metric; none if not batched."""
    if not all(outcome.by_epoch for outcome in outcomes):
        return {}

    # Early stopping may end folds after different epochs, of which means are taken.
    longest = max(len(outcome.by_epoch) for outcome in outcomes)
    found: dict[str, list[list[float]]] = {}
    for outcome in outcomes:
        missing = longest - len(outcome.by_epoch)
        scores = [*outcome.by_epoch, *[outcome.result["test_scores"]] * missing]
        for name, values in _by_metric(scores):
            found.setdefault(name, []).append(values)
    return {name: np.array(rows, dtype=float) for name, rows in found.items()}


def _by_metric(scores: Sequence[Any]) -> Iterator[tuple[str, list[float]]]:
    """Yield each metric with its scores; a single metric is named ``score``."""
    names = next((one.keys() for one in scores if isinstance(one, dict)), None)
    if names is None:
        yield "score", list(scores)
        return

    for name in names:
        # Where a callable that returns several scores failed, error_score is a number.
        yield name, [one[name] if isinstance(one, dict) else one for one in scores]


def print_outcome(
    verbose: int, setting: dict[str, Any], outcome: Outcome, n_splits: int
) -> None:
    """Print a line for one candidate in one fold, as GridSearchCV does."""
    if verbose < 2:
        return
    result = outcome.result
    fold = f" {outcome.split + 1}/{n_splits}" if verbose > 2 else ""
    text = ", ".join(f"{name}={setting[name]}" for name in sorted(setting))
    text += ";" if text else ""
    if verbose > 2:
        text += _score_text(result["test_scores"], result.get("train_scores"))

    seconds = short_format_time(result["fit_time"] + result["score_time"])
    start = f"[CV{fold}] END "
    end = f"{text} total time={seconds}"
    print(start + end.rjust(80 - len(start), "."))


def _score_text(test: Any, train: Any) -> str:
    """Return scores as GridSearchCV prints them."""
    if isinstance(test, dict):
        pairs = [(name, test[name], train and train[name]) for name in sorted(test)]
        return "".join(f" {name}: ({_pair(a, b)})" for name, a, b in pairs)
    if train is None:
        return f", score={test:.3f}"
    return f", score=({_pair(test, train)})"


def _pair(test: float, train: float | None) -> str:
    if train is None:
        return f"test={test:.3f}"
    return f"train={train:.3f}, test={test:.3f}"
