"""Rows to measure by: those that the user gives, or some of the others set aside."""

import math
from collections.abc import Callable, Sequence
from inspect import signature
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from torch import Tensor

from skdigits._arrays import from_numpy, take_rows, to_numpy, to_tensor
from skdigits._validation import Rows, check_rows
from skdigits.engine.types import Data, Params, Score


class Given(NamedTuple):
    """A validation set as passed to fit."""

    X: Any = None
    y: Any = None
    sample_weight: Any = None


def check_given(estimator: Any, given: Given, rows: Rows) -> Rows | None:
    """Check a validation set against the rows to learn from; None where there is none.

    Raises
    ------
    ValueError
        If part of it is missing, or anything is amiss with it.
    """
    if given.X is None and given.y is None:
        if given.sample_weight is not None:
            raise ValueError("sample_weight_val was passed without X_val and y_val.")
        return None
    if given.X is None or given.y is None:
        missing, there = ("X_val", "y_val") if given.X is None else ("y_val", "X_val")
        raise ValueError(
            f"{there} was passed without {missing}: a validation set is made of both."
        )
    try:
        found = check_rows(estimator, *given, reset=False, classes=rows.classes)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The validation set (X_val, y_val): {error}") from error
    pixels = [str(each.X.dtype).endswith("uint8") for each in (rows, found)]
    if pixels[0] != pixels[1]:
        raise ValueError(
            "The validation set (X_val, y_val): of X and X_val, one is uint8, pixels of 0 to "
            "255 that are read as 0 to 1, and the other is not. Pass both in one dtype."
        )
    if found.multilabel != rows.multilabel:
        raise ValueError(
            "The validation set (X_val, y_val): y_val must be of the form of y, one class "
            "per row or a column for each label."
        )
    return found


def split(
    estimator: Any,
    data: Data,
    classes: np.ndarray,
    rngs: Sequence[np.random.RandomState],
) -> tuple[Data, Data | None]:
    """Rows to train on and, with early stopping, rows of each stream to validate on."""
    if not estimator.early_stopping or estimator.solver == "lbfgs":
        return data, None
    codes, everything = to_numpy(data.codes), np.arange(len(data.X))[None]
    streams = everything if data.rows is None else to_numpy(data.rows)
    parts = [
        _split(
            estimator,
            rows,
            codes[rows] if codes.ndim == 2 else classes[codes[rows]],
            rng,
        )
        for rows, rng in zip(streams, rngs, strict=True)
    ]
    chosen = [
        to_tensor(np.stack(part), data.X.device) for part in zip(*parts, strict=True)
    ]
    return data._replace(rows=chosen[0]), data._replace(rows=chosen[1])


def _split(
    estimator: Any, rows: np.ndarray, y: np.ndarray, rng: np.random.RandomState
) -> list[np.ndarray]:
    """The same part of each class; of rows with labels, as of MLPClassifier's, just any."""
    fraction = estimator.validation_fraction
    strata = y if y.ndim == 1 else None
    try:
        return list(
            train_test_split(
                rows, test_size=fraction, stratify=strata, random_state=rng
            )
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping=True sets validation_fraction={fraction} of "
            f"the rows aside, some of every class, which cannot be done. {error} Give more "
            "rows of each class, or set early_stopping=False."
        ) from error


def set_aside(estimator: Any, rows: Rows, validation: Data | None) -> Rows | None:
    """The rows that `split` has set aside of these, as arrays, if a scorer is to see them."""
    if validation is None or estimator.scoring in (None, "loss"):
        return None
    places = to_numpy(validation.rows)[0]
    weight = None if rows.weight is None else rows.weight[places]
    return Rows(take_rows(rows.X, places), rows.codes[places], weight, rows.classes)


def score_by(
    estimator: Any, held_out: Rows | None, as_fitted: Callable[[Params], Any]
) -> Score | None:
    """What ``scoring`` gives on these rows; None where that is the accuracy."""
    scoring = estimator.scoring
    if scoring is None or scoring == "loss":
        return None
    scorer = get_scorer(scoring)
    if held_out is None:
        return None
    X, y = held_out.X, from_numpy(held_out.y, held_out.X)
    weight = {}
    if held_out.weight is not None and _takes_weights(scorer):
        weight = {"sample_weight": from_numpy(held_out.weight, X)}

    def score(params: Params, finite: Tensor) -> Tensor:
        models = zip(_each(params), finite.tolist(), strict=True)
        # Scorers are users' code, which may want gradients of its own.
        with torch.inference_mode(False):
            scores = [
                _ask(scorer, scoring, _nameless(as_fitted(one)), X, y, weight)
                if sound
                else math.nan
                for one, sound in models
            ]
        return torch.tensor(scores, dtype=torch.float64, device="cpu")

    return score


def _takes_weights(scorer: Any) -> bool:
    function = getattr(scorer, "_score_func", scorer)  # of scorers that have one
    return "sample_weight" in signature(function).parameters


def _ask(scorer: Any, scoring: Any, model: Any, X: Any, y: Any, weight: Any) -> float:
    try:
        score = _number(scorer(model, X, y, **weight))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        text = f"scoring={scoring!r} failed on the validation rows: {error}"
        raise kind(text) from error
    if not math.isfinite(score):
        raise ValueError(
            f"scoring={scoring!r} gave {score} on the validation rows, by which no epoch can "
            "be told to be the best: pass rows of every class as X_val, or choose another."
        )
    return score


def _nameless(model: Any) -> Any:
    """A model that does not miss the names of features in rows that have been checked."""
    vars(model).pop("feature_names_in_", None)
    return model


def _number(score: Any) -> float:
    """What a scorer returned, as scikit-learn's searches take it."""
    if getattr(score, "size", 1) == 1 and hasattr(score, "item"):
        score = score.item()
    if not isinstance(score, Real):
        raise ValueError(
            f"scoring must return a number, got {score!r} of {type(score)}: have the callable "
            "return a float, the higher, the better."
        )
    return float(score)


def _each(params: Params) -> list[Params]:
    return [tuple(p[k : k + 1] for p in params) for k in range(len(params[0]))]
