"""A sample of weight n counts as n samples, and one of weight 0 as none."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)

LOSSES = ["cross_entropy", "softmax_mse", "sigmoid_mse"]
SHORT = {"max_iter": 10, "tol": None, "random_state": 0}
FULL_BATCH = {"max_iter": 40, "tol": None, "batch_size": "auto", "random_state": 0}


@pytest.fixture(scope="module")
def weighted(iris):
    """Return X, y, weights 0 to 3 (60 samples), and X and y repeated as often."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(150)[:60]
    X, y = iris[0][chosen], iris[1][chosen]
    weight = rng.integers(0, 4, 60)
    return X, y, weight, X.repeat(weight, axis=0), y.repeat(weight)


def assert_repeats(model, weighted, dtype=np.float64):
    """Weights have the effect of repetition, to 1e-6, and they have an effect."""
    X, y, weight, X_repeated, y_repeated = weighted
    X, X_repeated = X.astype(dtype), X_repeated.astype(dtype)
    found = clone(model).fit(X, y, weight).predict_proba(X)
    expected = clone(model).fit(X_repeated, y_repeated).predict_proba(X)
    rtol = 1e-6 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol / 100)
    assert np.abs(clone(model).fit(X, y).predict_proba(X) - found).max() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
def test_lbfgs_of_any_loss(loss, weighted):
    """Compare at the minimum, which is unique for a linear model with a penalty."""
    model = SoftmaxRegression(
        solver="lbfgs", loss=loss, alpha=0.1, tol=1e-9, max_iter=5000
    )
    assert_repeats(model, weighted)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("Model", [SoftmaxRegression, MLPClassifierTorch])
def test_full_batches_of_any_loss(Model, solver, loss, dtype, weighted):
    model = Model(
        solver=solver, loss=loss, learning_rate_init=0.02, alpha=0.5, **FULL_BATCH
    )
    assert_repeats(model, weighted, dtype)


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "adamw", "loss": "cross_entropy", "alpha": 0.5},
        {"solver": "sgd", "loss": "softmax_mse", "learning_rate": "invscaling"},
        {"solver": "lbfgs", "loss": "sigmoid_mse"},
    ],
    ids=lambda settings: settings["solver"],
)
def test_full_batches_of_a_convolutional_network(settings, weighted):
    """Also with more images than one chunk holds."""
    more = FULL_BATCH | {"max_iter": 8}
    model = ConvNetClassifier(2, learning_rate_init=0.05, **more, **settings)
    assert_repeats(model.set_params(batch_size="auto"), weighted)
    X, y, weight, X_repeated, y_repeated = (
        np.concatenate([part] * 3) for part in weighted
    )
    if settings["solver"] != "lbfgs":
        model.set_params(batch_size=len(X_repeated))
        with pytest.warns(match="batch_size"):
            found = clone(model).fit(X, y, weight).predict_proba(X)
        expected = model.fit(X_repeated, y_repeated).predict_proba(X)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.filterwarnings(
    "ignore:Stochastic Optimizer:sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize(
    "schedule", ["constant", "invscaling", "adaptive", "one_cycle"]
)
@pytest.mark.parametrize("Model", [SoftmaxRegression, MLPClassifierTorch])
def test_schedules_count_weights_as_rows(Model, schedule, weighted):
    model = Model(
        solver="sgd", learning_rate=schedule, learning_rate_init=0.2, **FULL_BATCH
    )
    if schedule == "adaptive":
        model.set_params(tol=0.02, n_iter_no_change=2, learning_rate_init=1.0)
    assert_repeats(model, weighted)
    X, y, weight, X_repeated, y_repeated = weighted
    found, expected = (
        clone(model).fit(X, y, weight),
        clone(model).fit(X_repeated, y_repeated),
    )
    assert found.t_ == expected.t_ == weight.sum() * found.n_iter_
    assert found.n_iter_ == expected.n_iter_
    for column in ("learning_rate", "train_loss"):
        np.testing.assert_allclose(
            found.history_[column], expected.history_[column], rtol=1e-9
        )


