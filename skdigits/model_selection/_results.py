"""What a search reports beside GridSearchCV's own results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib.logger import short_format_time

from skdigits.model_selection._jobs import Outcome
from skdigits.model_selection._scoring import by_metric


def add_scores_by_epoch(
    results: dict[str, Any], outcomes: Sequence[Sequence[Outcome]]
) -> None:
    """Add ``split*_test_score_by_epoch`` and their means to ``cv_results_``.

    ``outcomes`` are those of each candidate, split by split. Each entry of a column is an
    array of as many epochs as the candidate was trained for in its longest fold, empty where
    it was not batched; where a fold ended earlier, its final score goes on.
    """
    by_candidate, n_splits = [_matrices(some) for some in outcomes], len(outcomes[0])
    for name in dict.fromkeys(name for matrices in by_candidate for name in matrices):
        matrices = [m.get(name, np.empty((n_splits, 0))) for m in by_candidate]
        for split in range(n_splits):
            column = _objects([matrix[split] for matrix in matrices])
            results[f"split{split}_test_{name}_by_epoch"] = column
        results[f"mean_test_{name}_by_epoch"] = _objects([m.mean(0) for m in matrices])


def _matrices(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Scores (splits, epochs) of one candidate by metric; none if a fold was not batched."""
    if not all(outcome.by_epoch for outcome in outcomes):
        return {}
    longest = max(len(outcome.by_epoch) for outcome in outcomes)
    rows = []
    for outcome in outcomes:
        rest = [outcome.result["test_scores"]] * (longest - len(outcome.by_epoch))
        rows.append(by_metric([*outcome.by_epoch, *rest]))
    return {
        name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]
    }


def _objects(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """A column of arrays, also where all are of one length."""
    column = np.empty(len(arrays), dtype=object)
    column[:] = list(arrays)
    return column


def print_outcome(
    verbose: int, setting: dict[str, Any], outcome: Outcome, n_splits: int
) -> None:
    """A line for one candidate in one fold, as GridSearchCV prints it."""
    if verbose < 2:
        return
    fold, result = (
        f" {outcome.split + 1}/{n_splits}" if verbose > 2 else "",
        outcome.result,
    )
    text = ", ".join(f"{name}={setting[name]}" for name in sorted(setting))
    text += ";" if text else ""
    if verbose > 2:
        text += _shown(result["test_scores"], result.get("train_scores"))
    seconds = short_format_time(result["fit_time"] + result["score_time"])
    start, end = f"[CV{fold}] END ", f"{text} total time={seconds}"
    print(start + end.rjust(80 - len(start), "."))


def _shown(test: Any, train: Any) -> str:
    """Scores as GridSearchCV prints them."""
    if isinstance(test, dict):
        pairs = [(name, test[name], train and train[name]) for name in sorted(test)]
        return "".join(f" {name}: ({_pair(a, b)})" for name, a, b in pairs)
    return (
        f", score=({_pair(test, train)})"
        if train is not None
        else f", score={test:.3f}"
    )


def _pair(test: float, train: float | None) -> str:
    return (
        f"test={test:.3f}" if train is None else f"train={train:.3f}, test={test:.3f}"
    )
