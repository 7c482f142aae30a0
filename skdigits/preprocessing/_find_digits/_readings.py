"""What a model reads in cut-outs."""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any, TypeAlias

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skdigits._arrays import to_numpy
from skdigits.preprocessing._digit_normalizer import (
    LARGEST_CUT_OUT,
    DigitNormalizer,
)

Reader: TypeAlias = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From cut-outs to probabilities (n, classes)."""

# MNIST's digits are 20 pixels long in images of 28.
DIGIT = 20 / 28
CURE = "pass make_pipeline(DigitNormalizer(), classifier).fit(X, y), say."


def reader(model: Any) -> Reader:
    """Return how a model reads cut-outs.

    Raises
    ------
    TypeError
        If it gives no probabilities.
    ValueError
        If it is not fitted, or takes no images.
    """
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    if isinstance(model, type) or not hasattr(model, "fit"):
        raise TypeError(f"model={name} is no fitted classifier: {CURE}")
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ValueError(
            f"model={name} is not fitted: call model.fit(X, y) with images of digits "
            "first."
        ) from error
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model={name} has no predict_proba, but cuts between digits are chosen by "
            "probabilities: pass a classifier that has it, such as ConvNetClassifier, "
            "or model=None."
        )

    if isinstance(first_step(model), DigitNormalizer):
        return lambda pictures: _probabilities(model, _stack(pictures), name)
    normaliser = own_normaliser(model, name)
    return lambda pictures: _probabilities(
        model, normaliser.transform(_stack(pictures)), name
    )


def _probabilities(model: Any, X: np.ndarray, name: str) -> np.ndarray:
    """Return probabilities, of which each digit has 1 in sum."""
    found = model.predict_proba(X)
    given = to_numpy(found) if not isinstance(found, list) else np.zeros(0)
    if given.ndim != 2 or not np.allclose(given.sum(1), 1, atol=1e-3):
        raise ValueError(
            f"model={name} gives no probabilities of classes, of which each digit has "
            "one: fit it to y of shape (n_samples,)."
        )
    return given


def first_step(model: Any) -> Any:
    """Return what meets the images first, within searches and frozen estimators."""
    if isinstance(model, FrozenEstimator):
        return first_step(model.estimator)
    if hasattr(model, "best_estimator_"):
        return first_step(model.best_estimator_)
    if isinstance(model, Pipeline):
        steps = [one for _, one in model.steps if one not in (None, "passthrough")]
        return first_step(steps[0]) if steps else model
    return model


def own_normaliser(model: Any, name: str) -> DigitNormalizer:
    """Return what makes the rows that a model without one takes."""
    n_features = getattr(model, "n_features_in_", 0)
    size = isqrt(n_features)
    if size < 2 or size**2 != n_features:
        raise ValueError(
            f"model={name} was fitted to {n_features} features, which are no square "
            f"image: {CURE}"
        )
    return DigitNormalizer(size=size, digit_size=max(1, round(DIGIT * size)))


def _stack(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return cut-outs in one array, with a ground around: one call is faster."""
    side = LARGEST_CUT_OUT
    stack = np.zeros((len(pictures), side, side), np.uint8)
    for place, picture in zip(stack, pictures, strict=True):
        height, width = picture.shape
        top = (side - height) // 2
        left = (side - width) // 2
        place[top : top + height, left : left + width] = picture
    return stack
