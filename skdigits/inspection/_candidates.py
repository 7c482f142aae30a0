"""The candidates of a search as a table, each told apart by all of its parameters."""

from collections import Counter
from numbers import Number

import numpy as np
import pandas as pd

from skdigits._parameters import POSITIVE, same_setting

DIGITS = 3, 6, 17  # of numbers in labels: as few as tell them apart


def candidates(results, parameter, metric):
    """Candidates with that parameter; of one that was evaluated again, the last.

    Raises
    ------
    ValueError
        If the parameter is no positive number, though the model could be fitted.
    """
    params, means = results["params"], results[f"mean_test_{metric}"]
    kept = [
        place
        for place, each in enumerate(params)
        if parameter in each and _is_rate(parameter, each[parameter], means[place])
    ]
    by_epoch = results.get(f"mean_test_{metric}_by_epoch", [np.empty(0)] * len(params))
    table = pd.DataFrame(
        {
            "learning_rate": [float(params[place][parameter]) for place in kept],
            "setting": _texts([params[place] for place in kept], parameter),
            "mean": [means[place] for place in kept],
            "std": [results[f"std_test_{metric}"][place] for place in kept],
            "by_epoch": [by_epoch[place] for place in kept],
        }
    )
    table = table.astype({"learning_rate": float, "mean": float, "std": float})
    return table.drop_duplicates(
        ["learning_rate", "setting"], keep="last", ignore_index=True
    )


def _is_rate(parameter, value, mean):
    if POSITIVE.is_satisfied_by(value):
        return True
    if np.isnan(mean):
        return False  # as the model has refused it, too
    raise ValueError(
        f"parameter={parameter!r} was searched over {value!r}, but only positive numbers have "
        "a place on a logarithmic axis: pass another parameter, or leave that value out."
    )


def _texts(params, parameter):
    """All other parameters of each candidate as text, another for each setting of them."""
    settings = [{n: each[n] for n in each if n != parameter} for each in params]
    distinct, numbers = _distinct(settings)
    names = _names([parameter, *(name for setting in distinct for name in setting)])
    digits = {name: _digits([s[name] for s in distinct if name in s]) for name in names}
    labels = [
        ", ".join(
            f"{names[name]}={_text(value, digits[name])}" for name, value in s.items()
        )
        for s in distinct
    ]
    labels = _told_apart(labels)
    return [labels[number] for number in numbers]


def _distinct(settings):
    """The different settings, and the number of that which each is."""
    alike, distinct, numbers = {}, [], []
    for setting in settings:
        rough = tuple((name, _rough(value)) for name, value in sorted(setting.items()))
        found = alike.setdefault(rough, [])
        number = next((n for n in found if _same(distinct[n], setting)), len(distinct))
        if number == len(distinct):
            found.append(number)
            distinct.append(setting)
        numbers.append(number)
    return distinct, numbers


def _rough(value):
    """What is the same for equal values and can be looked up, so that few are compared."""
    return value if isinstance(value, str | Number) else type(value)


def _same(one, other):
    return all(same_setting(one[name], other[name]) for name in one)


def _names(names):
    """Names without the steps that lead to them, where these are not needed."""
    shortest = {name: name.rpartition("__")[2] for name in names}
    counts = Counter(shortest.values())
    return {
        name: last if counts[last] == 1 else name for name, last in shortest.items()
    }


def _digits(values):
    different = [len({_text(value, digits) for value in values}) for digits in DIGITS]
    return DIGITS[different.index(different[-1])]


def _text(value, digits):
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}"
    return " ".join(str(value).split())  # on one line


def _told_apart(labels):
    """Numbers at those that are the same, as of objects whose text does not tell all."""
    found = {}
    for label in labels:
        text, number = label, 1
        while text in found:
            number += 1
            text = f"{label} ({number})"
        found[text] = None
    return list(found)
