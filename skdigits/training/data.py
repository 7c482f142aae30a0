"""Validation samples: those that the user passes, or part of the training samples."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from sklearn.utils import get_tags

from skdigits._arrays import Array, take_samples, to_numpy, to_tensor
from skdigits._input_checks import Samples, check_samples, warn_user
from skdigits.engine.batches import Data, as_floats

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier

SAMPLE = 2**19  # numbers of X that suffice to judge its scale
FEWEST = 10  # validation samples of which the median says something
# Ten digits or flowers lie up to 1.4 times as far, digits that were not centred 1.8
# times. They vary 0.6 times as much, but fractions beside standardised ones 0.3 times.
FARTHEST = 1.75
SMALLEST_SPREAD = 0.4
TRANSFORMED = (
    "If X went through steps of a Pipeline, X_val has to, too: enable metadata "
    "routing, call set_fit_request(X_val=True, y_val=True) of the model, and pass "
    "transform_input=['X_val'] to the Pipeline."
)


class ValidationSet(NamedTuple):
    """A validation set as passed to fit."""

    X: ArrayLike | None = None
    y: ArrayLike | None = None
    sample_weight: ArrayLike | None = None


def check_validation_set(
    model: "GradientClassifier", given: ValidationSet, samples: Samples
) -> Samples | None:
    """Check a validation set against the training samples; None if there is none.

    Raises
    ------
    ValueError
        If part of the validation set is missing, or not as it should be.
    """
    if given.X is None and given.y is None:
        if given.sample_weight is not None:
            raise ValueError("sample_weight_val was passed without X_val and y_val.")
        return None
    if given.X is None or given.y is None:
        missing = "X_val" if given.X is None else "y_val"
        found = "y_val" if given.X is None else "X_val"
        raise ValueError(
            f"{found} was passed without {missing}: a validation set needs both."
        )

    try:
        validation = check_samples(
            model,
            given.X,
            given.y,
            given.sample_weight,
            reset=False,
            classes=samples.classes,
            takes_labels=get_tags(model).classifier_tags.multi_label,
        )
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = f"The validation set (X_val, y_val): {error}"
        if "features, but" in text:
            text = f"{text} {TRANSFORMED}"
        raise kind(text) from error
    _check_alike(samples, validation)
    return validation


def _check_alike(samples: Samples, validation: Samples) -> None:
    """Check that training and validation samples are of one kind and on one scale."""
    if samples.multilabel != validation.multilabel:
        raise ValueError(
            "The validation set (X_val, y_val): y_val must have the form of y, one "
            "class per sample or a column for each label."
        )
    # Samples of some classes may well lie elsewhere than those of all.
    n_classes = [len(np.unique(one.codes)) for one in (samples, validation)]
    if len(validation.codes) < FEWEST or n_classes[0] != n_classes[1]:
        return

    distance, spread = _beside(samples.X, validation.X)
    if distance > FARTHEST or spread < SMALLEST_SPREAD:
        warn_user(
            "The validation set (X_val, y_val): X_val is on another scale than X. It "
            f"lies {distance:.2g} times as far from the means of X as X does, and "
            f"varies {spread:.2g} times as much. {TRANSFORMED}",
            UserWarning,
        )


def _beside(X: Array, X_val: Array) -> tuple[float, float]:
    """Return how far validation samples lie from the means of X, and how they vary.

    Both are in units of what X itself does, feature by feature. Rare large values,
    which scaled features may have, do not count for the typical distance of a sample,
    and only make the samples vary more.
    """
    X, X_val = (
        to_numpy(as_floats(to_tensor(some, torch.device("cpu")), torch.float64))
        for some in (_some(X), _some(X_val))
    )
    spread = X.std(0)
    varies = spread > 0
    if not varies.any():
        return 1.0, 1.0

    mean = X.mean(0)
    own, theirs = ((rows - mean)[:, varies] / spread[varies] for rows in (X, X_val))
    sizes = [np.median(np.square(rows).mean(1)) for rows in (own, theirs)]
    return math.sqrt(sizes[1] / sizes[0]), math.sqrt(theirs.var(0).mean())


def _some(X: Array) -> Array:
    """Return samples that suffice to judge a scale."""
    n_samples = max(FEWEST, SAMPLE // X.shape[1])
    some: Array = X[:: max(1, X.shape[0] // n_samples)]
    return some


def split(
    model: "GradientClassifier",
    data: Data,
    classes: np.ndarray,
    rngs: Sequence[np.random.RandomState],
) -> tuple[Data, Data]:
    """Split the samples of each replica into training and validation samples.

    Raises
    ------
    ValueError
        If a class has too few samples.
    """
    codes = to_numpy(data.codes)
    replicas = np.arange(len(data.X))[None]
    if data.samples is not None:
        replicas = to_numpy(data.samples)

    training = []
    validation = []
    for samples, rng in zip(replicas, rngs, strict=True):
        own = codes[samples]
        # MLPClassifier does not stratify labels either: it cannot be done in general.
        strata = classes[own] if codes.ndim == 1 else None
        learnt, held_out = _split_one(model, samples, strata, rng)
        training.append(learnt)
        validation.append(held_out)

    # Positions, not copies: both parts read the samples where they lie.
    device = data.X.device
    return (
        data._replace(samples=to_tensor(np.stack(training), device)),
        data._replace(samples=to_tensor(np.stack(validation), device)),
    )


def _split_one(
    model: "GradientClassifier",
    samples: np.ndarray,
    strata: np.ndarray | None,
    rng: np.random.RandomState,
) -> list[np.ndarray]:
    fraction = model.validation_fraction
    try:
        return list(
            train_test_split(
                samples, test_size=fraction, stratify=strata, random_state=rng
            )
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True sets validation_fraction={fraction} of the samples "
            f"aside, some of every class, which cannot be done. {error} Pass more "
            "samples of each class, or set early_stopping=False."
        ) from error


def held_out_samples(samples: Samples, validation: Data) -> Samples:
    """Return the samples that `split` has set aside for the first replica."""
    places = to_numpy(validation.samples)[0]
    weight = None if samples.weight is None else samples.weight[places]
    X = take_samples(samples.X, places)
    return Samples(X, samples.codes[places], weight, samples.classes)
