"""Searches over parameters that nothing depends on; fits are the oracle."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from small_models import mlp, softmax

from skdigits.engine.solvers import SOLVERS
from skdigits.model_selection import (
    BatchedGridSearchCV,
    BatchedHalvingGridSearchCV,
    BatchedRandomizedSearchCV,
)
from skdigits.model_selection._no_effect import IN_QUESTION, without_effect

RATES = {"learning_rate_init": [0.1, 0.01]}
VALUES = {
    "learning_rate_init": [0.1, 0.01],
    "learning_rate": ["constant", "one_cycle"],
    "power_t": [0.1, 0.9],
    "batch_size": [40, 60],
    "shuffle": [True, False],
    "early_stopping": [False, True],
    "validation_fraction": [0.2, 0.4],
    "n_iter_no_change": [1, 3],
    "dropout": [0.0, 0.5],
    "momentum": [0.3, 0.9],
    "nesterovs_momentum": [True, False],
    "beta_1": [0.5, 0.9],
    "beta_2": [0.9, 0.99],
    "epsilon": [1e-8, 0.1],
    "weight_decay": [0.0, 1.0],
    "max_fun": [2, 100],
}
# What a parameter needs, and otherwise has no effect with any solver.
SETTINGS = {
    "power_t": {"learning_rate": "invscaling"},
    "validation_fraction": {"early_stopping": True},
    "n_iter_no_change": {"tol": 10.0},
    "nesterovs_momentum": {"momentum": 0.9},
}
NOT_MET = {
    "power_t": {"learning_rate": "constant"},
    "validation_fraction": {"early_stopping": False},
    "n_iter_no_change": {"tol": None},
    "nesterovs_momentum": {"momentum": 0.0},
}


def weights(model, few):
    return np.concatenate([coef.ravel() for coef in model.fit(*few).coefs_])


def test_all_are_compared():
    assert VALUES.keys() == IN_QUESTION


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_said_to_have_no_effect_has_none(solver, name, few):
    for settings in (SETTINGS.get(name, {}), NOT_MET.get(name)):
        if settings is None:
            continue
        model = mlp(solver=solver, max_iter=6, **settings)
        both = [
            weights(clone(model).set_params(**{name: value}), few)
            for value in VALUES[name]
        ]
        same = np.array_equal(*both)
        grid = [{name: value} for value in VALUES[name]]
        assert len(without_effect(model, grid, [solver] * 2)) == same


def warnings_of(search, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X, y)
    return [(str(one.message), one.filename) for one in caught]


SEARCHES = [
    BatchedGridSearchCV(mlp(solver="lbfgs"), RATES, cv=3),
    BatchedRandomizedSearchCV(mlp(solver="lbfgs"), RATES, n_iter=2, cv=3),
    BatchedHalvingGridSearchCV(
        mlp(solver="lbfgs"), RATES, cv=3, factor=2, min_resources=1
    ),
    # One by one, in scikit-learn's loop.
    BatchedGridSearchCV(mlp(solver="lbfgs", scoring="accuracy"), RATES, cv=3),
]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: type(search).__name__)
def test_a_search_says_it_once_with_a_cure(search, few):
    ((text, filename),) = warnings_of(clone(search), *few)
    assert text == (
        "learning_rate_init was searched, but has no effect with solver='lbfgs': "
        "candidates that differ in nothing else have equal scores. Set solver to "
        "'sgd', 'adam' or 'adamw'."
    )
    assert filename == __file__


@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_the_cure_works(solver, few):
    search = BatchedGridSearchCV(
        mlp(solver=solver), RATES, cv=3, scoring="neg_log_loss"
    )
    assert warnings_of(search, *few) == []
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_parameters_have_the_names_of_the_search(few):
    steps = [("scale", StandardScaler()), ("model", softmax(batch_size="auto"))]
    grid = {"model__power_t": [0.1, 0.9]}
    search = BatchedGridSearchCV(Pipeline(steps), grid, cv=3)
    search.set_params(estimator__model__tol=1.0)  # with None, it would not be L-BFGS
    ((text, _),) = warnings_of(search, *few)
    assert text.startswith(
        "model__power_t was searched, but has no effect with model__solver='auto', "
        "here 'lbfgs', and model__learning_rate='constant': "
    )
    assert text.endswith(
        "Set model__solver to 'sgd', 'adam' or 'adamw' and model__learning_rate to "
        "'invscaling'."
    )


@pytest.mark.parametrize(
    "grid",
    [
        {"alpha": [0.0, 1e-9]},
        {"solver": ["lbfgs", "sgd"], **RATES},
        {"learning_rate_init": [0.1, 0.1]},
        {"alpha": [0.0, 1e-9], "learning_rate_init": [0.1]},
    ],
)
def test_nothing_is_said_of_other_searches(grid, few):
    search = BatchedGridSearchCV(mlp(solver="lbfgs"), grid, cv=3)
    assert warnings_of(search, *few) == []


def test_single_fits_are_silent(few):
    """As MLPClassifier is, and so is scikit-learn's search, which is many of them."""
    search = GridSearchCV(mlp(solver="lbfgs"), RATES, cv=3)
    assert warnings_of(search, *few) == []
    assert len(set(search.cv_results_["mean_test_score"])) == 1
