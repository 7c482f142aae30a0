"""Class weights."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

MODELS = [
    SoftmaxRegression(batch_size=50, max_iter=5, tol=None, random_state=0),
    MLPClassifierTorch(8, batch_size=50, max_iter=5, tol=None, random_state=0),
    ConvNetClassifier(2, batch_size=50, max_iter=3, random_state=0),
]
models = pytest.mark.parametrize("model", MODELS, ids=["softmax", "mlp", "conv"])
WEIGHTS = [None, "balanced", {0: 5, 1: 0.5, 2: 2}]


@pytest.fixture(scope="module")
def skewed(digits):
    """Return 20, 60 and 120 samples of three classes, and sample weights."""
    X, y = digits
    rows = np.concatenate(
        [np.flatnonzero(y == c)[:n] for c, n in enumerate((20, 60, 120))]
    )
    weight = np.random.default_rng(0).uniform(0, 2, len(rows))
    weight[::7] = 0
    return X[rows], y[rows], weight


@models
@pytest.mark.parametrize("class_weight", WEIGHTS[1:], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_weight_is_a_weight_of_its_rows(model, class_weight, weighted, skewed):
    X, y, weight = skewed
    own = weight if weighted else None
    if class_weight == "balanced" and weighted:
        totals = np.bincount(y, weight)
        expected = weight * (weight.sum() / (3 * totals))[y]
    else:
        expected = compute_sample_weight(class_weight, y) * (weight if weighted else 1)
    found = model.set_params(class_weight=class_weight).fit(X, y, own).predict_proba(X)
    reference = model.set_params(class_weight=None).fit(X, y, expected).predict_proba(X)
    np.testing.assert_allclose(found, reference, rtol=1e-8)
    assert abs(found - model.fit(X, y, own).predict_proba(X)).max() > 1e-3


@pytest.mark.parametrize("class_weight", WEIGHTS, ids=str)
def test_logistic_regression_weighs_classes_alike(class_weight, skewed):
    X, y, _ = skewed
    total = (
        compute_sample_weight(class_weight, y) if class_weight else np.ones(len(y))
    ).sum()
    ours = SoftmaxRegression(
        solver="lbfgs", alpha=0.01, tol=1e-8, max_iter=1000, class_weight=class_weight
    ).fit(X, y)
    theirs = LogisticRegression(
        C=1 / (0.01 * total), tol=1e-8, max_iter=1000, class_weight=class_weight
    ).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-3, atol=1e-5)


def test_a_class_of_weight_zero_is_known_and_never_predicted(skewed):
    X, y, _ = skewed
    labels = np.array(["a", "b", "c"])[y]
    model = SoftmaxRegression(solver="lbfgs", class_weight={"a": 1, "b": 1, "c": 0})
    model.fit(X, labels)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert set(model.predict(X)) == {"a", "b"}
    without = SoftmaxRegression(solver="lbfgs").fit(X[y < 2], labels[y < 2])
    assert (model.predict(X[y < 2]) == without.predict(X[y < 2])).all()


@pytest.mark.parametrize("class_weight", WEIGHTS[1:], ids=str)
def test_each_fold_of_a_search_is_balanced_by_itself(class_weight, skewed):
    X, y, weight = skewed
    model = MODELS[0].set_params(class_weight=class_weight)
    grid = {"learning_rate_init": [0.001, 0.1]}
    ours = BatchedGridSearchCV(model, grid, cv=3, scoring="neg_log_loss")
    theirs = GridSearchCV(model, grid, cv=3, scoring="neg_log_loss")
    for own in (None, weight):
        found = ours.fit(X, y, sample_weight=own).cv_results_["mean_test_score"]
        expected = theirs.fit(X, y, sample_weight=own).cv_results_["mean_test_score"]
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        assert ours.batched_.all()
    model.set_params(class_weight=None)


def test_searches_over_class_weights(skewed):
    X, y, _ = skewed
    grid = {"class_weight": WEIGHTS, "learning_rate_init": [0.001, 0.1]}
    ours = BatchedGridSearchCV(MODELS[0], grid, cv=3, scoring="neg_log_loss").fit(X, y)
    theirs = GridSearchCV(MODELS[0], grid, cv=3, scoring="neg_log_loss").fit(X, y)
    expected = theirs.cv_results_["mean_test_score"]
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], expected, rtol=1e-8)
    assert len(np.unique(expected.round(6))) == 6


def test_an_increment_takes_given_weights_but_cannot_balance(skewed):
    X, y, _ = skewed
    model = SoftmaxRegression(
        batch_size=50, random_state=0, class_weight={0: 5, 1: 1, 2: 1}
    )
    found = model.partial_fit(X, y, classes=[0, 1, 2]).coef_
    plain = SoftmaxRegression(batch_size=50, random_state=0)
    plain.partial_fit(X, y, [0, 1, 2], sample_weight=np.where(y == 0, 5.0, 1.0))
    np.testing.assert_allclose(found, plain.coef_, rtol=1e-10)
    with pytest.raises(
        ValueError, match="class_weight='balanced' needs all samples at once"
    ):
        model.set_params(class_weight="balanced").partial_fit(X, y)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("even", "'class_weight' parameter of SoftmaxRegression must be"),
        ({0: 1, 1: 1, 7: 1}, "classes, .2., are not in class_weight"),
        ({0: 1, 1: 1, 2: -1}, "has negative weights"),
        (
            {0: 0, 1: 0, 2: 0},
            "sample_weight times class_weight is zero for all samples",
        ),
    ],
)
def test_bad_class_weights(class_weight, message, skewed):
    X, y, _ = skewed
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression(class_weight=class_weight).fit(X, y)


def test_words_that_look_like_numbers_are_words(skewed):
    X, y, _ = skewed
    model = SoftmaxRegression(batch_size=50, max_iter=3, tol=None, random_state=0)
    by_number = model.set_params(class_weight={0: 5}).fit(X, y).predict_proba(X)
    by_word = (
        model.set_params(class_weight={"0": 5}).fit(X, y.astype(str)).predict_proba(X)
    )
    np.testing.assert_array_equal(by_word, by_number)
