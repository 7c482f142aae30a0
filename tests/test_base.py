"""The behaviour that all estimators share: labels, edge cases, state, side effects."""

import pickle
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)
from skdigits.augmentation import RandomElastic

QUICK = {"max_iter": 20, "tol": None, "random_state": 0}
ESTIMATORS = [
    TemplateMatchingClassifier(),
    TemplateMatchingClassifier("mae", n_templates=2, random_state=0),
    TemplateMatchingClassifier("cosine"),
    SoftmaxRegression(0.1, **QUICK),
    SoftmaxRegression(0.1, loss="softmax_mse", solver="adamw", **QUICK),
    SoftmaxRegression(loss="sigmoid_mse", solver="lbfgs", random_state=0, tol=1e-2),
    MLPClassifierTorch(20, learning_rate_init=0.01, dropout=0.2, **QUICK),
    MLPClassifierTorch(
        20, learning_rate_init=0.3, solver="sgd", loss="sigmoid_mse", **QUICK
    ),
]
TRAINED = [estimator for estimator in ESTIMATORS if hasattr(estimator, "max_iter")]

CONV = ConvNetClassifier(4, learning_rate_init=0.05, **QUICK | {"max_iter": 3})
DISTORTING = [
    SoftmaxRegression(0.1, augment="shift", image_shape=(2, 2), **QUICK),
    MLPClassifierTorch(
        20, learning_rate_init=0.01, dropout=0.2, augment="affine", **QUICK
    ),
    clone(CONV).set_params(dropout=0.2, augment=RandomElastic(alpha=10)),
]

each = pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
each_and_conv = pytest.mark.parametrize("estimator", [*ESTIMATORS, CONV], ids=str)


def assert_probabilities(proba):
    assert np.isfinite(proba).all()
    assert (proba >= 0).all()
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-5)


@each_and_conv
@pytest.mark.filterwarnings("ignore:y has one class only, 'only'")
@pytest.mark.parametrize(
    "labels",
    [
        ["zero", "one", "two"],
        [-5, 100, 7],
        [0.0, 1.0, 2.0],
        [True, False],
        np.array(["b", "a"], dtype=object),
        ["only"],
    ],
    ids=str,
)
def test_labels_of_any_kind(estimator, labels, iris):
    X, y = iris
    keep = y < len(labels)
    X, y = X[keep], np.asarray(labels)[y[keep]]
    model = clone(estimator).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    assert (predicted == y).mean() > 0.5
    assert_probabilities(model.predict_proba(X))
    n = len(labels)
    assert model.decision_function(X).shape == ((len(X),) if n == 2 else (len(X), n))


@each_and_conv
def test_numbering_of_the_labels_makes_no_difference(estimator, iris):
    X, y = iris
    gaps = np.array([3, 11, 40])[y]
    found = clone(estimator).fit(X, gaps).predict_proba(X)
    np.testing.assert_array_equal(found, clone(estimator).fit(X, y).predict_proba(X))


@each_and_conv
@pytest.mark.filterwarnings("ignore:y has one class only, 0")
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_few_rows_of_one_feature(estimator, rows):
    X, y = np.arange(float(rows))[:, None], np.arange(rows) % 2
    model = clone(estimator).fit(X, y)
    assert_probabilities(model.predict_proba(X))
    assert_probabilities(model.predict_proba([[1e3], [-1e3]]))
    assert set(model.predict(X)) <= set(y)


@each
def test_constant_features(estimator, iris):
    X, y = iris
    for constant in (np.zeros((len(X), 3)), np.ones((len(X), 3))):
        wide = np.hstack([X, constant])
        model = clone(estimator).fit(wide, y)
        assert_probabilities(model.predict_proba(wide))
        assert model.score(wide, y) > 0.5
    assert_probabilities(clone(estimator).fit(constant, y).predict_proba(constant))


@each_and_conv
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_far_out(estimator, dtype, iris):
    """Samples far outside the range of the training samples."""
    X, y = (array.astype(t) for array, t in zip(iris, (dtype, int), strict=True))
    model = clone(estimator).fit(X, y)
    for scale in (1e4, -1e4, 1e8):
        assert_probabilities(model.predict_proba(X * dtype(scale)))
        assert np.isfinite(model.predict_log_proba(X * dtype(scale))).all()
        assert model.predict_proba(X).dtype == dtype


