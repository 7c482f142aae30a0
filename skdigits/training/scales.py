"""Whether validation samples are on the scale of the samples that are learnt from."""

import math

import numpy as np
import torch
from sklearn.utils.random import sample_without_replacement

from skdigits._arrays import Array, take_features, take_samples, to_numpy, to_tensor
from skdigits._pixels import WHITE
from skdigits.engine.batches import as_floats
from skdigits.engine.sparse import SparseRows

SAMPLE = 2**19  # numbers of X that suffice to judge its scale
FEW = 100  # samples that are judged where they have many features, of which a part is
FEWEST = 30  # samples of X that tell its scale
FEWEST_VAL = 10  # validation samples of which the median says something
SPLITS = 40  # random ones, which show what chance does
MARGIN = 3  # beyond chance, of logarithms
# Ten digits or flowers lie up to 1.4 times as far, digits that were not centred 1.8
# times. They vary 0.6 times as much, but fractions beside standardised ones 0.3 times.
FARTHEST = 1.75
SMALLEST_SPREAD = 0.4
LARGEST = 1e100  # of a number, the square of which is finite
ROUNDING = 1e-6  # relative to the numbers
GROUND = 0.25  # share of samples from which a smallest value is a ground, as of images
# Of ten samples that are expected on the ground, none is there once in 20,000 times.
EXPECTED = 10
MOVED = 0.05  # share of features; a RobustScaler moves 0.14 or more of digits
SCALED = 0.9  # share of features that have 1 as their largest value


@np.errstate(all="ignore")
def difference(X: Array, X_val: Array) -> str:
    """Return how the scale of validation samples differs; empty if it does not.

    Few samples tell no scale: then, none differs.
    """
    if X.shape[0] < FEWEST or X_val.shape[0] < FEWEST_VAL:
        return ""

    some = _some(X)
    others = _some(X_val)
    distance, spread = _beside(some, others)
    if _is_beyond_chance(distance, spread, some, len(others)):
        return (
            f"It lies at least {distance:.2g} times as far from the means of X as X "
            f"does, and varies {spread:.2g} times as much."
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

    Both are in units of what X itself does, feature by feature. Three quarters of the
    samples lie farther. Rare large values, which scaled features may have, count for
    no distance, and for how samples vary not by their squares. Where X has no typical
    distance, both are 1.
    """
    mean = X.mean(0)
    spread = X.std(0)
    varies = (spread > ROUNDING * np.abs(mean)) & np.isfinite(spread)
    if not varies.any():
        return 1.0, 1.0

    own, theirs = (
        ((rows[:, varies] - mean[varies]) / spread[varies]).clip(-LARGEST, LARGEST)
        for rows in (X, X_val)
    )
    typical = np.median(np.square(own).mean(1))
    near = np.quantile(np.square(theirs).mean(1), 0.25)
    if not typical > 0:
        return 1.0, 1.0
    deviations = [np.abs(rows - rows.mean(0)).mean(0) for rows in (own, theirs)]
    return math.sqrt(near / typical), float((deviations[1] / deviations[0]).mean())


def _is_beyond_chance(
    distance: float, spread: float, X: np.ndarray, n_val: int
) -> bool:
    """Return whether samples lie so far from X, or vary so little, by no chance.

    Parts of X lie far from the rest, too, if its samples or features are few, or rare
    samples are large. A scale is another one if its logarithm differs `MARGIN` times as
    much as that of any of some random parts.
    """
    far = distance > FARTHEST
    narrow = ROUNDING < spread < SMALLEST_SPREAD  # constant ones tell nothing
    rng = np.random.RandomState(0)
    n_part = min(n_val, len(X) // 2)
    for _ in range(SPLITS):
        if not (far or narrow):
            return False
        order = rng.permutation(len(X))
        found = _beside(X[order[n_part:]], X[order[:n_part]])
        far = far and distance > found[0] ** MARGIN
        narrow = narrow and spread < found[1] ** MARGIN
    return far or narrow


def _moved_grounds(X: np.ndarray, X_val: np.ndarray) -> tuple[int, int]:
    """Return how many features have another ground in X_val, and how many have one.

    A ground is the smallest value of a feature if many samples have it, as that of
    images and of counts. Steps of a Pipeline move it, a RobustScaler that of features
    with another median. Other samples have the same one, whatever they show.
    """
    near = ROUNDING * X.std(0)
    ground = X.min(0)
    share = (X - ground <= near).mean(0)
    expected = share * len(X_val)
    has_one = (
        (near > 0) & np.isfinite(near) & (share >= GROUND) & (expected >= EXPECTED)
    )

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
    """Return samples that suffice to judge a scale, as floats.

    Where samples have so many features that few would do, part of the features are
    judged, the same ones of all samples.
    """
    n_samples, n_features = X.shape
    some = take_samples(X, _positions(n_samples, max(FEW, SAMPLE // n_features)))
    if n_features > SAMPLE // FEW:
        some = take_features(some, _positions(n_features, SAMPLE // FEW))
    return to_numpy(as_floats(to_tensor(some, torch.device("cpu")), torch.float64))


def _positions(n: int, most: int) -> np.ndarray:
    """Return at most so many random positions; those at a stride may be of a kind."""
    if n <= most:
        return np.arange(n)
    rng = np.random.RandomState(0)  # the user's is left as it is
    return np.sort(sample_without_replacement(n, most, random_state=rng))
