"""Validation samples: those that the user passes, or part of the training samples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from sklearn.utils import get_tags

from skdigits._arrays import is_pixels, take_samples, to_numpy, to_tensor
from skdigits._input_checks import Samples, check_samples
from skdigits.engine.batches import Data

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier


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
        raise kind(f"The validation set (X_val, y_val): {error}") from error
    _check_alike(samples, validation)
    return validation


def _check_alike(samples: Samples, validation: Samples) -> None:
    """Check that training and validation samples are of one kind."""
    if is_pixels(samples.X) != is_pixels(validation.X):
        raise ValueError(
            "The validation set (X_val, y_val): of X and X_val, one is uint8, pixels "
            "of 0 to 255 that are read as 0 to 1, and the other is not. Pass both in "
            "one dtype."
        )
    if samples.multilabel != validation.multilabel:
        raise ValueError(
            "The validation set (X_val, y_val): y_val must have the form of y, one "
            "class per sample or a column for each label."
        )


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
