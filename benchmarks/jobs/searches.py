"""Jobs that search a grid of learning rates."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import skorch_classifier
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.datasets import load_digits as load_small_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import skdigits.model_selection
from jobs.job import SGD, Contender, Contenders, Digits
from jobs.training import LINEAR
from skdigits import MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

RATES_6 = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
RATES_8 = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.8]
RATES_32 = np.geomspace(0.001, 1, 32).round(5).tolist()
RATES_64 = np.geomspace(0.001, 1, 64).round(5).tolist()


def search(X: np.ndarray, y: np.ndarray, model: BaseEstimator) -> Contender:
    """Return the contender that fits a search; its score is the best mean score."""

    def best(found: BaseEstimator) -> float:
        name = type(found.estimator).__name__
        print(f"    {name}: {found.best_params_}", file=sys.stderr)
        return float(found.best_score_)

    return Contender(lambda: model.fit(X, y), best)


def searches(digits: Digits, model: BaseEstimator, rates: list[float]) -> Contenders:
    grid = {"learning_rate_init": rates}
    theirs = GridSearchCV(model, grid, n_jobs=2)
    return {
        "BatchedGridSearchCV": search(
            digits.X, digits.y, BatchedGridSearchCV(model, grid)
        ),
        "GridSearchCV(n_jobs=2)": search(digits.X, digits.y, theirs),
    }


def grid_8(digits: Digits) -> Contenders:
    """8 learning rates × 5 folds, SoftmaxRegression, batch 64, 5 epochs."""
    skorch = GridSearchCV(skorch_classifier(LINEAR, 0.1, 5), {"lr": RATES_8}, n_jobs=2)
    sgd = SGDClassifier(
        loss="log_loss", penalty=None, learning_rate="constant", max_iter=5, tol=None,
        random_state=0,
    )  # fmt: skip
    theirs = GridSearchCV(sgd, {"eta0": [rate / 64 for rate in RATES_8]}, n_jobs=2)
    return {
        **searches(digits, SoftmaxRegression(**SGD, max_iter=5), RATES_8),
        "skorch, n_jobs=2": search(digits.X, digits.y, skorch),
        "SGDClassifier, n_jobs=2": search(digits.X, digits.y, theirs),
    }


def grid_32(digits: Digits) -> Contenders:
    """32 learning rates × 5 folds, SoftmaxRegression, batch 64, 5 epochs."""
    return searches(digits, SoftmaxRegression(**SGD, max_iter=5), RATES_32)


def grid_mlp(digits: Digits) -> Contenders:
    """8 learning rates × 5 folds, MLP with 64 hidden units, batch 64, 2 epochs."""
    return searches(digits, MLPClassifierTorch(64, **SGD, max_iter=2), RATES_8)


def grid_wide(digits: Digits) -> Contenders:
    """8 learning rates × 5 folds, 512 hidden units, 12,000 samples: a wide MLP."""
    X = digits.X[:12_000]
    y = digits.y[:12_000]
    model = MLPClassifierTorch(512, **SGD, max_iter=1)
    grid = {"learning_rate_init": RATES_8}
    return {
        "BatchedGridSearchCV": search(X, y, BatchedGridSearchCV(model, grid, n_jobs=2)),
        "GridSearchCV": search(X, y, GridSearchCV(model, grid, n_jobs=2)),
    }


def price(digits: Digits) -> Contenders:
    """8 learning rates on one fold, SoftmaxRegression, against one of them."""
    model = SoftmaxRegression(0.1, **SGD, max_iter=5)
    held_out = ShuffleSplit(1, test_size=len(digits.X) // 6, random_state=0)
    grid = BatchedGridSearchCV(
        model, {"learning_rate_init": RATES_8}, cv=held_out, refit=False
    )
    train, test = next(held_out.split(digits.X))

    def one() -> float:
        fitted = model.fit(digits.X[train], digits.y[train])
        return float(fitted.score(digits.X[test], digits.y[test]))

    return {
        "8 rates": Contender(
            lambda: grid.fit(digits.X, digits.y),
            lambda found: float(found.cv_results_["mean_test_score"].max()),
        ),
        "one fit and its score": Contender(one, float),
    }


def scaled(model: BaseEstimator) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def small_search(
    load: Callable[..., tuple[np.ndarray, np.ndarray]],
    rates: list[float],
    n_folds: int,
    scoring: str | list[str],
    **settings: Any,
) -> Callable[[Digits], Contenders]:
    """Return the job of a search on a small data set, against that of MLPClassifier."""

    def build(digits: Digits) -> Contenders:
        X, y = load(return_X_y=True)
        own = scaled(MLPClassifierTorch(random_state=0, **settings))
        theirs = scaled(MLPClassifier(random_state=0, **settings))
        grid = {"model__learning_rate_init": rates}
        how = {"scoring": scoring, "cv": n_folds}
        if not isinstance(scoring, str):
            how["refit"] = scoring[0]

        return {
            "BatchedGridSearchCV": search(X, y, BatchedGridSearchCV(own, grid, **how)),
            "MLPClassifier, n_jobs=1": search(X, y, GridSearchCV(theirs, grid, **how)),
            "MLPClassifier, n_jobs=2": search(
                X, y, GridSearchCV(theirs, grid, n_jobs=2, **how)
            ),
        }

    return build


SMALL = {
    "breast_cancer": (load_breast_cancer, RATES_6, 5, "roc_auc", {}),
    "wine": (load_wine, RATES_8, 3, "roc_auc_ovr", {"max_iter": 20}),
    "digits": (load_small_digits, RATES_8, 3, "roc_auc_ovr", {"max_iter": 20}),
}
METRICS = ("accuracy", "roc_auc", "log_loss", "four")


def small_searches() -> dict[str, tuple[Callable[[Digits], Contenders], str]]:
    """Return the job and the title of each data set and metric."""
    found = {}
    for name, (load, rates, n_folds, roc_auc, settings) in SMALL.items():
        four = ["accuracy", roc_auc, "neg_log_loss", "f1_macro"]
        for metric, scoring in zip(METRICS, [*four[:3], four], strict=True):
            build = small_search(load, rates, n_folds, scoring, **settings)
            words = " and ".join([", ".join(four[:3]), four[3]])
            shown = words if metric == "four" else scoring
            length = (
                f"{settings['max_iter']} epochs" if settings else "default settings"
            )
            title = (
                f"{len(rates)} learning rates × {n_folds} folds on {name}, "
                f"StandardScaler and MLP, {length}, scored by {shown}."
            )
            found[f"{name}_{metric}"] = (build, title)
    return found


def halving(digits: Digits) -> Contenders:
    """64 learning rates × 5 folds, SoftmaxRegression, 6,000 samples, by halving."""
    X = digits.X[:6000]
    y = digits.y[:6000]
    model = SoftmaxRegression(**SGD, max_iter=27)
    grid = {"learning_rate_init": RATES_64}
    # Train scores are scikit-learn's default in one of the two: neither computes them.
    epochs = {"resource": "max_iter", "min_resources": 1, "max_resources": 27}
    halved = skdigits.model_selection.BatchedHalvingGridSearchCV(
        model, grid, return_train_score=False, **epochs
    )
    return {
        "BatchedHalvingGridSearchCV": search(X, y, halved),
        "BatchedGridSearchCV": search(X, y, BatchedGridSearchCV(model, grid)),
    }


def same_winner(outcomes: dict[str, Any], scores: dict[str, float]) -> str:
    """Compare the winner by halving with the best of the grid, by the grid's scores.

    The standard error is that of the best mean score over the folds.
    """
    halved, grid = outcomes.values()
    means = grid.cv_results_["mean_test_score"]
    rates = grid.cv_results_["param_learning_rate_init"].tolist()
    # The parameters that halving returns name the number of epochs as well.
    winner = rates.index(halved.best_params_["learning_rate_init"])
    behind = means[grid.best_index_] - means[winner]
    spread = grid.cv_results_["std_test_score"][grid.best_index_]
    error = spread / np.sqrt(grid.n_splits_)

    verdict = "reached" if behind <= error else "not reached"
    return (
        f"In the grid, the winner by halving is {behind:.4f} behind the best, goal ≤ "
        f"its standard error {error:.4f}: {verdict}."
    )