def test_logits_of_ten_thousand_are_sure_and_finite():
    model = SoftmaxRegression(**QUICK).fit(np.eye(3), [0, 1, 2])
    model.coef_ = np.diag([1e4, 1e4, 1e4])
    model.intercept_ = np.zeros(3)
    np.testing.assert_array_equal(model.predict_proba(np.eye(3)).round(12), np.eye(3))
    assert np.isfinite(model.predict_log_proba(-np.eye(3))).all()


@pytest.mark.parametrize("estimator", TRAINED, ids=str)
def test_a_rate_far_too_high_is_warned_of_or_harmless(estimator, iris):
    X, y = iris
    for rate in (1e3, 1e30, 1e300):
        model = clone(estimator).set_params(learning_rate_init=rate)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        cured = any("Lower learning_rate_init" in str(w.message) for w in caught)
        assert cured or np.isfinite(model.loss_)
        assert_probabilities(model.predict_proba(X))


def test_logits_that_overflow_are_an_error(iris):
    X, y = iris
    model = SoftmaxRegression(0.1, **QUICK).fit(X.astype(np.float32), y)
    model.coef_ *= np.float32(1e20)
    for method in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(
            ValueError, match=r"overflow torch.float32 .* Bring X to the scale"
        ):
            method((X * 1e20).astype(np.float32))


@each_and_conv
def test_a_failed_refit_leaves_the_model_as_it_was(estimator, digits):
    X, y = digits
    model = clone(estimator).fit(X, y)
    expected = model.predict_proba(X)
    before = set(vars(model))
    for bad in ((X[:, :7], y[:-1]), (X[:, :7], np.where(y, np.nan, 0.0))):
        with pytest.raises(ValueError, match=r"inconsistent numbers|contains NaN"):
            model.fit(*bad)
    with pytest.raises(ValueError, match="Negative values"):
        model.fit(X[:, :7], y, -np.ones(len(y)))
    with pytest.raises(ValueError, match="torch finds"):
        model.set_params(device="cuda:77").fit(X[:, :7], y)
    model.set_params(device="auto")
    assert set(vars(model)) == before
    np.testing.assert_array_equal(model.predict_proba(X), expected)


@each_and_conv
def test_a_default_device_of_torch_changes_nothing(estimator, digits):
    X, y = digits
    expected = clone(estimator).set_params(device="cpu").fit(X, y).predict_proba(X)
    torch.set_default_device("meta")
    try:
        model = clone(estimator).set_params(device="cpu").fit(X, y)
        found = model.predict_proba(X)
    finally:
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, expected)


@each_and_conv
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", "f8"), (">f4", "f8"), ("g", "f8"), ("i4", "f8"), ("?", "f8"), ("f4", "f4")],
)
def test_what_is_neither_float32_nor_pixels_is_float64(
    estimator, dtype, expected, iris
):
    X = iris[0].astype(dtype)
    model = clone(estimator).fit(X, iris[1])
    assert model._fitted_array.dtype == expected
    assert model.predict_proba(X).dtype == expected


@pytest.mark.parametrize("estimator", [*ESTIMATORS, CONV, *DISTORTING], ids=str)
def test_the_world_around_is_left_alone(estimator, iris):
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(2)
    random.seed(3)
    before = world()
    model = clone(estimator).fit(*iris)
    model.predict_proba(iris[0])
    after = world()
    for a, b in zip(before, after, strict=True):
        np.testing.assert_equal(a, b)


def world():
    return (
        np.random.get_state()[1:],  # noqa: NPY002
        torch.get_rng_state().numpy(),
        random.getstate(),
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        str(torch.get_default_dtype()),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        np.geterr(),
        [library["num_threads"] for library in threadpool_info()],
    )


@each
def test_the_same_seed_is_the_same_model(estimator, digits):
    X, y = digits
    first = clone(estimator).fit(X, y).predict_proba(X)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    np.testing.assert_array_equal(clone(estimator).fit(X, y).predict_proba(X), first)


@pytest.mark.parametrize("estimator", DISTORTING, ids=lambda e: type(e).__name__)
def test_distortions_are_those_of_the_seed(estimator, iris):
    X, y = iris
    model = clone(estimator).set_params(max_iter=2)
    first = clone(model).fit(X, y).predict_proba(X)
    np.random.seed(99)  # noqa: NPY002
    torch.manual_seed(99)
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), first)
    for other in ({"random_state": 1}, {"augment": None}):
        found = clone(model).set_params(**other).fit(X, y).predict_proba(X)
        assert np.abs(found - first).max() > 1e-3


