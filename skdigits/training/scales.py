"""Whether validation samples are on the scale of the samples that are learnt from."""

import math

import numpy as np
import torch

from skdigits._arrays import Array, to_numpy, to_tensor
from skdigits._pixels import WHITE
from skdigits.engine.batches import as_floats
from skdigits.engine.sparse import SparseRows

SAMPLE = 2**19  # numbers of X that suffice to judge its scale
FEWEST = 10  # validation samples of which the median says something
# Ten digits or flowers lie up to 1.4 times as far, digits that were not centred 1.8
# times. They vary 0.6 times as much, but fractions beside standardised ones 0.3 times.
FARTHEST = 1.75
SMALLEST_SPREAD = 0.4
ROUNDING = 1e-6  # relative to the numbers
GROUND = 0.25  # share of samples from which a smallest value is a ground, as of images
# Of ten samples that are expected on the ground, none is there once in 20,000 times.
EXPECTED = 10
MOVED = 0.05  # share of features; a RobustScaler moves 0.14 or more of digits
SCALED = 0.9  # share of features that have 1 as their largest value


def difference(X: Array, X_val: Array) -> str:
    """Return how the scale of validation samples differs; empty if it does not."""
    some = _some(X)
    others = _some(X_val)
    distance, spread = _beside(some, others)
    if distance > FARTHEST or spread < SMALLEST_SPREAD:
        return (
            f"It lies {distance:.2g} times as far from the means of X as X does, and "
            f"varies {spread:.2g} times as much."
        )

    n_moved, n_grounds = _moved_grounds(some, others)
    if n_moved > 1 and n_moved >= MOVED * n_grounds:
        return (
            f"In {n_moved} features, many samples of X have its smallest value, while "
            "none of X_val does, and many have another one."
        )
    return ""


def _beside(X: np.ndarray, X_val: np.ndarray) -> tuple[float, float]:
    """Return how far validation samples lie from the means of X, and how they vary.

    Both are in units of what X itself does, feature by feature. Rare large values,
    which scaled features may have, do not count for the typical distance of a sample,
    and only make the samples vary more.
    """
    mean = X.mean(0)
    spread = X.std(0)
    varies = spread > ROUNDING * np.abs(mean)
    if not varies.any():
        return 1.0, 1.0

    own, theirs = ((rows - mean)[:, varies] / spread[varies] for rows in (X, X_val))
    sizes = [np.median(np.square(rows).mean(1)) for rows in (own, theirs)]
    return math.sqrt(sizes[1] / sizes[0]), math.sqrt(theirs.var(0).mean())


def _moved_grounds(X: np.ndarray, X_val: np.ndarray) -> tuple[int, int]:
    """Return how many features have another ground in X_val, and how many have one.

    A ground is the smallest value of a feature if many samples have it, as that of
    images and of counts. Steps of a Pipeline move it, a RobustScaler that of features
    with another median. Other samples have the same one, whatever they show.
    """
    near = ROUNDING * X.std(0)
    ground = X.min(0)
    share = (X - ground <= near).mean(0)
    has_one = (near > 0) & (share >= GROUND) & (share * len(X_val) >= EXPECTED)

    elsewhere = (np.abs(X_val - ground) > near).all(0)
    own_share = (X_val - X_val.min(0) <= near).mean(0)
    moved = elsewhere & (own_share >= share / 2)
    return int((moved & has_one).sum()), int(has_one.sum())


def is_scaled_by_features(X: Array) -> bool:
    """Return whether each feature was brought to [0, 1] by itself, as by MinMaxScaler.

    Every feature then has 1 as its largest value, and some were not pixels / 255: times
    255, they are no whole numbers.
    """
    largest, smallest = _bounds(X)
    varies = largest > smallest
    reach = (np.abs(largest - 1) <= ROUNDING)[varies]
    if not reach.size or reach.mean() < SCALED:
        return False

    pixels = WHITE * _some(X)[:, varies]
    # Of fractions in float32, the rounding is less than a thousandth of a pixel.
    uneven = (np.abs(pixels - pixels.round()) > 1e-3).any(0)
    return bool(uneven.mean() >= MOVED)


def _bounds(X: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest and the smallest value of each feature."""
    samples = to_tensor(X, torch.device("cpu"))
    if isinstance(samples, SparseRows):
        _, columns, values = samples.entries()
        zeros = values.new_zeros(samples.n_features)
        found = [
            zeros.scatter_reduce(0, columns.long(), values, how)
            for how in ("amax", "amin")
        ]
    else:
        found = [samples.amax(0), samples.amin(0)]
    return to_numpy(found[0]), to_numpy(found[1])


def _some(X: Array) -> np.ndarray:
    """Return samples that suffice to judge a scale, as floats."""
    n_samples = max(FEWEST, SAMPLE // X.shape[1])
    some = X[:: max(1, X.shape[0] // n_samples)]
    return to_numpy(as_floats(to_tensor(some, torch.device("cpu")), torch.float64))
