"""The candidates of a search as a table, with a distinct text for each setting."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from skdigits._input_checks import POSITIVE
from skdigits.model_selection._grouping import same_setting

# Significant digits of numbers in labels: the first count that tells all apart.
DIGITS = (3, 6, 17)

Setting = dict[str, object]


def candidates(results: Mapping[str, Any], parameter: str, metric: str) -> pd.DataFrame:
    """Return a table of the candidates that set a parameter.

    If a candidate was evaluated more than once, the table has its last result.

    Raises
    ------
    ValueError
        If a value of the parameter is not a positive number, but the model was fitted.
    """
    params = results["params"]
    means = results[f"mean_test_{metric}"]
    by_epoch = results.get(f"mean_test_{metric}_by_epoch", [np.empty(0)] * len(params))
    kept = [
        place
        for place, each in enumerate(params)
        if parameter in each and _is_rate(parameter, each[parameter], means[place])
    ]

    table = pd.DataFrame(
        {
            "learning_rate": [float(params[place][parameter]) for place in kept],
            "setting": _setting_texts([params[place] for place in kept], parameter),
            "mean": [means[place] for place in kept],
            "std": [results[f"std_test_{metric}"][place] for place in kept],
            "by_epoch": [by_epoch[place] for place in kept],
        }
    )
    # Columns of an empty table would else be of objects.
    table = table.astype({"learning_rate": float, "mean": float, "std": float})
    return table.drop_duplicates(
        ["learning_rate", "setting"], keep="last", ignore_index=True
    )


def _is_rate(parameter: str, value: object, mean: float) -> bool:
    """Return whether a value has a place on a logarithmic axis."""
    if POSITIVE.is_satisfied_by(value):
        return True
    # The model has refused the value, too, so that there is no score to draw.
    if np.isnan(mean):
        return False

    raise ValueError(
        f"parameter={parameter!r} was searched over {value!r}, but only positive "
        "numbers have a place on a logarithmic axis: pass another parameter, or leave "
        "that value out of the search."
    )


def _setting_texts(params: Sequence[Setting], parameter: str) -> list[str]:
    """Return the other parameters of each candidate as text, distinct by setting."""
    settings = []
    for each in params:
        settings.append({name: each[name] for name in each if name != parameter})
    distinct, numbers = _distinct(settings)

    names = [parameter]
    for setting in distinct:
        names += setting
    short_names = _short_names(names)
    digits = {}
    for name in short_names:
        digits[name] = _digits([each[name] for each in distinct if name in each])

    labels = []
    for setting in distinct:
        parts = [
            f"{short_names[name]}={_text(value, digits[name])}"
            for name, value in setting.items()
        ]
        labels.append(", ".join(parts))
    labels = _numbered(labels)
    return [labels[number] for number in numbers]


def _distinct(settings: Sequence[Setting]) -> tuple[list[Setting], list[int]]:
    """Return the distinct settings, and the position of each setting among them."""
    by_key: dict[tuple[tuple[str, object], ...], list[int]] = {}
    distinct: list[Setting] = []
    numbers = []

    for setting in settings:
        key = tuple((name, _key(value)) for name, value in sorted(setting.items()))
        similar = by_key.setdefault(key, [])
        equal = (number for number in similar if _same(distinct[number], setting))
        number = next(equal, None)

        if number is None:
            number = len(distinct)
            similar.append(number)
            distinct.append(setting)
        numbers.append(number)
    return distinct, numbers


def _key(value: object) -> object:
    """Return a hashable key that equal values share."""
    # Comparing all pairs of settings takes long; the key leaves few of them.
    return value if isinstance(value, str | Number) else type(value)


def _same(one: Setting, other: Setting) -> bool:
    """Return whether two settings of the same parameters have equal values."""
    return all(same_setting(one[name], other[name]) for name in one)


def _short_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the prefix of its step, unless others end alike."""
    last_parts = {name: name.rpartition("__")[2] for name in names}
    counts = Counter(last_parts.values())

    short_names = {}
    for name, last in last_parts.items():
        short_names[name] = last if counts[last] == 1 else name
    return short_names


def _digits(values: Sequence[object]) -> int:
    """Return the number of digits that tells all values apart."""
    counts = []
    for digits in DIGITS:
        texts = {_text(value, digits) for value in values}
        counts.append(len(texts))
    return DIGITS[counts.index(counts[-1])]


def _text(value: object, digits: int) -> str:
    """Return a value as text on one line."""
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}"
    return " ".join(str(value).split())


def _numbered(labels: Iterable[str]) -> list[str]:
    """Return the labels, with a number after those that have occurred before."""
    # Objects can differ although their text is the same, such as long arrays.
    found: dict[str, None] = {}
    for label in labels:
        text = label
        number = 1
        while text in found:
            number += 1
            text = f"{label} ({number})"
        found[text] = None
    return list(found)
