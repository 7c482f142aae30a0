"""SoftmaxRegression against LogisticRegression and PyTorch."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skdigits import SoftmaxRegression

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


@pytest.mark.filterwarnings(
    "ignore:lbfgs stopped after:sklearn.exceptions.ConvergenceWarning"
)
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


@pytest.mark.filterwarnings(
    "ignore:lbfgs stopped after:sklearn.exceptions.ConvergenceWarning"
)
def test_lbfgs_in_float32_comes_as_close_as_logistic_regression(digits):
    X, y = digits
    exact = logistic_regression(X, y)
    theirs = logistic_regression(X.astype(np.float32), y)
    ours = by_lbfgs(X.astype(np.float32), y)
    errors = [np.abs(model.coef_ - exact.coef_).max() for model in (ours, theirs)]
    assert ours.coef_.dtype == np.float32
    assert errors[0] < max(2 * errors[1], 1e-3)


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
    scores = {1: [], 41: []}
    for epochs, seed in product(scores, range(3)):
        model = SoftmaxRegression(
            1.0, weight_init="normal", alpha=0, momentum=0, batch_size=256,
            max_iter=epochs, tol=None, random_state=seed,
        )  # fmt: skip
        scores[epochs].append(model.fit(X_train, y_train).score(X_test, y_test))
    assert all(0.83 <= score <= 0.86 for score in scores[1])
    assert np.mean(scores[41]) >= 0.912
