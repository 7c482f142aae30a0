"""The best candidate, the best number of epochs, and fitting once more by them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from skdigits._fitting import SOLVERS, fit_many
from skdigits.model_selection._grouping import BATCHED, split_pipeline


def best_number_of_epochs(
    results: dict[str, Any], metric: Any, chosen: int | None = None
) -> tuple[int, int, float]:
    """The candidate and the number of epochs with the highest mean test score, and that.

    The first of equals; of ``chosen``, where that is the candidate to take.
    """
    if not isinstance(metric, str):
        raise ValueError(
            "refit_epochs='best' needs to know by which metric: set refit to the name of one, "
            "as a callable chooses the candidate only."
        )
    key = f"mean_test_{metric}_by_epoch"
    if key not in results:
        raise ValueError(
            "refit_epochs='best' chooses among the scores after each epoch, but no candidate "
            "was batched, so there are none: see batched_, and set refit_epochs=None."
        )
    curves = results[key]
    scored = np.isfinite(results[f"mean_test_{metric}"])  # others could not win
    scored[[] if chosen is None else chosen] = True
    without = [n for n, curve in enumerate(curves) if not len(curve) and scored[n]]
    if without:
        raise ValueError(
            "refit_epochs='best' compares the scores after each epoch of all candidates, but "
            f"candidates {without} have none, as they were not batched in every fold: leave "
            "them out, or set refit_epochs=None."
        )
    tops = [np.nanmax(np.append(curve, -np.inf)) for curve in curves]
    index = int(np.argmax(tops)) if chosen is None else chosen
    epochs = int(np.argmax(np.nan_to_num(curves[index], nan=-np.inf))) + 1
    return index, epochs, float(tops[index])


def check_epochs_can_be_chosen(search: Any, settings: Sequence[dict[str, Any]]) -> None:
    """Raise a ValueError where ``refit_epochs="best"`` contradicts something else."""
    if search.refit_epochs is None:
        return
    if not search.refit:
        raise ValueError(
            f"refit_epochs={search.refit_epochs!r} needs a refit, but refit={search.refit!r}: "
            "set refit=True, or refit_epochs=None."
        )
    if any(_stops_early(search.estimator, setting) for setting in settings):
        raise ValueError(
            f"refit_epochs={search.refit_epochs!r} and early_stopping=True of a candidate "
            "both choose the number of epochs: set one of them only."
        )


def _stops_early(estimator: Any, setting: dict[str, Any]) -> bool:
    try:
        _, model = split_pipeline(fresh(estimator, setting))
    except ValueError:  # a setting that cannot be: its evaluation will say so
        return False
    return (
        type(model) in BATCHED and model.early_stopping and model.solver not in SOLVERS
    )


def fit_for(estimator: Any, X: Any, y: Any, weight: Any, epochs: int) -> None:
    """``estimator.fit``, for just the first epochs of those that its model plans."""
    prefix, model = split_pipeline(estimator)
    if prefix is not None:
        X = prefix.fit_transform(X, y)
        estimator.steps[:-1] = prefix.steps
    fit_many([model], X, y, weight, epochs=epochs)


def fresh(estimator: Any, setting: dict[str, Any]) -> Any:
    """An estimator that is not fitted, with a setting of the search."""
    # Settings are cloned as well: they may be estimators themselves.
    return clone(estimator).set_params(**clone(setting, safe=False))
