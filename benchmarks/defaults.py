"""The accuracy of defaults on six small tables, beside that of scikit-learn's.

    python benchmarks/defaults.py                        # about 10 minutes on two cores
    python benchmarks/defaults.py --models softmax       # some classifiers
    python benchmarks/defaults.py --repeats 1            # a look, nothing is stored

Each classifier is made without any parameter but a seed. It is fitted and tested in 5
stratified folds, which both of a pair share. Features are as they are, or *scaled*: a
StandardScaler is fitted before the model in each fold. Accuracies are means ± standard
deviations over the folds, in %. Seconds are those of the five fits, the median of
several turns that the pair takes one after the other. *Warnings* counts those of the
five fits.

The tables come with scikit-learn. *diabetes* has two classes, above and below the
median. *made* has 1,000 samples of `make_classification` in 4 classes, whose 20
features have scales from 0.01 to 100. *digits* has pixels from 0 to 16.

SoftmaxRegression has a goal on each table: a mean accuracy of at least
LogisticRegression's less one percentage point, no warning, and no more seconds. The
other pairs have none: the table says how they compare. The script stores its figures in
benchmarks/defaults.json and writes a section of RESULTS.md from them.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from accuracy import where
from report import HERE, enter
from sklearn.base import ClassifierMixin
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from skdigits import MLPClassifierTorch, SoftmaxRegression, TemplateMatchingClassifier

SHORTFALL = 0.01  # of SoftmaxRegression's mean accuracy, at most
STORED_FROM = 3  # medians of fewer turns are too uncertain to be stored

Table = tuple[np.ndarray, np.ndarray]
Found = dict[str, Any]


class Pair(NamedTuple):
    """A classifier of skdigits and its counterpart in scikit-learn."""

    own: Callable[[], ClassifierMixin]
    other: Callable[[], ClassifierMixin]
    has_goal: bool = False


PAIRS = {
    "softmax": Pair(
        lambda: SoftmaxRegression(random_state=0),
        lambda: LogisticRegression(random_state=0),
        has_goal=True,
    ),
    "mlp": Pair(
        lambda: MLPClassifierTorch(random_state=0),
        lambda: MLPClassifier(random_state=0),
    ),
    "templates": Pair(TemplateMatchingClassifier, NearestCentroid),
}


def diabetes() -> Table:
    X, y = load_diabetes(return_X_y=True)
    return X, np.where(y > np.median(y), "above", "below")


def made() -> Table:
    X, y = make_classification(
        1000,
        20,
        n_informative=8,
        n_redundant=4,
        n_classes=4,
        shuffle=False,
        random_state=0,
    )
    scales = np.random.default_rng(0).permutation(np.geomspace(0.01, 100, 20))
    return X * scales, y


TABLES: dict[str, Callable[[], Table]] = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "diabetes": diabetes,
    "made": made,
    "digits": lambda: load_digits(return_X_y=True),
}


def folds(X: np.ndarray, y: np.ndarray, scaled: bool) -> list[tuple[Table, Table]]:
    """Return the training and test samples of five folds."""
    found = []
    splitter = StratifiedKFold(5, shuffle=True, random_state=0)
    for train, test in splitter.split(X, y):
        seen = X[train]
        unseen = X[test]
        if scaled:
            scaler = StandardScaler().fit(seen)
            seen = scaler.transform(seen)
            unseen = scaler.transform(unseen)
        found.append(((seen, y[train]), (unseen, y[test])))
    return found


def turn(
    make: Callable[[], ClassifierMixin], parts: list[tuple[Table, Table]]
) -> tuple[float, list[float], int]:
    """Return seconds, scores and the number of warnings of a model in all folds."""
    scores = []
    seconds = 0.0
    n_warnings = 0
    for seen, unseen in parts:
        model = make()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            began = time.perf_counter()
            model.fit(*seen)
            seconds += time.perf_counter() - began
        n_warnings += len(caught)
        scores.append(float(model.score(*unseen)))
    return seconds, scores, n_warnings


def compare(pair: Pair, parts: list[tuple[Table, Table]], repeats: int) -> Found:
    """Return the figures of both models of a pair, which take turns."""
    makers = {"own": pair.own, "other": pair.other}
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    found: Found = {}
    for _ in range(repeats):
        for name, make in makers.items():
            taken, scores, n_warnings = turn(make, parts)
            seconds[name].append(taken)
            found[name] = {"scores": scores, "warnings": n_warnings}

    for name, taken in seconds.items():
        found[name]["seconds"] = statistics.median(taken)
    return found


def goal(found: Found) -> str:
    """Return which parts of the goal are not reached, or a tick."""
    own = found["own"]
    other = found["other"]
    short = statistics.mean(other["scores"]) - statistics.mean(own["scores"])
    lacks = []
    if short > SHORTFALL:
        lacks.append("accuracy")
    if own["warnings"]:
        lacks.append("warnings")
    if own["seconds"] > other["seconds"]:
        lacks.append("seconds")
    return f"not reached: {', '.join(lacks)}" if lacks else "✓"


def line(name: str, found: Found, has_goal: bool) -> str:
    """Return a row of a table in Markdown."""
    cells = [name]
    for measured in (found["own"], found["other"]):
        scores = 100 * np.array(measured["scores"])
        cells += [
            f"{scores.mean():.2f} ± {scores.std():.2f}",
            f"{measured['seconds']:.3f}",
            str(measured["warnings"]),
        ]
    if has_goal:
        cells.append(goal(found))
    return f"| {' | '.join(cells)} |"


def write(results: dict[str, Any]) -> None:
    """Write the section of RESULTS.md from all stored figures."""
    lines = ["# Defaults, beside scikit-learn's", ""]
    lines += ["Made by `python benchmarks/defaults.py`.", ""]
    lines.append(__doc__.split("\n\n", 2)[2].strip())
    for name, pair in PAIRS.items():
        if name not in results:
            continue
        own, other = type(pair.own()).__name__, type(pair.other()).__name__
        header = ["", f"{own}, %", "seconds", "warnings"]
        header += [f"{other}, %", "seconds", "warnings"]
        header += ["goal"] * pair.has_goal
        lines += ["", f"## {own}", "", f"| {' | '.join(header)} |"]
        lines.append("|---" * len(header) + "|")
        rows = results[name]["tables"].items()
        lines += [line(table, found, pair.has_goal) for table, found in rows]
        lines += ["", f"{results[name]['where']}."]
    enter(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    option = parser.add_argument
    option("--models", nargs="+", choices=PAIRS, default=list(PAIRS), metavar="MODEL")
    option("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="TABLE")
    option("--repeats", type=int, default=5, help="turns (default: 5)")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    path = HERE / "defaults.json"
    stored: Found = {}
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))

    for name in options.models:
        pair = PAIRS[name]
        # What happens once a process does not count.
        turn(pair.own, folds(*load_iris(return_X_y=True), scaled=True))
        found = {}
        for table in options.tables:
            for scaled in (False, True):
                parts = folds(*TABLES[table](), scaled)
                row = f"{table}, scaled" if scaled else table
                found[row] = compare(pair, parts, options.repeats)
                print(line(row, found[row], pair.has_goal), flush=True)

        whole = options.tables == list(TABLES)
        if whole and options.repeats >= STORED_FROM:
            stored[name] = {"where": where(), "tables": found}
            path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
            write(stored)


if __name__ == "__main__":
    main()
