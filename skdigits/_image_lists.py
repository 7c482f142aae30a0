"""Lists that make no rows: images of several sizes, digits of a page, files."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def as_rows(X: ArrayLike | None, model: str, name: str = "X") -> ArrayLike:
    """Return a list, or a 1-D array of objects, as an array of rows.

    Anything else is returned as it is. ``name`` is what messages call X, and ``model``
    what takes it.

    Raises
    ------
    ValueError
        If X is None, is empty, or has elements that make no rows together.
    """
    if X is None:
        raise ValueError(
            f"{name} is None, but {model} takes rows of numbers: pass an array of "
            "shape (n_samples, n_features)."
        )
    # NumPy holds images of several sizes as a 1-D array of objects.
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and X.size:
        X = list(X)
    if not isinstance(X, list | tuple):
        return X

    refuse_empty(X, name)
    try:
        array = np.asarray(X)
    except (TypeError, ValueError) as error:
        raise no_array(X, model, name, error) from None
    if array.ndim == 1 and array.dtype.kind in "US":
        raise ValueError(
            f"{name} is a {type(X).__name__} of strings, such as {X[0]!r}, but {model} "
            "takes rows of numbers: if they name files, pass [PIL.Image.open(file) for "
            f"file in {name}] to DigitNormalizer."
        )
    if array.ndim == 1:
        refuse_elements(X, name)
    return array


def refuse_empty(X: Sequence[Any], name: str = "X") -> None:
    """Raise an error for a list without elements."""
    if not len(X):
        raise ValueError(
            f"{name} is an empty {type(X).__name__}, without images, such as a blank "
            f"page gives: call this only if {name} has elements."
        )


def refuse_elements(X: Sequence[Any], name: str = "X") -> None:
    """Raise an error for a list with files, digits of a page or empty cells."""
    for number, element in enumerate(X):
        _refuse_element(element, f"{name}[{number}]", name)


def _refuse_element(element: Any, place: str, name: str) -> None:
    if isinstance(element, str | os.PathLike):
        raise ValueError(
            f"{place}={element!r} is the name of a file, not an image: pass "
            f"[PIL.Image.open(file) for file in {name}] to DigitNormalizer."
        )
    if element is None:
        raise ValueError(
            f"{place} is None, not an image, as the cut_out of an empty cell is: leave "
            "it out."
        )
    if is_found(element):
        raise ValueError(
            f"{place} is a {type(element).__name__}: pass the images of such digits, "
            f"[digit.cut_out for digit in {name}], to DigitNormalizer."
        )


def is_found(thing: Any) -> bool:
    """Return whether this is a digit of `skdigits.preprocessing.find_digits`."""
    # A DataFrame may have a column of this name.
    return hasattr(thing, "cut_out") and not hasattr(thing, "shape")


def no_array(
    X: Sequence[Any], model: str, name: str, error: TypeError | ValueError
) -> TypeError | ValueError:
    """Return the error about a list that makes no array, for what it holds.

    ``error`` is what NumPy says of it, and is returned if nothing better is known.

    Raises
    ------
    ValueError
        If an element stands for an image, but is none.
    """
    refuse_elements(X, name)
    shapes = [_shape(element) for element in X]
    other = next((one for one in range(len(X)) if shapes[one] != shapes[0]), 0)
    if other and all(len(shape) > 1 for shape in shapes):
        return ValueError(
            f"{name} is a list of images of different sizes, such as {shapes[0]} and "
            f"{shapes[other]}, but {model} takes images of one size: put a "
            "DigitNormalizer, which makes them alike, in front, and fit "
            f"make_pipeline(DigitNormalizer(), {model}(...))."
        )
    if other and all(len(shape) == 1 for shape in shapes):
        return ValueError(
            f"{name} has rows of different lengths: {name}[0] has {shapes[0][0]} "
            f"numbers, and {name}[{other}] has {shapes[other][0]}. Give all rows the "
            "same features."
        )
    return error


def _shape(element: Any) -> tuple[int, ...]:
    """Return the shape of an element, () if it has none."""
    try:
        return tuple(getattr(element, "shape", ())) or np.shape(element)
    except (TypeError, ValueError):
        return ()
