"""The rows that candidates are trained and scored on, fold by fold."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skdigits._parameters import same_setting
from skdigits._validation import Rows, check_more, check_rows
from skdigits.model_selection._private import safe_indexing
from skdigits.model_selection._scoring import Questions, Scoring, questions


class Split(NamedTuple):
    """Train and test rows of one fold, positions in X, and its number."""

    number: int
    train: np.ndarray
    test: np.ndarray


class Fold(NamedTuple):
    """One fold, ready to be learnt from.

    ``rows`` are the positions to train on in the `Rows` of its `Material`; ``test`` is what
    its models are scored on, and ``checked`` these rows for the model; ``prefix`` has been
    fitted to the fold.
    """

    split: Split
    rows: np.ndarray
    test: Questions
    checked: Any
    prefix: Pipeline | None = None


class Material(NamedTuple):
    """Checked rows, folds of equal size over them, and the estimator that learnt their form.

    Where every fold has rows of its own, there are as many `Rows` as folds.
    """

    lead: Any
    rows: list[Rows]
    folds: list[Fold]

    def nbytes(self) -> int:
        """Of the rows, all told, at most."""
        return sum(8 * rows.X.shape[0] * rows.X.shape[1] for rows in self.rows)


def shared_material(
    model: Any, X: Any, y: Any, weight: Any, splits: Sequence[Split], scoring: Scoring
) -> Iterator[Material]:
    """Folds over one X, which is checked once; folds that lack a class are left out."""
    lead = clone(model)
    rows = check_rows(lead, X, y, weight, reset=True, class_weight=model.class_weight)
    folds, n_classes = [], len(np.unique(rows.codes))  # some may have no weight
    for split in [] if rows.multilabel else splits:
        places = _places(rows, split.train)
        if len(np.unique(rows.codes[places])) == n_classes:
            test = questions(scoring, X, y, split.test)
            folds.append(Fold(split, places, test, check_more(lead, test.rows)))
    for size in dict.fromkeys(len(fold.rows) for fold in folds):
        yield Material(lead, [rows], [fold for fold in folds if len(fold.rows) == size])


def separate_material(
    prefix: Pipeline | None,
    model: Any,
    X: Any,
    y: Any,
    weight: Any,
    splits: Sequence[Split],
    scoring: Scoring,
) -> Iterator[Material]:
    """Each fold by itself, with the steps before the model fitted to its train rows."""
    for split in splits:
        lead, fitted = clone(model), None if prefix is None else clone(prefix)
        y_train = safe_indexing(y, split.train)
        part = None if weight is None else safe_indexing(weight, split.train)
        seen, tested = (
            safe_indexing(X, places) for places in (split.train, split.test)
        )
        if fitted is not None:
            seen, tested = fitted.fit_transform(seen, y_train), fitted.transform(tested)
        rows = check_rows(
            lead, seen, y_train, part, reset=True, class_weight=model.class_weight
        )
        if rows.multilabel:
            return
        test = questions(scoring, X, y, split.test, tested)
        places = np.arange(len(rows.codes))
        fold = Fold(split, places, test, check_more(lead, tested), fitted)
        yield Material(lead, [rows], [fold])


def joined(materials: Iterator[Material], budget: float) -> Iterator[Material]:
    """The same, those that are alike in form and small enough made one."""
    waiting: Material | None = None
    for material in materials:
        if waiting is not None and _fit_together(waiting, material, budget):
            offset = sum(len(rows.codes) for rows in waiting.rows)
            moved = [fold._replace(rows=fold.rows + offset) for fold in material.folds]
            rows = [*waiting.rows, *material.rows]
            waiting = Material(waiting.lead, rows, [*waiting.folds, *moved])
        else:
            if waiting is not None:
                yield waiting
            waiting = material
    if waiting is not None:
        yield waiting


def _fit_together(one: Material, other: Material, budget: float) -> bool:
    a, b = one.rows[0], other.rows[0]
    same_form = a.X.shape[1] == b.X.shape[1] and a.X.dtype == b.X.dtype
    same_size = len(one.folds[0].rows) == len(other.folds[0].rows)
    same_classes = np.array_equal(a.classes, b.classes)
    names = (
        getattr(material.lead, "feature_names_in_", None) for material in (one, other)
    )
    small = one.nbytes() + other.nbytes() <= budget
    same_names = same_setting(*names)
    return same_form and same_size and same_classes and same_names and small


def _places(rows: Rows, positions: np.ndarray) -> np.ndarray:
    """Where given rows are among those that were kept."""
    if rows.kept is None:
        return positions
    return np.searchsorted(rows.kept, positions[np.isin(positions, rows.kept)])
