"""Parameters of estimators: what each may be, and whether two are the same."""

import math
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skdigits.engine.losses import LOSSES
from skdigits.engine.networks import ACTIVATIONS, WEIGHT_INITS
from skdigits.engine.optimizers import N_MOMENTS
from skdigits.engine.schedules import SCHEDULES
from skdigits.engine.templates import METRICS


class Number(Interval):  # type: ignore[misc]
    """An interval of numbers that a float can hold; booleans and fractions are none."""

    def is_satisfied_by(self, val: Any) -> bool:
        if isinstance(val, bool) or not isinstance(
            val, int | float | np.integer | np.floating
        ):
            return False
        size: Any = abs(val)
        return bool(size <= sys.float_info.max and super().is_satisfied_by(val))


EPSILON = sys.float_info.epsilon
POSITIVE = Number(Real, 0, None, closed="neither")
NOT_NEGATIVE = Number(Real, 0, None, closed="left")
FRACTION = Number(Real, 0, 1, closed="left")
COUNT = Number(Integral, 1, None, closed="left")
DEVICE = {"device": [str], "random_state": ["random_state"]}

TRAINING = {
    **DEVICE,
    "loss": [StrOptions(set(LOSSES))],
    "solver": [StrOptions(set(N_MOMENTS))],
    "alpha": [NOT_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), COUNT],
    "learning_rate": [StrOptions(set(SCHEDULES))],
    "learning_rate_init": [POSITIVE],
    "power_t": [NOT_NEGATIVE],
    "max_iter": [COUNT],
    "shuffle": ["boolean"],
    "tol": [NOT_NEGATIVE, None],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Number(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "scoring": [str, callable, None],
    "validation_fraction": [Number(Real, 0, 1, closed="neither")],
    "beta_1": [FRACTION],
    "beta_2": [FRACTION],
    "epsilon": [POSITIVE],
    "weight_decay": [NOT_NEGATIVE],
    "n_iter_no_change": [COUNT, Options(Real, {np.inf})],
    "max_fun": [COUNT],
    "label_smoothing": [FRACTION],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "weight_init": [StrOptions(set(WEIGHT_INITS))],
    "augment": [StrOptions({"shift", "affine", "elastic"}), callable, None],
    "image_shape": ["array-like", None],
}
"""Constraints on the parameters that all estimators trained by gradients share."""

HIDDEN = {
    "hidden_layer_sizes": ["array-like", COUNT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "weight_init": [StrOptions(set(WEIGHT_INITS) - {"zeros"})],
    "dropout": [FRACTION],
}

CONVOLUTIONS = {
    "channels": ["array-like", COUNT],
    "activation": HIDDEN["activation"],
    "weight_init": HIDDEN["weight_init"],
    "dropout": HIDDEN["dropout"],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
}

TEMPLATES = {
    **DEVICE,
    "metric": [StrOptions(set(METRICS))],
    "n_templates": [COUNT],
    "temperature": [StrOptions({"auto"}), POSITIVE],
}

SEARCH = {
    "refit_epochs": [StrOptions({"best"}), None],
    "working_memory": [POSITIVE, None],
}
"""Those of the parameters that searches have beside scikit-learn's."""


def check_parameters(estimator: Any) -> None:
    """Check all parameters against the estimator's constraints, as scikit-learn does.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        A ValueError that names the parameter, what it may be and what it is.
    """
    estimator._validate_params()


def layer_sizes(name: str, given: Any) -> tuple[int, ...]:
    """Size of each layer, from one number or any sequence of them.

    Raises
    ------
    ValueError
        If one is not a positive integer.
    """
    sizes: Any = [given]
    if not isinstance(given, Integral):
        sizes = np.atleast_1d(np.asarray(given, dtype=object))
    if not all(COUNT.is_satisfied_by(size) for size in sizes):
        raise ValueError(
            f"{name} must be > 0, got {given!r}: give a whole number for each layer, such as "
            "(100,)."
        )
    return tuple(int(size) for size in sizes)


def shape_of_images(
    image_shape: ArrayLike | None, n_features: int, *, grey: bool = False
) -> tuple[int, int, int]:
    """Return ``(height, width, channels)`` of the images in rows of ``n_features``.

    None is a square where there is one, else a single row of pixels. ``grey`` refuses a
    shape with channels.

    Raises
    ------
    ValueError
        If ``image_shape`` is no shape, or has another number of pixels.
    """
    if image_shape is None:
        side = math.isqrt(n_features)
        return (side, side, 1) if side * side == n_features else (1, n_features, 1)

    shape = given_shape(image_shape, grey=grey)
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} is that of {math.prod(shape)} features, but "
            f"X has {n_features}: pass the shape of the images in X."
        )
    return shape


def given_shape(image_shape: ArrayLike, *, grey: bool = False) -> tuple[int, int, int]:
    """Return ``image_shape`` as ``(height, width, channels)``, without regard to X.

    Raises
    ------
    ValueError
        If ``image_shape`` is no shape, has the channels first, or has any if ``grey``.
    """
    sizes = np.atleast_1d(np.asarray(image_shape, dtype=object))
    layouts = "(height, width)"
    if not grey:
        layouts += " or (height, width, channels)"
    lengths = [(2,)] if grey else [(2,), (3,)]
    if sizes.shape not in lengths or not all(map(COUNT.is_satisfied_by, sizes)):
        raise ValueError(
            f"image_shape must be {layouts}, whole numbers of 1 or more, "
            f"got {image_shape!r}."
        )

    height, width, *channels = map(int, sizes)
    n_channels = channels[0] if channels else 1
    # Channels come last; torch users tend to pass (3, 28, 28).
    if height in (1, 3) and width > 4 and n_channels > 4:
        raise ValueError(
            f"image_shape={image_shape!r} has the channels first: pass (height, width, "
            "channels), and rows made of images (n, height, width, channels)."
        )
    return height, width, n_channels


def same_setting(one: Any, other: Any) -> bool:
    """Whether two values of a parameter mean the same.

    Estimators do if their parameters do and they have nothing else, such as what they were
    fitted to; generators if they are in the same state. What cannot be compared is taken to
    differ.
    """
    if one is other:
        return True
    if isinstance(one, BaseEstimator) and type(one) is type(other):
        ours, theirs = one.get_params(deep=False), other.get_params(deep=False)
        plain = type(one).__sklearn_clone__ is BaseEstimator.__sklearn_clone__
        return (
            plain
            and vars(one).keys() | vars(other).keys() <= ours.keys()
            and all(same_setting(ours[name], theirs[name]) for name in ours)
        )
    if isinstance(one, np.random.RandomState) and isinstance(
        other, np.random.RandomState
    ):
        states = zip(one.get_state(), other.get_state(), strict=True)
        return all(np.array_equal(a, b) for a, b in states)
    try:
        return bool(np.array_equal(one, other))
    except Exception:
        return False
