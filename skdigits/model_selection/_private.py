"""What a search needs of scikit-learn's private parts, in one place.

A candidate that is not batched, and every score, is to come out as in GridSearchCV: by the
very functions that GridSearchCV calls.
"""

from typing import Any

from sklearn.base import _fit_context
from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.model_selection._validation import (
    _fit_and_score as fit_and_score,
)
from sklearn.model_selection._validation import (
    _insert_error_scores as insert_error_scores,
)
from sklearn.model_selection._validation import (
    _score as score,
)
from sklearn.model_selection._validation import (
    _warn_or_raise_about_fit_failures as warn_or_raise_about_fit_failures,
)
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils.validation import _check_method_params as rows_of_params
from sklearn.utils.validation import _num_samples as n_rows

__all__ = [
    "fit_and_score",
    "fit_context",
    "insert_error_scores",
    "n_rows",
    "needs_responses_only",
    "rows_of_params",
    "safe_indexing",
    "score",
    "scorers_by_name",
    "warn_or_raise_about_fit_failures",
]

# The estimator that is searched over is checked when it is fitted, as in GridSearchCV.
fit_context = _fit_context(prefer_skip_nested_validation=False)


def scorers_by_name(scorer: Any) -> Any:
    """A dict of scorers where there are several, else the only one."""
    return scorer._scorers if isinstance(scorer, _MultimetricScorer) else scorer


def needs_responses_only(scorer: Any) -> bool:
    """Whether a scorer asks a classifier for no more than what it predicts."""
    if isinstance(scorer, _MultimetricScorer):
        return all(map(needs_responses_only, scorer._scorers.values()))
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)
