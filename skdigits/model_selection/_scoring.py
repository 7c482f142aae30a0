"""Scores of models, from their logits where scorers need nothing else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from joblib.logger import short_format_time
from numpy.typing import ArrayLike
from sklearn import get_config, metrics
from sklearn.base import BaseEstimator
from sklearn.metrics._scorer import (
    _BaseScorer,
    _MultimetricScorer,
    _PassthroughScorer,
    _Scorer,
)
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import _fit_and_score, _score
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_method_params, _num_samples
from torch import Tensor

from skdigits._arrays import Array, to_numpy
from skdigits._base import TorchClassifier
from skdigits.engine.types import Run
from skdigits.model_selection._metrics import METRICS, Responses, Targets
from skdigits.training.messages import Message, noted

safe_indexing: Callable[..., Any] = _safe_indexing
"""Return some samples of whatever users pass as X, y or weights."""


n_samples_of: Callable[[Any], int] = _num_samples
"""Return the number of samples of whatever users pass as X."""

fit_and_score: Callable[..., dict[str, Any]] = _fit_and_score
"""Fit and score one candidate in one fold, as GridSearchCV does."""

Search: TypeAlias = BaseSearchCV

NUMBERS_AT_ONCE = 2**20  # logits that metrics look at together; they take copies


class Scoring(NamedTuple):
    """How models are scored: GridSearchCV's parameters of the same names.

    ``by_epoch`` tells whether scores are wanted after every epoch, too.
    """

    scorer: Callable[..., Any]
    params: dict[str, Any]
    return_train_score: bool
    error_score: float | str
    by_epoch: bool = False


class ScoringData(NamedTuple):
    """Samples to score on, as the model sees them and as the user passed them.

    ``codes`` are the positions of y among the model's classes; None if y is anything
    else than an array of those classes.
    """

    samples: ArrayLike
    X: ArrayLike
    y: ArrayLike
    params: dict[str, Any]
    codes: np.ndarray | None = None


class Kept(NamedTuple):
    """A run to continue later, and a hash of the features that it has seen.

    The hash is empty if no steps before the model make the features.
    """

    run: Run
    features: str


class Outcome(NamedTuple):
    """Result of one candidate in one fold.

    ``result`` is a result of scikit-learn's ``_fit_and_score``; ``by_epoch`` are the
    test scores after every epoch, if they are wanted, or None if scikit-learn has
    fitted the candidate; ``alone`` tells that no other model shared its run; ``kept``
    is there if training can continue. ``messages`` are for the user, and differ.
    ``solver`` is the one that has trained it, None if that was in scikit-learn's loop.
    """

    candidate: int
    split: int
    result: dict[str, Any]
    by_epoch: list[Any] | None
    alone: bool
    kept: Kept | None = None
    messages: tuple[Message, ...] = ()
    solver: str | None = None


Outcomes: TypeAlias = dict[tuple[int, int], Outcome]
"""Outcomes by candidate and fold."""


class KnownMetric(NamedTuple):
    """A function of this package's that computes a scorer's metric for all models.

    It takes a response of scikit-learn's name, and its score is multiplied by ``sign``.
    """

    function: Callable[..., np.ndarray]
    response: str
    sign: int
    options: dict[str, Any]


class Known(NamedTuple):
    """Which of K models have finite logits, and scores (K,) by metric.

    NaN stands for a score that has to come from scikit-learn's own scorer.
    """

    finite: list[bool]
    scores: dict[str, np.ndarray]


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
    classes: np.ndarray,
    transformed: ArrayLike | None = None,
) -> ScoringData:
    """Return some samples of X and y, with the parameters of scorers for them."""
    chosen = safe_indexing(X, samples)
    params = _check_method_params(X, scoring.params, samples)
    seen = chosen if transformed is None else transformed
    labels = safe_indexing(y, samples)

    # Under dispatch, what a metric can do depends on the namespace.
    plain = isinstance(chosen, np.ndarray) or not get_config()["array_api_dispatch"]
    codes = _codes(labels, classes) if plain else None
    return ScoringData(seen, chosen, labels, params, codes)


def _codes(labels: ArrayLike, classes: np.ndarray) -> np.ndarray | None:
    """Return the positions of labels among the classes; None if that is not all."""
    if isinstance(labels, Tensor):
        return None
    y = np.asarray(labels)
    if y.ndim != 1 or y.dtype.kind != classes.dtype.kind:
        return None

    try:
        codes = np.searchsorted(classes, y).clip(max=len(classes) - 1)
        known = np.array_equal(classes[codes], y)
    except TypeError:  # of objects that cannot be compared
        return None
    return codes if known else None


def needs_predictions_only(scorer: Callable[..., Any]) -> bool:
    """Return whether a scorer uses nothing of a classifier but its predictions."""
    if isinstance(scorer, _MultimetricScorer):
        return all(map(needs_predictions_only, scorer._scorers.values()))
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)


def scorers_of(scoring: Scoring) -> dict[str, Any]:
    """Return scorers by metric; a single one is named ``score``."""
    scorer: Any = scoring.scorer
    several = isinstance(scorer, _MultimetricScorer)
    return dict(scorer._scorers) if several else {"score": scorer}


def score_models(
    scoring: Scoring,
    data: ScoringData,
    classes: np.ndarray,
    logits: Tensor,
    as_fitted: Callable[[int], BaseEstimator],
    notes: Sequence[list[Message]] | None = None,
    known: Known | None = None,
) -> list[Any]:
    """Score K models whose logits (K, N, C) are known, as GridSearchCV would.

    ``as_fitted`` makes one of the models for a scorer that looks at it. Warnings of the
    scorers are added to ``notes``, a list for each model, and given if there are none.
    ``known`` are scores that were computed before; by default, they are computed here.

    Returns
    -------
    list of float or of dict of str to float
        The score of each model, or its scores by metric.
    """
    scorer: Any = scoring.scorer
    lists = [None] * len(logits) if notes is None else notes
    if not needs_predictions_only(scorer):
        rest = (data.X, data.y, scorer, data.params, scoring.error_score)
        return [
            _noted_score(own, as_fitted(number), *rest)
            for number, own in enumerate(lists)
        ]

    several = isinstance(scorer, _MultimetricScorer)
    scorers = scorer._scorers if several else {"score": scorer}
    if known is None:
        finite = logits.amax(2).isfinite().all(1)
        columns = _known_scores(scorers, data, classes, logits, finite)
        known = Known(finite.tolist(), columns)
    found = []
    for number, is_finite in enumerate(known.finite):
        overflow = not is_finite
        values = {name: column[number].item() for name, column in known.scores.items()}
        values = {name: values[name] for name in values if np.isfinite(values[name])}
        others = {name: scorers[name] for name in scorers if name not in values}
        if others:
            own = scorer
            if values:
                own = _MultimetricScorer(scorers=others, raise_exc=scorer._raise_exc)
            model = KnownPredictions(classes, logits[number], overflow)
            rest = (data.samples, data.y, own, data.params, scoring.error_score)
            score = _noted_score(lists[number], model, *rest)
            values |= score if several else {"score": score}
        found.append({name: values[name] for name in scorers})
    return found if several else [values["score"] for values in found]


def _noted_score(notes: list[Message] | None, *args: Any) -> Any:
    """Score a model as scikit-learn does, and add warnings to notes, if there are."""
    with nullcontext() if notes is None else noted(notes):
        return _score(*args)


def _known_scores(
    scorers: dict[str, Callable[..., Any]],
    data: ScoringData,
    classes: np.ndarray,
    logits: Tensor,
    finite: Tensor,
) -> dict[str, np.ndarray]:
    """Return scores (K,) of the metrics that this package computes for all models.

    NaN stands for a score that has to come from scikit-learn's own scorer.
    """
    known = {
        name: metric
        for name, scorer in scorers.items()
        if (metric := as_metric(scorer)) is not None
    }
    targets = targets_of(data, classes)
    # Routing decides which of several scorers gets the weights.
    routed = bool(data.params) and get_config()["enable_metadata_routing"]
    if targets is None or (routed and len(scorers) > 1):
        return {}

    found = {name: np.full(len(logits), np.nan) for name in known}
    at_once = max(1, NUMBERS_AT_ONCE // logits[0].numel())
    for places in finite.nonzero().flatten().split(at_once):
        responses = Responses(logits[places])
        for name, metric in known.items():
            response = getattr(responses, metric.response)
            scores = metric.function(response, targets, **metric.options)
            found[name][to_numpy(places)] = metric.sign * scores
    return found


def targets_of(data: ScoringData, classes: np.ndarray) -> Targets | None:
    """Return what metrics compare with; None for what scikit-learn has to look at."""
    if data.codes is None or not data.params.keys() <= {"sample_weight"}:
        return None
    weight = data.params.get("sample_weight")
    if weight is None:
        return Targets(data.codes, classes, None)
    if isinstance(weight, Tensor):
        return None

    weight = np.asarray(weight)
    if weight.shape != data.codes.shape or weight.dtype.kind not in "fiu":
        return None
    sound = np.isfinite(weight).all() and (weight >= 0).all() and weight.any()
    return Targets(data.codes, classes, weight) if sound else None


def as_metric(scorer: _BaseScorer | _PassthroughScorer) -> KnownMetric | None:
    """Return the metric that gives a scorer's scores; None if there is no such."""
    if isinstance(scorer, _PassthroughScorer):
        return KnownMetric(METRICS["accuracy_score"].function, "predict", 1, {})
    if type(scorer) is not _Scorer:
        return None

    name = getattr(scorer._score_func, "__name__", "")
    metric = METRICS.get(name)
    if metric is None or getattr(metrics, name) is not scorer._score_func:
        return None
    methods = scorer._response_method
    # Every model has all of them, so that the first is the one that is called.
    method = methods if isinstance(methods, str) else methods[0]
    if method not in metric.responses or not scorer._kwargs.keys() <= metric.options:
        return None
    return KnownMetric(metric.function, method, scorer._sign, scorer._kwargs)


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
    curves = [outcome.by_epoch or [] for outcome in outcomes]
    longest = max(map(len, curves))
    found: dict[str, list[list[float]]] = {}
    for outcome, curve in zip(outcomes, curves, strict=True):
        missing = longest - len(curve)
        scores = [*curve, *[outcome.result["test_scores"]] * missing]
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
