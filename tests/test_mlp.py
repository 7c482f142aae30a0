"""MLPClassifierTorch against MLPClassifier, from the same initial weights."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from skdigits import MLPClassifierTorch

SHARED = {"hidden_layer_sizes": (12, 7), "random_state": 3, "batch_size": 50}


def fit_both(X, y, settings, sample_weight=None):
    models = []
    for Model in (MLPClassifier, MLPClassifierTorch):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            models.append(Model(**SHARED | settings).fit(X, y, sample_weight))
    return models


def assert_equal(theirs, ours, rtol=1e-8):
    assert theirs.n_iter_ == ours.n_iter_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=rtol)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol * 100, atol=rtol)


ADAM = {"solver": "adam"}
SGD = {"solver": "sgd", "learning_rate_init": 0.05}
# Not tested with weights: MLPClassifier's schedule counts samples without them.
INVSCALING = {
    "solver": "sgd",
    "nesterovs_momentum": False,
    "learning_rate": "invscaling",
}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize(
    ("solver", "weighted"),
    [(ADAM, False), (SGD, False), (INVSCALING, False), (ADAM, True), (SGD, True)],
)
def test_unshuffled_training_is_mlpclassifiers(activation, solver, weighted, digits):
    X, y = (array[:330] for array in digits)
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    settings = {"activation": activation, "shuffle": False, "max_iter": 8, "alpha": 0.1}
    theirs, ours = fit_both(X, y, settings | solver, weight if weighted else None)
    if weighted:
        # MLPClassifier averages the losses of batches by size, not by weight.
        theirs.loss_curve_ = ours.loss_curve_
    assert_equal(theirs, ours)
    assert ours.loss_curve_[-1] < ours.loss_curve_[0]


def test_one_shuffled_epoch_is_mlpclassifiers(digits):
    theirs, ours = fit_both(*digits, {"max_iter": 1})
    assert_equal(theirs, ours)


@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_stopping_is_mlpclassifiers(learning_rate, iris):
    settings = {
        "solver": "sgd", "batch_size": 150, "learning_rate_init": 0.1, "tol": 5e-3,
        "n_iter_no_change": 4, "learning_rate": learning_rate, "max_iter": 300,
    }  # fmt: skip
    theirs, ours = fit_both(*iris, settings)
    assert 10 < theirs.n_iter_ < 300
    assert_equal(theirs, ours, rtol=1e-6)


@pytest.mark.usefixtures("stratified_mlpclassifier")
def test_early_stopping_is_mlpclassifiers(digits):
    settings = {
        "early_stopping": True, "validation_fraction": 0.2, "shuffle": False,
        "max_iter": 60, "n_iter_no_change": 3,
    }  # fmt: skip
    X, y = (array[:500] for array in digits)
    theirs, ours = fit_both(X, y, settings)
    assert 5 < ours.n_iter_ < 60
    assert ours.validation_scores_ == pytest.approx(theirs.validation_scores_)
    assert ours.best_validation_score_ == theirs.best_validation_score_
    assert ours.best_loss_ is None
    assert_equal(theirs, ours)


def test_lbfgs_is_mlpclassifiers(digits):
    X, y = (array[:200] for array in digits)
    theirs, ours = fit_both(X, y, {"solver": "lbfgs", "max_iter": 15, "alpha": 1.0})
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-8)
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("sizes", [8, (8,), [8], np.array([8])])
def test_hidden_layer_sizes_of_any_kind(sizes, iris):
    model = MLPClassifierTorch(sizes, max_iter=2, tol=None).fit(*iris)
    assert [coef.shape for coef in model.coefs_] == [(4, 8), (8, 3)]
    assert [bias.shape for bias in model.intercepts_] == [(8,), (3,)]
    assert model.n_layers_ == 3


def test_without_hidden_layers_it_is_linear(iris):
    theirs, ours = fit_both(
        *iris, {"hidden_layer_sizes": (), "shuffle": False, "max_iter": 5}
    )
    assert_equal(theirs, ours)


def test_dropout_hinders_memorising(digits):
    X, y = digits[0][:300], np.random.default_rng(0).integers(10, size=300)
    losses = {}
    for dropout in (0.0, 0.5):
        model = MLPClassifierTorch(
            100, dropout=dropout, max_iter=300, tol=None, learning_rate_init=0.01,
            random_state=0,
        ).fit(X, y)  # fmt: skip
        losses[dropout] = log_loss(y, model.predict_proba(X))
    assert losses[0.0] < 0.1
    assert losses[0.5] > 5 * losses[0.0]


def test_adamw_decays_what_adam_does_not(iris):
    norms = {}
    for solver in ("adam", "adamw"):
        model = MLPClassifierTorch(
            solver=solver, weight_decay=5.0, alpha=0, max_iter=50, tol=None,
            learning_rate_init=0.01, random_state=0,
        ).fit(*iris)  # fmt: skip
        norms[solver] = np.linalg.norm(model.coefs_[0])
    assert norms["adamw"] < 0.7 * norms["adam"]


def test_lbfgs_stops_where_mlpclassifiers_does(digits):
    settings = {"hidden_layer_sizes": 20, "solver": "lbfgs", "random_state": 0}
    ours, theirs = (
        Model(**settings).fit(*digits) for Model in (MLPClassifierTorch, MLPClassifier)
    )
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-3)
    assert 10 < theirs.n_iter_ < 190
    assert abs(ours.n_iter_ - theirs.n_iter_) <= 5
