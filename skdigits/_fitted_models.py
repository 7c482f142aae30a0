"""What is inside of a fitted model: of Pipelines, searches, frozen ones, ensembles."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

# Where fitted meta-estimators keep others.
PLACES = (
    "estimator",
    "estimator_",
    "best_estimator_",
    "final_estimator_",
    "estimators_",
    "calibrated_classifiers_",
    "transformer_list",
)


def unwrapped(model: Any, name: str) -> Any:
    """Return the fitted estimator within frozen estimators and searches.

    ``name`` is the parameter that holds the model.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If a search did not refit its best candidate.
    """
    if isinstance(model, FrozenEstimator):
        return unwrapped(model.estimator, name)
    check_fitted(model, name)
    # RidgeClassifierCV has cv_results_, too, but predicts by itself.
    if not (hasattr(model, "cv_results_") and hasattr(model, "refit")):
        return model

    if not hasattr(model, "best_estimator_"):
        raise ValueError(
            f"{name}={type(model).__name__} has refit={model.refit!r}, and so no "
            "best_estimator_ that predicts: set refit=True and fit it again, or pass a "
            "fitted model."
        )
    return unwrapped(model.best_estimator_, name)


def check_fitted(model: Any, name: str) -> None:
    """Raise an error that names the parameter if a model is not fitted."""
    # Anything with ``predict`` may do, but only scikit-learn's can be checked.
    if not hasattr(model, "__sklearn_tags__"):
        return
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise NotFittedError(
            f"{name}={type(model).__name__} is not fitted: call its fit(X, y), with "
            "the samples to learn from, first."
        ) from error


def fitted_steps(model: Any, name: str) -> Iterator[Any]:
    """Yield the transformers of a fitted Pipeline, and then its last step.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If a search did not refit its best candidate, or a Pipeline has no steps.
    """
    model = unwrapped(model, name)
    if not isinstance(model, Pipeline):
        yield model
        return
    if not model.steps:
        raise ValueError(f"{name}=Pipeline has no steps: give it a classifier.")
    for _, step in model.steps:
        if step is not None and step != "passthrough":
            yield from fitted_steps(step, name)


def everything_in(model: object) -> Iterator[object]:
    """Yield an estimator and, as far as can be seen, the estimators in it."""
    yield model
    for member in members(model):
        yield from everything_in(member)


def members(model: object) -> list[Any]:
    """Return the estimators that an estimator keeps, as far as can be seen."""
    found = [getattr(model, place, None) for place in PLACES]
    if isinstance(model, Pipeline):
        found += [step for _, step in model.steps]
    each: list[Any] = []
    for one in found:
        each += one if isinstance(one, list | tuple | np.ndarray) else [one]

    # A FeatureUnion lists names beside transformers.
    each = [one[1] if isinstance(one, tuple) else one for one in each]
    return [one for one in each if one is not None and not isinstance(one, str)]