@pytest.mark.parametrize(
    "model",
    [
        SoftmaxRegression(0.1, random_state=0),
        MLPClassifierTorch(9, learning_rate_init=0.1, random_state=0),
        TemplateMatchingClassifier(),
        ConvNetClassifier(2, learning_rate="constant", random_state=0),
    ],
    ids=["softmax", "mlp", "templates", "conv"],
)
def test_partial_fits(model, weighted):
    """Fit in two chunks of 30 samples, each of which is one batch."""
    X, y, weight, X_repeated, y_repeated = weighted
    found, expected, without = clone(model), clone(model), clone(model)
    ends = np.cumsum(weight)[[29, 59]]
    for at in (0, 1):
        rows = slice(30 * at, 30 * at + 30)
        repeated = slice(ends[0] * at, ends[at])
        found.partial_fit(X[rows], y[rows], [0, 1, 2], weight[rows])
        expected.partial_fit(X_repeated[repeated], y_repeated[repeated], [0, 1, 2])
        without.partial_fit(X[rows], y[rows], [0, 1, 2])
    proba = found.predict_proba(X)
    np.testing.assert_allclose(proba, expected.predict_proba(X), rtol=1e-6)
    assert np.abs(proba - without.predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("metric", ["mse", "mae", "cosine"])
@pytest.mark.parametrize("n_templates", [1, 3])
def test_templates_and_their_temperature(metric, n_templates, weighted):
    model = TemplateMatchingClassifier(metric, n_templates=n_templates, random_state=0)
    assert_repeats(model, weighted)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_only_the_ratio_of_weights_matters_where_the_penalty_is_a_mean(
    solver, scale, weighted
):
    """SoftmaxRegression's is a mean; MLPClassifierTorch's is divided by the weight."""
    X, y, weight, _, _ = weighted
    model = SoftmaxRegression(0.05, solver=solver, alpha=0.1, max_iter=15, tol=None)
    found = clone(model).fit(X, y, scale * weight).predict_proba(X)
    np.testing.assert_allclose(
        found, model.fit(X, y, weight).predict_proba(X), rtol=1e-7
    )


WITHOUT_PENALTY = {
    "sgd": SoftmaxRegression(0.05, batch_size=20, alpha=0.1, **SHORT),
    "adam": SoftmaxRegression(0.05, solver="adam", batch_size=20, **SHORT),
    "adamw": SoftmaxRegression(0.05, solver="adamw", batch_size=20, **SHORT),
    "lbfgs": SoftmaxRegression(solver="lbfgs", alpha=0.1, **SHORT),
    "mlp": MLPClassifierTorch(9, learning_rate_init=0.05, alpha=0, **SHORT),
    "mlp-sgd": MLPClassifierTorch(9, solver="sgd", alpha=0, batch_size=20, **SHORT),
    "mlp-lbfgs": MLPClassifierTorch(9, solver="lbfgs", alpha=0, **SHORT),
    "conv": ConvNetClassifier(2, learning_rate_init=0.05, alpha=0, **SHORT),
    "conv-lbfgs": ConvNetClassifier(2, solver="lbfgs", alpha=0, **SHORT),
    "templates": TemplateMatchingClassifier(),
}


@pytest.mark.parametrize("scale", [1e-290, 1e-42, 1e42, 1e290])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", WITHOUT_PENALTY)
def test_weights_of_any_size_count_by_their_ratios(name, dtype, scale, weighted):
    X, y, weight, _, _ = weighted
    X = X.astype(dtype)
    model = WITHOUT_PENALTY[name]
    expected = clone(model).fit(X, y, weight).predict_proba(X)
    given = {"X_val": X, "y_val": y, "sample_weight_val": scale * weight}
    given = given if hasattr(model, "solver") else {}
    found = clone(model).fit(X, y, scale * weight, **given).predict_proba(X)
    rtol = 1e-9 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol / 100)
    assert np.abs(clone(model).fit(X, y).predict_proba(X) - found).max() > 1e-3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True])
