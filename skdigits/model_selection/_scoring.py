"""Scores of models as they train and when they are done."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from skdigits._base import TorchClassifier
from skdigits.model_selection._private import (
    needs_responses_only,
    rows_of_params,
    safe_indexing,
    score,
)


class Scoring(NamedTuple):
    """How models are scored: GridSearchCV's parameters of the same names."""

    scorer: Any
    params: dict[str, Any]
    return_train_score: bool
    error_score: Any


class KnownResponses(TorchClassifier):
    """Stands in for a fitted classifier where its logits for the rows are known.

    A scorer asks it for predictions or probabilities as it would ask the classifier itself.
    """

    def __init__(self, classes: Any, logits: Tensor):
        self.classes_ = classes
        self.logits = logits

    def _checked_logits(self, X: Any, method: str) -> tuple[Any, Tensor]:
        return X, self._finite(self.logits)

    def _logits(self, X: Tensor) -> Tensor:
        return self.logits

    @property
    def _fitted_array(self) -> Any:
        return self.logits


class Questions(NamedTuple):
    """Rows to be scored on, as the model sees them and as the user passed them."""

    rows: Any
    X: Any
    y: Any
    params: dict[str, Any]


def questions(
    scoring: Scoring, X: Any, y: Any, rows: np.ndarray, transformed: Any | None = None
) -> Questions:
    """Some rows of X and y, with what the scorers are given beside them."""
    chosen = safe_indexing(X, rows)
    params = rows_of_params(X, scoring.params, rows)
    seen = chosen if transformed is None else transformed
    return Questions(seen, chosen, safe_indexing(y, rows), params)


def score_model(
    scoring: Scoring, asked: Questions, classes: Any, logits: Tensor, fitted: Any
) -> Any:
    """Score one model whose logits are known; ``fitted()`` is for scorers who want more.

    Returns
    -------
    float or dict of str to float
        What GridSearchCV would have got.
    """
    if needs_responses_only(scoring.scorer):
        model, X = KnownResponses(classes, logits), asked.rows
    else:
        model, X = fitted(), asked.X
    return score(model, X, asked.y, scoring.scorer, asked.params, scoring.error_score)


def by_metric(scores: Sequence[Any]) -> dict[str, list[float]]:
    """Scores of one or of many metrics as lists by name, the only one's being ``score``."""
    names = next((score.keys() for score in scores if isinstance(score, dict)), None)
    if names is None:
        return {"score": list(scores)}
    # Where a callable that returns several failed, its score is error_score, one number.
    every = [s if isinstance(s, dict) else dict.fromkeys(names, s) for s in scores]
    return {name: [values[name] for values in every] for name in names}