def test_without_a_seed_models_differ(digits):
    X, y = digits
    for Model in (SoftmaxRegression, MLPClassifierTorch):
        model = Model(max_iter=1, tol=None)
        found = [model.fit(X, y).predict_proba(X[:5]) for _ in range(2)]
        assert np.abs(found[0] - found[1]).max() > 1e-6


def test_a_random_state_instance_moves_on(digits):
    state = np.random.RandomState(0)
    models = [
        SoftmaxRegression(max_iter=1, tol=None, random_state=state) for _ in range(2)
    ]
    first, second = (model.fit(*digits).coef_ for model in models)
    assert np.abs(first - second).max() > 1e-6


OTHERS = [
    (TemplateMatchingClassifier(), {"metric": "mae"}),
    (SoftmaxRegression(**QUICK), {"loss": "sigmoid_mse"}),
    (
        MLPClassifierTorch(9, **QUICK),
        {"activation": "tanh", "loss": "sigmoid_mse", "hidden_layer_sizes": (3, 4)},
    ),
    (
        ConvNetClassifier((4, 8), **QUICK),
        {
            "activation": "tanh",
            "channels": (3,),
            "image_shape": (4, 16),
            "precision": "float32",
        },
    ),
]


@pytest.mark.parametrize(("estimator", "others"), OTHERS)
def test_parameters_set_after_a_fit_wait_for_the_next(estimator, others, digits):
    X, y = digits
    model = clone(estimator).fit(X[:100], y[:100])
    expected = model.predict_proba(X)
    model.set_params(**others)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(model)).predict_proba(X), expected
    )
    assert not np.allclose(model.fit(X[:100], y[:100]).predict_proba(X), expected)


@each_and_conv
def test_pickles_predict_the_same(estimator, digits):
    X, y = digits
    model = clone(estimator).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert not any(isinstance(value, torch.Tensor) for value in vars(model).values())


@each_and_conv
def test_rows_one_by_one_are_those_of_the_whole(estimator, digits):
    X, y = digits
    model = clone(estimator).fit(X, y)
    one_by_one = np.vstack([model.predict_proba(row[None]) for row in X[:20]])
    np.testing.assert_allclose(one_by_one, model.predict_proba(X)[:20], rtol=1e-9)


@each
def test_pipeline_search_and_cross_validation(estimator, digits):
    X, y = digits
    pipeline = make_pipeline(StandardScaler(), clone(estimator))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.5
    name, values = ("temperature", [0.1, "auto"])
    if hasattr(estimator, "max_iter"):
        name, values = ("learning_rate_init", [1e-3, 1e-1])
    step = type(estimator).__name__.lower()
    search = GridSearchCV(pipeline, {f"{step}__{name}": values}, cv=3).fit(X, y)
    assert search.best_score_ > 0.5
    assert search.predict(X[:3]).shape == (3,)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_weights_of_any_size_with_rows_of_any_dtype(
    estimator, dtype, scale, digits, rng
):
    if hasattr(estimator, "alpha"):  # a penalty per row depends on the size of weights
        estimator = clone(estimator).set_params(alpha=0)
    X, y = digits[0][:200], digits[1][:200]
    X = (X * 255).astype(np.uint8) if dtype == np.uint8 else X.astype(dtype)
    weight = rng.uniform(0.1, 2, len(X))
    expected = clone(estimator).fit(X, y, weight).predict_proba(X)
    found = clone(estimator).fit(X, y, weight * scale).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(clone(estimator).fit(X, y).predict_proba(X) - expected).max() > 1e-4


@each_and_conv
def test_pandas_in(estimator, iris):
    X = pd.DataFrame(iris[0], columns=list("abcd"))
    y = pd.Series(np.array(["x", "y", "z"])[iris[1]])
    model = clone(estimator).fit(X, y)
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.score(X, y) > 0.5
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(X[list("dcba")])


@each_and_conv
def test_pixels_are_read_as_fractions(estimator, digits):
    X, y = digits
    pixels = (X * 255).astype(np.uint8)
    fractions = pixels.astype(np.float32) / np.float32(255)
    found = clone(estimator).fit(pixels, y).predict_proba(pixels)
    assert found.dtype == np.float32
    expected = clone(estimator).fit(fractions, y).predict_proba(fractions)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)
