"""SoftmaxRegression against LogisticRegression and PyTorch."""

import warnings

import numpy as np
import pytest
import scipy.optimize
import torch
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skdigits import SoftmaxRegression
from skdigits.engine import lbfgs
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.training import settings

C = 0.3


def logistic_regression(X, y, sample_weight=None):
    model = LogisticRegression(C=C, solver="lbfgs", tol=1e-12, max_iter=10_000)
    return model.fit(X, y, sample_weight)


def by_lbfgs(X, y, sample_weight=None, n=None):
    n = len(X) if sample_weight is None else np.sum(sample_weight)
    model = SoftmaxRegression(
        solver="lbfgs", alpha=1 / (C * n), tol=1e-9, max_iter=10_000
    )
    return model.fit(X, y, sample_weight)


def objective(model, X, y, sample_weight=None):
    """Return the objective that both minimise, by scikit-learn's log_loss."""
    n = len(X) if sample_weight is None else np.sum(sample_weight)
    loss = log_loss(y, model.predict_proba(X), sample_weight=sample_weight)
    return loss + (model.coef_**2).sum() / (2 * C * n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dataset", ["digits", "iris"])
def test_lbfgs_reaches_logistic_regression(dataset, weighted, request):
    X, y = request.getfixturevalue(dataset)
    X, y = X[::3], y[::3]
    weight = np.random.default_rng(0).uniform(0, 3, len(X)) if weighted else None
    ours, theirs = by_lbfgs(X, y, weight), logistic_regression(X, y, weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4, rtol=0)
    # Adding a constant to all intercepts changes nothing.
    shift = ours.intercept_ - ours.intercept_.mean()
    np.testing.assert_allclose(
        shift, theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4, rtol=0
    )
    found, expected = (objective(model, X, y, weight) for model in (ours, theirs))
    assert found == pytest.approx(expected, rel=1e-8)
    assert expected < 0.9 * np.log(len(ours.classes_))


def test_lbfgs_in_float32_comes_as_close_as_logistic_regression(digits):
    X, y = digits
    exact = logistic_regression(X, y)
    theirs = logistic_regression(X.astype(np.float32), y)
    ours = by_lbfgs(X.astype(np.float32), y)
    errors = [np.abs(model.coef_ - exact.coef_).max() for model in (ours, theirs)]
    assert ours.coef_.dtype == np.float32
    assert errors[0] < max(2 * errors[1], 1e-3)


SCALES = 10.0 ** np.array([3, -3, 0, 2])


@pytest.mark.parametrize("scales", [np.ones(4), SCALES], ids=["scaled", "unscaled"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "settings", "error"),
    [
        (np.float32, {}, 0.01),
        (np.float64, {}, 0.01),
        (np.float64, {"tol": 1e-8, "max_iter": 1000}, 1e-4),
    ],
)
def test_defaults_are_logistic_regression(
    dtype, settings, error, n_classes, scales, iris
):
    """Without a warning, whatever the scale of the features."""
    kept = iris[1] < n_classes
    X, y = (iris[0][kept] * scales + scales).astype(dtype), iris[1][kept]
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-10).fit(
        X.astype(np.float64), y
    )
    ours = SoftmaxRegression(**settings).fit(X, y)
    assert ours.solver_ == "lbfgs"
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=error
    )
    assert ours.score(X, y) > 0.9


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_defaults_are_as_good_as_theirs_on_a_table():
    """The warnings are those of theirs; benchmarks/defaults.py has more tables."""
    X, y = load_wine(return_X_y=True)
    cv = StratifiedKFold(5, shuffle=True, random_state=0)
    theirs = cross_val_score(LogisticRegression(), X, y, cv=cv)
    with warnings.catch_warnings(action="error"):
        ours = cross_val_score(SoftmaxRegression(), X, y, cv=cv)
    assert ours.mean() > theirs.mean() - 0.01
    assert ours.mean() > 0.9


