"""What a model reads in cut-outs."""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any, TypeAlias

import numpy as np

from skdigits._arrays import to_numpy
from skdigits._base import TorchClassifier
from skdigits._fitted_models import everything_in, fitted_steps, members
from skdigits._pixels import WHITE, full_ink
from skdigits.preprocessing._base import ImageTransformer
from skdigits.preprocessing._digit_normalizer import (
    LARGEST_CUT_OUT,
    DigitNormalizer,
)

Taken: TypeAlias = Callable[[Any], Any]
"""From cut-outs in uint8 to what a model takes."""
Reader: TypeAlias = Callable[[Sequence[np.ndarray]], np.ndarray]
"""From cut-outs to probabilities (n, classes)."""

# MNIST's digits are 20 pixels long in images of 28.
DIGIT = 20 / 28
CURE = "pass make_pipeline(DigitNormalizer(), classifier).fit(X, y), say."


def reader(model: Any) -> Reader:
    """Return how a model reads cut-outs.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If it gives no probabilities.
    ValueError
        If it takes no images, or does not tell which numbers its pixels have.
    """
    _check_is_model(model, "model")
    name = type(model).__name__
    if not hasattr(model, "predict_proba"):
        raise TypeError(
            f"model={name} has no predict_proba, but cuts between digits are chosen by "
            "probabilities: pass a classifier that has it, such as ConvNetClassifier, "
            "or model=None."
        )

    taken = taken_by(model, "model")
    return lambda pictures: _probabilities(model, taken(_stack(pictures)), name)


def taken_by(model: Any, parameter: str) -> Taken:
    """Return what makes of cut-outs in uint8 what a model takes.

    ``parameter`` is what messages call the model.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If it is no fitted model.
    ValueError
        If it takes no images, or does not tell which numbers its pixels have.
    """
    _check_is_model(model, parameter)
    first, *_ = fitted_steps(model, parameter)
    if isinstance(first, DigitNormalizer):
        return as_fitted(first)

    subject = f"{parameter}={type(model).__name__}"
    normaliser = own_normaliser(model, subject)
    ink = _full_ink(model, subject)
    if ink == WHITE:
        return normaliser.transform
    return lambda pictures: normaliser.transform(pictures) * (ink / WHITE)


def _check_is_model(model: Any, parameter: str) -> None:
    """Raise an error for what is no fitted model."""
    if isinstance(model, type) or not hasattr(model, "fit"):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        raise TypeError(f"{parameter}={name} is no fitted classifier: {CURE}")
    for _ in fitted_steps(model, parameter):
        pass


def as_fitted(normaliser: DigitNormalizer) -> Taken:
    """Return what makes images in uint8 those of the dtype of a normaliser's fit.

    Digits behind it have values to 255 for uint8, and to 1 for others. A classifier of
    another library has to get those that it was fitted to.
    """
    if normaliser._fitted_to_bytes:
        return lambda pictures: pictures
    return lambda pictures: [picture / WHITE for picture in pictures]


def _full_ink(model: Any, subject: str) -> float:
    """Return the number of full ink in rows that a model takes; 255 stands for uint8.

    Raises
    ------
    ValueError
        If there are steps and classifiers that do not tell it.
    """
    leaves = [one for one in everything_in(model) if not members(one)]
    classifiers = [one for one in leaves if isinstance(one, TorchClassifier)]
    ours = [*classifiers, *[one for one in leaves if isinstance(one, ImageTransformer)]]
    # What a meta-estimator copies for its fit is not fitted itself.
    inks = {full_ink(one) for one in classifiers if hasattr(one, "classes_")}

    others = [type(one).__name__ for one in leaves if one not in ours]
    ink = inks.pop() if len(inks) == 1 else None
    if others or ink is None:
        told = others[0] if others else type(classifiers[0]).__name__
        raise ValueError(
            f"{subject} does not tell which number was full ink in the images of its "
            f"fit, as {told} does not: put a DigitNormalizer in front and fit both, by "
            f"make_pipeline(DigitNormalizer(), {type(model).__name__}(...)).fit(X, y)."
        )
    return ink


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


def own_normaliser(model: Any, subject: str) -> DigitNormalizer:
    """Return what makes the rows that a model without one takes."""
    n_features = getattr(model, "n_features_in_", 0)
    size = isqrt(n_features)
    if size < 2 or size**2 != n_features:
        raise ValueError(
            f"{subject} was fitted to {n_features} features, which are no square "
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