def test_an_automatic_alpha_is_that_of_any_total_weight(dtype, sparse, weighted):
    """1 / n, as in LogisticRegression: none, or so much that all weights are 0."""
    X, y, weight, _, _ = weighted
    X = X.astype(dtype)
    given = csr_array(X) if sparse else X
    shares = np.bincount(y, weight) / weight.sum()
    model = SoftmaxRegression(solver="lbfgs", tol=1e-6)
    # Of a loss that is rounded to eps, the minimum is known to the root of eps.
    known = 1e-6 + np.sqrt(np.finfo(dtype).eps)
    for scale in (1e-12, 1e-42, 1e-290):
        model.fit(given, y, scale * weight)  # does not warn
        found = model.predict_proba(X)
        np.testing.assert_allclose(found, np.tile(shares, (60, 1)), rtol=0, atol=known)
    unlike = clone(model).set_params(alpha=0, max_iter=25, tol=None)
    expected = unlike.fit(given, y, weight).predict_proba(X)
    model.set_params(max_iter=25, tol=None)
    for scale in (1e42, 1e290):
        proba = model.fit(given, y, scale * weight).predict_proba(X)
        np.testing.assert_allclose(proba, expected, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("Model", [MLPClassifierTorch, ConvNetClassifier])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_alpha_too_large_for_the_weights_is_named(Model, dtype, weighted):
    X, y, weight, _, _ = weighted
    model = Model(2, solver="sgd", learning_rate="constant", max_iter=3, random_state=0)
    message = r"(diverged|did not learn): .*weigh \S+e-42 on average, and .*scale sam"
    with pytest.warns(ConvergenceWarning, match=message):
        model.fit(X.astype(dtype), y, 1e-42 * weight)


def test_the_penalty_of_a_network_is_divided_by_the_weight(weighted):
    """Twice the weight has the effect of half the alpha."""
    X, y, weight, _, _ = weighted
    model = MLPClassifierTorch(9, learning_rate_init=0.05, alpha=2.0, **FULL_BATCH)
    found = clone(model).fit(X, y, 2.0 * weight).predict_proba(X)
    halved = clone(model).set_params(alpha=1.0).fit(X, y, weight).predict_proba(X)
    np.testing.assert_allclose(found, halved, rtol=1e-8)
    assert np.abs(found - model.fit(X, y, weight).predict_proba(X)).max() > 1e-3


@pytest.mark.slow
def test_minibatches_of_a_network_over_many_seeds(iris):
    """Weighted and repeated samples give probabilities of the same distribution.

    The Kolmogorov–Smirnov test, with Bonferroni's correction, finds no difference for
    any query, but does find one without weights. Twice the epochs make up for the
    smaller number of weighted samples.
    """
    X, y = iris[0][::2], iris[1][::2]
    weight = np.where(y == 0, 4, 1)
    rows = np.arange(len(X)).repeat(weight)
    queries = X[::13]
    settings = {"learning_rate_init": 0.03, "batch_size": 15, "tol": None}
    model = MLPClassifierTorch(8, solver="sgd", alpha=0, momentum=0.5, **settings)

    def over_seeds(max_iter, *given):
        """Probabilities of class 0 (seeds, queries)."""
        models = (
            clone(model).set_params(max_iter=max_iter, random_state=s)
            for s in range(25)
        )
        return np.array(
            [one.fit(*given).predict_proba(queries)[:, 0] for one in models]
        )

    repeated = over_seeds(8, X[rows], y[rows])
    for given, tells in (((X, y, weight), False), ((X, y), True)):
        # Twice the epochs take as many steps on half the samples.
        found = over_seeds(16, *given)
        values = [
            ks_2samp(a, b, method="asymp").pvalue
            for a, b in zip(found.T, repeated.T, strict=True)
        ]
        assert (min(values) < 0.01 / len(queries)) == tells, values