def test_default_penalty_counts_weights_like_logistic_regression(iris, rng):
    X, y = iris
    weight = rng.uniform(0, 3, len(X))
    theirs = LogisticRegression(solver="newton-cholesky", class_weight="balanced")
    ours = SoftmaxRegression(class_weight="balanced")
    found, expected = (
        model.fit(X, y, weight).predict_proba(X) for model in (ours, theirs)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "solver"),
    [
        ({}, "lbfgs"),
        ({"alpha": 0.1, "max_iter": 1000, "loss": "softmax_mse"}, "lbfgs"),
        ({"warm_start": True, "random_state": 0, "tol": 1e-3}, "lbfgs"),
        ({"learning_rate_init": 0.01}, "sgd"),
        ({"learning_rate": "one_cycle"}, "sgd"),
        ({"batch_size": 10}, "sgd"),
        ({"shuffle": False}, "sgd"),
        ({"momentum": 0.5}, "sgd"),
        ({"nesterovs_momentum": False}, "sgd"),
        ({"early_stopping": True}, "sgd"),
        ({"n_iter_no_change": 3}, "sgd"),
        ({"augment": "shift", "image_shape": (2, 2)}, "sgd"),
        ({"tol": None}, "sgd"),
        ({"solver": "adam"}, "adam"),
        ({"solver": "lbfgs", "learning_rate_init": 0.1}, "lbfgs"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_what_auto_stands_for(settings, solver, iris):
    model = SoftmaxRegression(**{"max_iter": 3} | settings).fit(*iris)
    assert model.solver_ == solver
    assert model.get_params()["solver"] == settings.get("solver", "auto")
    # L-BFGS searches for the length of each step.
    assert model.history_["learning_rate"].isna().all() == (solver == "lbfgs")


def test_large_data_and_single_epochs_are_for_stochastic_solvers(iris, monkeypatch):
    X, y = iris
    model = SoftmaxRegression().fit(X, y)
    before = model.score(X, y)
    assert model.partial_fit(X, y).solver_ == "sgd"
    assert model.n_iter_ == 1
    assert model.score(X, y) > before - 0.05

    monkeypatch.setattr(settings, "LARGEST_FULL_BATCH", X.size - 1)
    model = SoftmaxRegression(tol=0.01, random_state=0).fit(X, y)
    assert model.solver_ == "sgd"
    assert model.history_["learning_rate"].iloc[0] == 0.01
    monkeypatch.setattr(settings, "LARGEST_FULL_BATCH", X.size)
    assert model.fit(X, y).solver_ == "lbfgs"


def test_coefficients_of_the_classes_sum_to_zero(digits):
    for solver in ("lbfgs", "sgd"):
        model = SoftmaxRegression(solver=solver, tol=1e-3, random_state=0).fit(*digits)
        np.testing.assert_allclose(model.coef_.sum(0), 0, atol=1e-5)
        assert np.abs(model.coef_).max() > 0.1


def test_two_classes_have_two_rows_and_half_the_penalty(digits):
    """LogisticRegression has one row d; rows ±d / 2 have half the sum of squares."""
    X, y = digits[0][digits[1] < 2], digits[1][digits[1] < 2]
    theirs = LogisticRegression(C=2 * C, tol=1e-12, max_iter=10_000).fit(X, y)
    ours = by_lbfgs(X, y)
    assert ours.coef_.shape == (2, 64)
    np.testing.assert_allclose(
        ours.coef_[1] - ours.coef_[0], theirs.coef_[0], atol=1e-4
    )
    np.testing.assert_allclose(
        ours.decision_function(X), theirs.decision_function(X), atol=1e-3
    )


def test_sgd_comes_to_the_same_minimum(iris):
    X, y = iris
    model = SoftmaxRegression(
        0.5, alpha=1 / (C * len(X)), tol=None, max_iter=3000, batch_size=len(X)
    ).fit(X, y)
    np.testing.assert_allclose(model.coef_, logistic_regression(X, y).coef_, atol=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "softmax_mse", "sigmoid_mse"])
def test_minibatches_equal_a_loop_in_torch(loss, digits):
    """Compare with a plain loop with autograd and torch.optim."""
    X, y = (torch.from_numpy(array[:300]) for array in digits)
    model = SoftmaxRegression(
        0.3, loss=loss, alpha=0.01, batch_size=64, max_iter=5, tol=None, shuffle=False,
        label_smoothing=0.1,
    ).fit(X.numpy(), y.numpy())  # fmt: skip
    layer = torch.nn.Linear(64, 10).double()
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(
        [{"params": [layer.weight], "weight_decay": 0.01}, {"params": [layer.bias]}],
        lr=0.3, momentum=0.9, nesterov=True,
    )  # fmt: skip
    onehot = torch.nn.functional.one_hot(y).double() * 0.9 + 0.01
    for _ in range(5):
        for rows in torch.arange(300).split(64):
            z = layer(X[rows])
            value = {
                "cross_entropy": lambda z, t: torch.nn.functional.cross_entropy(z, t),
                "softmax_mse": lambda z, t: ((z.softmax(1) - t) ** 2).mean(),
                "sigmoid_mse": lambda z, t: ((z.sigmoid() - t) ** 2).mean(),
            }[loss](z, onehot[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    np.testing.assert_allclose(
        model.coef_, layer.weight.detach(), rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(
        model.intercept_, layer.bias.detach(), rtol=1e-8, atol=1e-12
    )
    assert np.abs(model.coef_).max() > 0.02


@pytest.mark.slow
@pytest.mark.mnist
def test_cross_entropy_on_mnist_is_what_was_published(mnist):
    """In the mean over seeds, as single epochs at this learning rate vary by 0.01."""
    X_train, X_test, y_train, y_test = mnist
    model = SoftmaxRegression(
        1.0, weight_init="normal", alpha=0, momentum=0, batch_size=256,
        max_iter=41, tol=None,
    )  # fmt: skip
    positions = np.arange(len(y_train) + len(y_test))
    search = BatchedGridSearchCV(
        model,
        {"random_state": [0, 1, 2]},
        cv=[np.split(positions, [len(y_train)])],
        return_epoch_scores=True,
        refit=False,
    )
    search.fit(np.concatenate([X_train, X_test]), np.concatenate([y_train, y_test]))

    after_each_epoch = np.stack(search.cv_results_["split0_test_score_by_epoch"])
    assert after_each_epoch.shape == (3, 41)
    assert all(0.83 <= score <= 0.86 for score in after_each_epoch[:, 0])
    assert np.mean(after_each_epoch[:, 40]) >= 0.912


def test_a_constant_feature_of_any_size_changes_nothing(digits):
    X = np.tile(digits[0], (5, 1)).astype(np.float32)
    y = np.tile(digits[1], 5)
    beside = np.hstack([X, np.full((len(X), 1), 1e6, np.float32)])
    expected = SoftmaxRegression().fit(X, y).score(X, y)
    assert SoftmaxRegression().fit(beside, y).score(beside, y) > expected - 0.005


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_iterations_do_not_depend_on_the_size_of_weights(digits, scale):
    X = digits[0].astype(np.float32)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    model = SoftmaxRegression(solver="lbfgs", alpha=1e-4)
    expected = model.fit(X, digits[1], weight).n_iter_
    assert abs(model.fit(X, digits[1], weight * scale).n_iter_ - expected) <= 3


def end_abnormally(monkeypatch, **changes):
    """Let SciPy end as if its line search had found no lower objective.

    Whether rounding leads there differs between processors.
    """

    def minimize(*args, options, **rest):
        result = scipy.optimize.minimize(*args, options=options | changes, **rest)
        result.status = 2
        return result

    monkeypatch.setattr(lbfgs, "minimize", minimize)


def test_lbfgs_that_rounding_ends_has_converged(monkeypatch):
    """A case of scikit-learn's tests of array APIs."""
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).uniform(-1, 5, len(X)).clip(0, None)
    options = {"tol": 1e-12, "max_iter": 500, "class_weight": "balanced"}
    exact = LogisticRegression(C=0.01, **options).fit(X, y, weight)

    end_abnormally(monkeypatch)
    ours = SoftmaxRegression(solver="lbfgs", alpha=100 / weight.sum(), **options)
    ours.fit(X.astype(np.float32), y, weight)  # a warning is an error here
    assert ours.coef_.dtype == np.float32
    assert np.abs(exact.coef_).max() > 0.1
    np.testing.assert_allclose(ours.coef_, exact.coef_, atol=1e-4, rtol=0)


def test_lbfgs_that_ends_far_from_the_minimum_warns(iris, monkeypatch):
    X, y = iris
    end_abnormally(monkeypatch, maxiter=3)
    with pytest.warns(ConvergenceWarning, match="lbfgs stopped after 3 iterations"):
        found = by_lbfgs(X.astype(np.float32), y)
    assert np.abs(found.coef_ - logistic_regression(X, y).coef_).max() > 0.01
