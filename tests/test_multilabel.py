"""Two classes with one output, and multilabel targets, as in MLPClassifier."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

ONE_BATCH = {
    "hidden_layer_sizes": (9,),
    "batch_size": 150,
    "max_iter": 20,
    "random_state": 0,
}
SETTINGS = [
    {"solver": "lbfgs", "batch_size": "auto"},
    {"solver": "adam", "learning_rate_init": 0.01, "shuffle": False},
    {
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "activation": "logistic",
        "shuffle": False,
    },
]
CONV = ConvNetClassifier(3, image_shape=(4, 5), max_iter=3, random_state=0)
everyone = pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s["solver"])
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def labelled():
    """Return 150 samples with up to four labels each, some with none."""
    X, Y = make_multilabel_classification(150, n_classes=4, random_state=0)
    return (X - X.mean(0)) / X.std(0), Y


def assert_same(ours, theirs, X):
    for name in ("coefs_", "intercepts_"):
        for found, expected in zip(
            getattr(ours, name), getattr(theirs, name), strict=True
        ):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    for name in ("out_activation_", "n_outputs_", "n_layers_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6
    )


@everyone
def test_labels_are_learnt_as_by_mlpclassifier(settings, labelled):
    X, Y = labelled
    settings = ONE_BATCH | settings
    theirs = MLPClassifier(**settings).fit(X, Y)
    ours = MLPClassifierTorch(**settings).fit(X, Y)
    assert_same(ours, theirs, X)
    assert ours.score(X, Y) == theirs.score(X, Y) == accuracy_score(Y, ours.predict(X))
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_allclose(
        np.exp(ours.predict_log_proba(X)), ours.predict_proba(X), rtol=1e-12
    )
    assert ((ours.decision_function(X) > 0) == ours.predict(X)).all()


@everyone
def test_two_classes_have_one_output_as_in_mlpclassifier(settings, labelled):
    X, Y = labelled
    y = np.array(["no", "yes"])[Y[:, 0]]
    settings = ONE_BATCH | settings
    theirs = MLPClassifier(**settings).fit(X, y)
    ours = MLPClassifierTorch(**settings).fit(X, y)
    assert_same(ours, theirs, X)
    assert ours.coefs_[-1].shape == (9, 1)
    log_odds = np.log(ours.predict_proba(X)[:, 1] / ours.predict_proba(X)[:, 0])
    np.testing.assert_allclose(
        ours.decision_function(X), log_odds, rtol=1e-6, atol=1e-9
    )


def test_other_losses_compare_two_classes_by_two_outputs(labelled):
    X, Y = labelled
    model = MLPClassifierTorch(**ONE_BATCH, loss="softmax_mse").fit(X, Y[:, 0])
    assert (model.n_outputs_, model.out_activation_) == (2, "softmax")
    with pytest.raises(
        ValueError, match="loss='softmax_mse' compares the classes of a sample"
    ):
        model.fit(X, Y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_mini_batches_weights_and_early_stopping(dtype, labelled):
    X, Y = labelled
    X = ((X - X.min()) / (X.max() - X.min()) * 255).astype(dtype)
    X = X if dtype == np.uint8 else X / 255
    model = MLPClassifierTorch(
        20, solver="adam", learning_rate_init=0.03, batch_size=16, max_iter=60,
        tol=None, random_state=0, early_stopping=True, label_smoothing=0.01,
        dropout=0.1,
    )  # fmt: skip
    model.fit(X, Y, np.arange(150) % 3)
    majority = (Y.mean(0) > 0.5) == Y
    assert (model.predict(X) == Y).mean() > majority.mean() + 0.1
    assert model.predict_proba(X).dtype == (np.float32 if dtype == np.uint8 else dtype)
    assert len(model.validation_scores_) == 60


@pytest.mark.parametrize("Model", [MLPClassifierTorch, ConvNetClassifier])
def test_integer_weights_are_repetitions(Model, labelled):
    X, Y = labelled
    times = np.arange(150) % 3
    model = Model(5, solver="lbfgs", max_iter=30, random_state=0)
    if Model is ConvNetClassifier:
        model.set_params(image_shape=(4, 5), tol=None, max_iter=3)
    weighted = clone(model).fit(X, Y, times).predict_proba(X)
    repeated = clone(model).fit(X.repeat(times, 0), Y.repeat(times, 0)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-6)


@pytest.mark.parametrize(
    "form", [csr_array, lambda Y: Y.astype(float), lambda Y: Y > 0, list]
)
def test_indicators_come_in_many_forms(form, labelled):
    X, Y = labelled
    model = MLPClassifierTorch(**ONE_BATCH)
    expected = clone(model).fit(X, Y).predict(X)
    found = clone(model).fit(X, form(Y)).predict(X)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == "i"


@pytest.mark.parametrize(
    "model",
    [
        MLPClassifierTorch(8, max_iter=3, tol=None, batch_size=50, random_state=0),
        clone(CONV).set_params(augment="affine", dropout=0.2),
    ],
    ids=["mlp", "conv"],
)
def test_partial_fits_are_the_epochs_of_a_fit(model, labelled):
    X, Y = labelled
    bit_by_bit = clone(model)
    for _ in range(3):
        bit_by_bit.partial_fit(X, Y, classes=np.arange(4))
    np.testing.assert_array_equal(
        bit_by_bit.predict_proba(X), model.fit(X, Y).predict_proba(X)
    )
    with pytest.raises(
        ValueError, match="y has 3 columns, one for each label, but the model has 4"
    ):
        bit_by_bit.partial_fit(X, Y[:, :3])


def test_a_model_goes_on_with_targets_of_its_kind(labelled):
    X, Y = labelled
    model = MLPClassifierTorch(8, max_iter=2, tol=None, warm_start=True).fit(X, Y)
    with pytest.raises(
        ValueError, match="fitted to labels, of which a sample may have several"
    ):
        model.fit(X, Y.sum(1) % 4)


def test_searches_take_labels(labelled):
    X, Y = labelled
    model = MLPClassifierTorch(**ONE_BATCH | {"batch_size": "auto"})
    grid = {"alpha": [0, 1]}
    ours = BatchedGridSearchCV(model, grid, cv=3).fit(X, Y)
    theirs = GridSearchCV(model, grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"]
    )
    assert np.isfinite(cross_val_score(model, X, Y, cv=3)).all()


def test_what_is_no_indicator_is_refused(labelled):
    X, Y = labelled
    with pytest.raises(ValueError, match="several classes per sample"):
        MLPClassifierTorch().fit(X, Y + np.arange(150)[:, None] % 3)
    with pytest.raises(ValueError, match=r"but values \[1, 2\]: pass 1 for a label"):
        MLPClassifierTorch().fit(X, Y + 1)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        SoftmaxRegression().fit(X, Y)
    with pytest.raises(ValueError, match="but y is multilabel: pass sample_weight"):
        MLPClassifierTorch(class_weight="balanced").fit(X, Y)


def test_a_convolutional_network_learns_labels_and_two_classes(labelled):
    """It beats guessing, with the outputs that MLPClassifier has."""
    X, Y = labelled
    model = clone(CONV).set_params(max_iter=20, learning_rate_init=0.03)
    for y, n_outputs in ((Y, 4), (Y[:, 0], 1)):
        theirs = MLPClassifier(4, max_iter=1, random_state=0).fit(X, y)
        fitted = clone(model).fit(X, y)
        assert fitted.n_outputs_ == theirs.n_outputs_ == n_outputs
        assert fitted.out_activation_ == theirs.out_activation_ == "logistic"
        assert fitted.predict_proba(X).shape == theirs.predict_proba(X).shape
        assert fitted.predict(X).dtype == theirs.predict(X).dtype
        guessed = np.maximum(y.mean(0), 1 - y.mean(0)).mean()
        assert (fitted.predict(X) == y).mean() > guessed + 0.05


def test_guessing_many_labels_is_not_taken_for_failing(rng):
    X, Y = rng.normal(size=(200, 5)), rng.integers(2, size=(200, 300))
    model = MLPClassifierTorch(
        4, max_iter=30, tol=1e3, n_iter_no_change=2, random_state=0
    )
    assert model.fit(X, Y).loss_ == pytest.approx(300 * np.log(2), rel=0.05)
