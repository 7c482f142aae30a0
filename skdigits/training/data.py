"""Validation samples: those that the user passes, or part of the training samples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import train_test_split
from sklearn.utils import get_tags

from skdigits._arrays import take_samples, to_numpy, to_tensor
from skdigits._columns import NOT_NUMBERS
from skdigits._input_checks import Samples, check_samples, warn_user
from skdigits.engine.batches import Data
from skdigits.training.scales import difference, is_scaled_by_features

if TYPE_CHECKING:
    from skdigits._gradient import GradientClassifier


class ValidationSet(NamedTuple):
    """A validation set as passed to fit."""

    X: ArrayLike | None = None
    y: ArrayLike | None = None
    sample_weight: ArrayLike | None = None


def check_validation_set(
    model: "GradientClassifier",
    given: ValidationSet,
    samples: Samples,
    *,
    compares_scales: bool = True,
) -> Samples | None:
    """Check a validation set against the training samples; None if there is none.

    It ``compares_scales`` where the samples are those of a fit, or the first ones.

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

    doubts: list[str] = []
    try:
        validation = check_samples(
            model,
            given.X,
            given.y,
            given.sample_weight,
            reset=False,
            classes=samples.classes,
            takes_labels=get_tags(model).classifier_tags.multi_label,
            name="X_val",
            doubts=doubts,
        )
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = f"The validation set (X_val, y_val): {error}"
        if "features, but" in text or NOT_NUMBERS in text:
            text = f"{text} {_transformed(given)}"
        raise kind(text) from error

    if samples.multilabel != validation.multilabel:
        raise ValueError(
            "The validation set (X_val, y_val): y_val must have the form of y, one "
            "class per sample or a column for each label."
        )
    found = _difference(samples, validation) if compares_scales else ""
    if found or doubts:
        texts = ["The validation set (X_val, y_val):", found, *doubts]
        warn_user(" ".join([*filter(None, texts), _transformed(given)]), UserWarning)
    return validation


def _transformed(given: ValidationSet) -> str:
    """Return how a validation set goes through the steps of a Pipeline."""
    names = ["X_val", "y_val"]
    if given.sample_weight is not None:
        names.append("sample_weight_val")
    requests = ", ".join(f"{name}=True" for name in names)
    arguments = ", ".join(f"{name}={name}" for name in names)
    return (
        "If X went through steps of a Pipeline, X_val has to, too: call "
        "sklearn.set_config(enable_metadata_routing=True) and "
        f"model.set_fit_request({requests}), pass transform_input=['X_val'] to the "
        f"Pipeline, and call pipeline.fit(X, y, {arguments})."
    )


def _difference(samples: Samples, validation: Samples) -> str:
    """Return how the scale of validation samples differs; empty if it does not."""
    text = ""
    # Samples of some classes may well lie elsewhere than those of all.
    n_classes = [len(np.unique(one.codes)) for one in (samples, validation)]
    if n_classes[0] == n_classes[1]:
        text = difference(samples.X, validation.X)

    pixels = [str(one.X.dtype).endswith("uint8") for one in (samples, validation)]
    if not text and pixels == [False, True] and is_scaled_by_features(samples.X):
        text = "It is read as X_val / 255, but X was scaled feature by feature."
    return f"X_val is on another scale than X. {text}" if text else ""


def split(
    model: "GradientClassifier",
    data: Data,
    classes: np.ndarray,
    rngs: Sequence[np.random.RandomState],
) -> tuple[Data, Data]:
    """Split the samples of each replica into training and validation samples.

    Both stay in the order in which they lie if they are shuffled by blocks.

    Raises
    ------
    ValueError
        If a class has too few samples.
    """
    codes = to_numpy(data.codes)
    replicas = np.arange(len(data.codes))[None]
    if data.samples is not None:
        replicas = to_numpy(data.samples)

    shuffle = model.shuffle if data.reader is None else data.reader.shuffle
    training = []
    validation = []
    for samples, rng in zip(replicas, rngs, strict=True):
        own = codes[samples]
        # MLPClassifier does not stratify labels either: it cannot be done in general.
        strata = classes[own] if codes.ndim == 1 else None
        places = _split_one(model, np.arange(len(samples)), strata, rng)
        if shuffle == "blocks":
            places = [np.sort(one) for one in places]
        training.append(samples[places[0]])
        validation.append(samples[places[1]])

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


def held_out_samples(samples: Samples, validation: Data | None) -> Samples | None:
    """Return the samples that `split` has set aside for the first replica, if any.

    None if this process has a shard of them only.
    """
    if validation is None or validation.first is not None:
        return None
    places = to_numpy(validation.samples)[0]
    weight = None if samples.weight is None else samples.weight[places]
    X = take_samples(samples.X, places)
    return Samples(X, samples.codes[places], weight, samples.classes)
