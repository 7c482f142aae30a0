"""The samples that candidates are trained and scored on, fold by fold."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdigits._arrays import Array
from skdigits._gradient import GradientClassifier
from skdigits._input_checks import Samples, check_features, check_samples
from skdigits._sparse import n_numbers
from skdigits.model_selection._grouping import same_setting
from skdigits.model_selection._scoring import (
    Scoring,
    ScoringData,
    safe_indexing,
    scoring_data,
)
from skdigits.training.messages import Message, noted


class Split(NamedTuple):
    """Train and test samples of one fold, positions in X, and its number."""

    number: int
    train: np.ndarray
    test: np.ndarray


class Fold(NamedTuple):
    """One fold, ready for training.

    ``samples`` are the positions to train on, in the `Samples` of its `FoldData`.
    ``test`` is for scorers, ``checked`` are its samples for the model. ``prefix`` was
    fitted to the fold. ``messages`` are the warnings about its samples.
    """

    split: Split
    samples: np.ndarray
    test: ScoringData
    checked: Array
    prefix: Pipeline | None = None
    messages: tuple[Message, ...] = ()


class FoldData(NamedTuple):
    """Checked samples, and folds of equal size over them.

    ``template`` is the model that has checked the samples. There is one `Samples` for
    all folds, or one for each.
    """

    template: GradientClassifier
    samples: list[Samples]
    folds: list[Fold]

    def nbytes(self) -> int:
        """Return the most bytes that the samples can take."""
        return sum(8 * n_numbers(one.X) for one in self.samples)


def shared_folds(
    model: GradientClassifier,
    X: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike | None,
    splits: Sequence[Split],
    scoring: Scoring,
    heard: list[list[Message]],
) -> Iterator[FoldData]:
    """Yield folds over one X, checked once; folds that lack a class are left out.

    Lists of messages are put in ``heard`` when they begin to fill.
    """
    template = clone(model)
    of_all: list[Message] = []
    heard.append(of_all)
    with noted(of_all):
        samples = check_samples(
            template,
            X,
            y,
            weight,
            reset=True,
            class_weight=model.class_weight,
            takes_labels=True,
        )
    if samples.multilabel:
        return

    # A model of fewer classes has another shape, and is fitted by itself.
    folds = []
    n_classes = len(np.unique(samples.codes))
    for split in splits:
        places = split.train
        if samples.kept is not None:
            # Samples of weight zero were left out: the others have moved up.
            with_weight = places[np.isin(places, samples.kept)]
            places = np.searchsorted(samples.kept, with_weight)
        if len(np.unique(samples.codes[places])) == n_classes:
            test = scoring_data(scoring, X, y, split.test, samples.classes)
            of_test: list[Message] = []
            heard.append(of_test)
            with noted(of_test):
                checked = check_features(template, test.samples)
            told = tuple(dict.fromkeys(of_all + of_test))
            folds.append(Fold(split, places, test, checked, messages=told))

    # Replicas of one run must have the same number of samples.
    for size in dict.fromkeys(len(fold.samples) for fold in folds):
        alike = [fold for fold in folds if len(fold.samples) == size]
        yield FoldData(template, [samples], alike)


def separate_folds(
    prefix: Pipeline | None,
    model: GradientClassifier,
    X: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike | None,
    splits: Sequence[Split],
    scoring: Scoring,
    heard: list[list[Message]],
) -> Iterator[FoldData]:
    """Yield each fold by itself, with a prefix fitted to its train samples.

    Lists of messages are put in ``heard`` when they begin to fill.
    """
    for split in splits:
        messages: list[Message] = []
        heard.append(messages)
        with noted(messages):
            given = (prefix, model, X, y, weight, split, scoring)
            found = _separate_fold(*given)
        if found is None:
            return

        fold = found.folds[0]._replace(messages=tuple(messages))
        yield found._replace(folds=[fold])


def _separate_fold(
    prefix: Pipeline | None,
    model: GradientClassifier,
    X: ArrayLike,
    y: ArrayLike,
    weight: ArrayLike | None,
    split: Split,
    scoring: Scoring,
) -> FoldData | None:
    """Return a fold by itself; None if samples have several labels."""
    template = clone(model)
    y_train = safe_indexing(y, split.train)
    own_weight = None if weight is None else safe_indexing(weight, split.train)
    X_train = safe_indexing(X, split.train)
    X_test = safe_indexing(X, split.test)
    fitted = None
    if prefix is not None:
        fitted = clone(prefix)
        X_train = fitted.fit_transform(X_train, y_train)
        X_test = fitted.transform(X_test)

    samples = check_samples(
        template,
        X_train,
        y_train,
        own_weight,
        reset=True,
        class_weight=model.class_weight,
        takes_labels=True,
    )
    if samples.multilabel:
        return None

    test = scoring_data(scoring, X, y, split.test, samples.classes, X_test)
    places = np.arange(len(samples.codes))
    checked = check_features(template, X_test)
    fold = Fold(split, places, test, checked, fitted)
    return FoldData(template, [samples], [fold])


def merged(parts: Iterator[FoldData], budget: float) -> Iterator[FoldData]:
    """Merge consecutive fold data of one form, up to ``budget`` bytes."""
    waiting: FoldData | None = None
    for part in parts:
        if waiting is None:
            waiting = part
        elif _fit_together(waiting, part, budget):
            offset = sum(len(samples.codes) for samples in waiting.samples)
            moved = [
                fold._replace(samples=fold.samples + offset) for fold in part.folds
            ]
            samples = [*waiting.samples, *part.samples]
            waiting = FoldData(waiting.template, samples, [*waiting.folds, *moved])
        else:
            yield waiting
            waiting = part

    if waiting is not None:
        yield waiting


def _fit_together(one: FoldData, other: FoldData, budget: float) -> bool:
    """Return whether the folds may share a run, and fit into memory together."""
    a = one.samples[0]
    b = other.samples[0]
    names = [getattr(data.template, "feature_names_in_", None) for data in (one, other)]
    return (
        a.X.shape[1] == b.X.shape[1]
        and issparse(a.X) == issparse(b.X)
        and a.X.dtype == b.X.dtype
        and len(one.folds[0].samples) == len(other.folds[0].samples)
        and np.array_equal(a.classes, b.classes)
        and same_setting(*names)
        and one.nbytes() + other.nbytes() <= budget
    )
