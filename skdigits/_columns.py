"""Names the columns of a table that hold no numbers, and how to encode them."""

from typing import Any, NoReturn

import numpy as np
from scipy.sparse import issparse

NO_NUMBER = ("could not convert", "float() argument must be", "The DType")  # NumPy's
NOT_NUMBERS = "columns that are not numbers"
MOST_NAMES = 8  # of columns in an error


def raise_naming_columns(
    error: TypeError | ValueError, X: Any, name: str = "X"
) -> NoReturn:
    """Raise an error that is being handled; about words, name their columns and a cure.

    X are the samples in which scikit-learn has found the error, called ``name``.
    """
    columns = _columns_of_no_numbers(X) if str(error).startswith(NO_NUMBER) else {}
    if not columns:
        raise error

    names = ", ".join(map(repr, list(columns)[:MOST_NAMES]))
    more = len(columns) - MOST_NAMES
    listed = f"{names} and {more} more" if more > 0 else names
    cure = "leave them out, or make numbers of them"
    words = [name for name, has_words in columns.items() if has_words]
    if words:
        cure = (
            "encode words before the model, and scale numbers: make_pipeline("
            "make_column_transformer((OneHotEncoder(handle_unknown='ignore'), "
            f"{words if len(words) <= MOST_NAMES else 'words'}), "
            "remainder=StandardScaler()), model)"
        )
    if 0 < len(words) < len(columns):
        cure += "; leave the others out, or make numbers of them first"
    kind = TypeError if isinstance(error, TypeError) else ValueError
    text = str(error).rstrip(".")
    if name != "X":
        # X itself had been encoded: the caller says how.
        raise kind(f"{text}. {name} has {NOT_NUMBERS}: {listed}.")
    raise kind(f"{text}. X has {NOT_NUMBERS}: {listed}; {cure}.")


def _columns_of_no_numbers(X: Any) -> dict[Any, bool]:
    """Return columns that cannot be read as numbers, and whether they have words.

    They are named, or counted from 0.
    """
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) != 2 or issparse(X):
        return {}

    names = getattr(X, "columns", range(shape[1]))
    table = getattr(X, "iloc", X)
    columns = {name: table[:, place] for place, name in enumerate(names)}
    return {
        name: any(isinstance(value, str) for value in column)
        for name, column in columns.items()
        if not _is_numbers(column)
    }


def _is_numbers(column: Any) -> bool:
    if getattr(getattr(column, "dtype", None), "kind", "") in ("M", "m"):
        return False  # dates and durations
    try:
        np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True
