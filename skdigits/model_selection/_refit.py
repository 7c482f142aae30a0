"""The best number of epochs, and a fit for just so many."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skdigits._gradient import FULL_BATCH
from skdigits.engine.solvers import SOLVERS
from skdigits.model_selection._grouping import fresh, is_batchable, split_pipeline
from skdigits.model_selection._scoring import Search


def best_number_of_epochs(
    results: dict[str, Any], metric: object, chosen: int | None = None
) -> tuple[int, int, float]:
    """Return candidate and number of epochs with the highest mean test score, and it.

    Of equal ones, the first; ``chosen`` restricts the choice to one candidate.
    """
    if not isinstance(metric, str):
        raise ValueError(
            "refit_epochs='best' needs a metric to compare epochs by: set refit to the "
            "name of one, as a callable chooses the candidate only."
        )
    key = f"mean_test_{metric}_by_epoch"
    if key not in results:
        raise ValueError(
            "refit_epochs='best' compares the scores after each epoch, but no "
            "candidate was batched, so there are none: see batched_, and set "
            "refit_epochs=None."
        )

    curves = results[key]
    # A candidate without a finite score cannot win, and needs no curve.
    in_question = np.isfinite(results[f"mean_test_{metric}"])
    if chosen is not None:
        in_question[chosen] = True
    without = [n for n, curve in enumerate(curves) if not len(curve) and in_question[n]]
    if without:
        raise ValueError(
            "refit_epochs='best' compares the scores after each epoch of all "
            f"candidates, but candidates {without} have none, as they were not batched "
            "in every fold: leave them out, or set refit_epochs=None."
        )

    highest = [np.nanmax(np.append(curve, -np.inf)) for curve in curves]
    index = int(np.argmax(highest)) if chosen is None else chosen
    epochs = int(np.argmax(np.nan_to_num(curves[index], nan=-np.inf))) + 1
    return index, epochs, float(highest[index])


def check_epochs_can_be_chosen(
    search: Search, settings: Sequence[dict[str, Any]]
) -> None:
    """Raise a ValueError where ``refit_epochs="best"`` contradicts something else."""
    if not search.refit:
        raise ValueError(
            f"refit_epochs={search.refit_epochs!r} needs a refit, but refit="
            f"{search.refit!r}: set refit=True, or refit_epochs=None."
        )
    if any(_stops_early(search.estimator, setting) for setting in settings):
        raise ValueError(
            f"refit_epochs={search.refit_epochs!r} and early_stopping=True of a "
            "candidate both choose the number of epochs: set one of them only."
        )


def _stops_early(estimator: BaseEstimator, setting: dict[str, Any]) -> bool:
    try:
        _, model = split_pipeline(fresh(estimator, setting))
    except ValueError:  # of a setting that cannot be: its evaluation will report it
        return False
    if not is_batchable(model) or not model.early_stopping:
        return False
    # With solver="auto", early stopping means a stochastic one.
    return model.solver in ["auto", *SOLVERS] and model.solver not in FULL_BATCH


def fit_for(
    estimator: BaseEstimator,
    X: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike | None,
    epochs: int,
) -> None:
    """Fit an estimator, for the first epochs of those that its model plans."""
    prefix, model = split_pipeline(estimator)
    if prefix is not None:
        X = prefix.fit_transform(X, y)
        estimator.steps[:-1] = prefix.steps
    model._train(X, y, weight, epochs=epochs)
