"""Validation sets, passed to fit or set aside, and what is measured on them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import accuracy_score, get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdigits import ConvNetClassifier, MLPClassifierTorch, SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

MODELS = [SoftmaxRegression, MLPClassifierTorch]
SMALL_CONV = partial(ConvNetClassifier, 3, learning_rate="constant")
NAMES = ["softmax", "mlp", "conv"]
PLAIN = {
    "solver": "adam",
    "learning_rate_init": 0.03,
    "batch_size": 100,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def parts(digits):
    """Rows to learn from, few, and others."""
    X, y = digits
    return X[:300], X[1000:1400], y[:300], y[1000:1400]


def after(Model, n_epochs, X, y, **settings):
    return Model(**PLAIN, max_iter=n_epochs, tol=None, **settings).fit(X, y)


@pytest.mark.parametrize("Model", [*MODELS, SMALL_CONV], ids=NAMES)
def test_a_validation_set_is_measured_after_every_epoch(Model, parts):
    X, X_val, y, y_val = parts
    model = Model(**PLAIN, max_iter=4, tol=None).fit(X, y, X_val=X_val, y_val=y_val)
    epochs = [after(Model, n, X, y) for n in (1, 2, 3, 4)]
    losses = [log_loss(y_val, epoch.predict_proba(X_val)) for epoch in epochs]
    scores = [accuracy_score(y_val, epoch.predict(X_val)) for epoch in epochs]
    np.testing.assert_allclose(model.history_["validation_loss"], losses, rtol=1e-10)
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-12)
    assert model.best_validation_score_ == max(model.validation_scores_)
    # Nothing was learnt from it.
    np.testing.assert_array_equal(
        model.predict_proba(X_val), epochs[-1].predict_proba(X_val)
    )


@pytest.mark.parametrize("Model", [*MODELS, SMALL_CONV], ids=NAMES)
def test_partial_fit_measures_a_validation_set(Model, parts, rng):
    X, X_val, y, y_val = parts
    weight = rng.uniform(0.5, 2, len(y_val))
    given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight}
    model, plain = Model(**PLAIN), Model(**PLAIN)
    losses, scores = [], []
    for _ in range(3):
        model.partial_fit(X, y, classes=range(10), **given)
        plain.partial_fit(X, y, classes=range(10))
        proba = plain.predict_proba(X_val)
        losses.append(log_loss(y_val, proba, sample_weight=weight))
        scores.append(plain.score(X_val, y_val, weight))
    np.testing.assert_allclose(model.history_["validation_loss"], losses, rtol=1e-10)
    np.testing.assert_allclose(model.validation_scores_, scores, rtol=1e-12)
    assert model.best_validation_score_ == max(model.validation_scores_)
    # Nothing was learnt from it.
    np.testing.assert_array_equal(model.predict_proba(X_val), proba)


def test_calls_without_a_validation_set_have_no_score(parts):
    X, X_val, y, y_val = parts
    model = SoftmaxRegression(**PLAIN)
    for X_now, y_now in ((None, None), (X_val, y_val), (None, None)):
        model.partial_fit(X, y, classes=range(10), X_val=X_now, y_val=y_now)
    assert np.isnan(model.validation_scores_).tolist() == [True, False, True]
    assert np.isnan(model.history_["validation_loss"]).tolist() == [True, False, True]
    assert model.best_validation_score_ == model.validation_scores_[1]
    with pytest.raises(ValueError, match="X_val was passed without y_val"):
        model.partial_fit(X, y, X_val=X_val)
    assert len(model.history_) == 3


def test_every_night_a_warm_start_keeps_what_is_best(parts):
    """With a validation set that grows as well."""
    X, X_val, y, y_val = parts
    model = MLPClassifierTorch(
        8, **PLAIN | {"n_iter_no_change": 3}, warm_start=True, early_stopping=True
    )
    for n in (100, 200, 300):
        now = {"X_val": X_val[:n], "y_val": y_val[:n]}
        before = model.score(X_val[:n], y_val[:n]) if n > 100 else 0.0
        model.fit(X[:n], y[:n], **now)
        latest = model.validation_scores_[-model.n_iter_ :]
        after = model.score(X_val[:n], y_val[:n])
        np.testing.assert_allclose(after, max(before, *latest), rtol=1e-12)
    assert after > 0.7


def test_partial_fit_names_two_ways_to_stop(iris):
    model = SoftmaxRegression(early_stopping=True)
    with pytest.raises(ValueError, match=r"warm_start=True.* X_val and y_val"):
        model.partial_fit(*iris, classes=range(3))


@pytest.mark.parametrize("scoring", [None, "loss", "neg_brier_score", "f1_macro"])
@pytest.mark.parametrize("Model", MODELS)
def test_early_stopping_returns_to_the_best_epoch(Model, scoring, parts):
    X, X_val, y, y_val = parts
    settings = PLAIN | {"learning_rate_init": 0.1, "n_iter_no_change": 3, "tol": 0}
    model = Model(**settings, max_iter=100, early_stopping=True, scoring=scoring)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    history = model.history_
    merit = (
        -history["validation_loss"]
        if scoring == "loss"
        else history["validation_score"]
    )
    best = int(np.argmax(merit)) + 1
    assert best < model.n_iter_ < 100
    again = Model(**settings | {"tol": None}, max_iter=best).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))
    name = "accuracy" if scoring in (None, "loss") else scoring
    expected = get_scorer(name)(again, X_val, y_val)
    assert history["validation_score"][best - 1] == pytest.approx(expected, rel=1e-9)


def mirrored(images, generator):
    return images.flip(3)


@pytest.mark.parametrize("Model", [*MODELS, SMALL_CONV], ids=NAMES)
def test_a_validation_set_is_not_distorted(Model, parts):
    """As if what is learnt from had been distorted beforehand."""
    X, X_val, y, y_val = parts
    flipped = X.reshape(-1, 8, 8)[:, :, ::-1].reshape(X.shape)
    settings = PLAIN | {"max_iter": 3, "tol": None, "early_stopping": True}
    model = Model(**settings, augment=mirrored).fit(X, y, X_val=X_val, y_val=y_val)
    expected = Model(**settings).fit(flipped, y, X_val=X_val, y_val=y_val)
    np.testing.assert_allclose(
        model.history_.drop(columns="seconds"),
        expected.history_.drop(columns="seconds"),
        rtol=1e-9,
    )
    np.testing.assert_allclose(
        model.predict_proba(X), expected.predict_proba(X), rtol=1e-8
    )
    plain = Model(**settings).fit(X, y, X_val=X_val, y_val=y_val)
    assert abs(plain.history_ - model.history_)["validation_loss"].min() > 0.01


@pytest.mark.parametrize("Model", [*MODELS, SMALL_CONV], ids=NAMES)
def test_the_part_set_aside_is_not_distorted(Model, parts):
    X, _, y, _ = parts
    losses = []

    def scorer(model, X_val, y_val):
        assert {row.tobytes() for row in X_val} <= {row.tobytes() for row in X}
        losses.append(log_loss(y_val, model.predict_proba(X_val)))
        return model.score(X_val, y_val)

    settings = PLAIN | {"max_iter": 3, "tol": None, "early_stopping": True}
    model = Model(**settings, augment=mirrored, scoring=scorer).fit(X, y)
    np.testing.assert_allclose(model.history_["validation_loss"], losses, rtol=1e-9)


def test_the_part_set_aside_is_scored_by_any_scorer(parts):
    X, _, y, _ = parts
    seen = []

    def scorer(estimator, X_val, y_val):
        seen.append((len(X_val), sorted(set(y_val))))
        return estimator.score(X_val, y_val)

    labels = np.array(list("abcdefghij"))[y]
    settings = PLAIN | {"early_stopping": True, "max_iter": 5, "tol": None}
    model = SoftmaxRegression(**settings, scoring=scorer).fit(X, labels)
    assert seen == [(30, list("abcdefghij"))] * 5
    plain = SoftmaxRegression(**settings).fit(X, labels)
    assert model.validation_scores_ == pytest.approx(
        plain.validation_scores_, rel=1e-12
    )
    np.testing.assert_array_equal(model.coef_, plain.coef_)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
def test_weights_of_a_validation_set_are_repetitions(scoring, parts):
    X, X_val, y, y_val = parts
    times = np.arange(len(y_val)) % 3
    model = SoftmaxRegression(**PLAIN, max_iter=3, tol=None, scoring=scoring)
    model.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=times)
    weighted = model.history_.drop(columns="seconds")
    model.fit(X, y, X_val=X_val.repeat(times, 0), y_val=y_val.repeat(times))
    repeated = model.history_.drop(columns="seconds")
    np.testing.assert_allclose(weighted, repeated, rtol=1e-10)


def test_lbfgs_measures_by_it_and_no_more(parts):
    X, X_val, y, y_val = parts
    model = SoftmaxRegression(solver="lbfgs", max_iter=20, tol=None)
    expected = model.fit(X, y).predict_proba(X_val)
    model.set_params(early_stopping=True).fit(X, y, X_val=X_val, y_val=y_val)
    np.testing.assert_array_equal(model.predict_proba(X_val), expected)
    last = model.history_.iloc[-1]
    assert last["validation_loss"] == pytest.approx(
        log_loss(y_val, expected), rel=1e-10
    )
    assert last["validation_score"] == model.score(X_val, y_val)


def test_it_goes_through_a_pipeline_and_a_search(parts):
    X, X_val, y, y_val = parts
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifierTorch(
            8, **PLAIN, max_iter=40, n_iter_no_change=2, early_stopping=True
        ).set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline(
            [("scale", StandardScaler()), ("model", model)], transform_input=["X_val"]
        )
        pipeline.fit(X, y, X_val=X_val, y_val=y_val)
        scaler = StandardScaler().fit(X)
        alone = MLPClassifierTorch(**model.get_params()).fit(
            scaler.transform(X), y, X_val=scaler.transform(X_val), y_val=y_val
        )
        np.testing.assert_array_equal(
            pipeline.predict_proba(X), alone.predict_proba(scaler.transform(X))
        )
        for estimator, name in ((pipeline, "model__alpha"), (model, "alpha")):
            grid = {name: [1e-4, 1.0]}
            ours = BatchedGridSearchCV(estimator, grid, cv=3).fit(
                X, y, X_val=X_val, y_val=y_val
            )
            theirs = GridSearchCV(estimator, grid, cv=3).fit(
                X, y, X_val=X_val, y_val=y_val
            )
            np.testing.assert_array_equal(
                ours.cv_results_["mean_test_score"],
                theirs.cv_results_["mean_test_score"],
            )
            assert ours.best_params_ == theirs.best_params_


def test_early_stopping_by_a_scorer_in_a_search_is_that_of_each_fit(parts):
    X, _, y, _ = parts
    model = SoftmaxRegression(**PLAIN, max_iter=6, tol=None, early_stopping=True)
    for scoring, batched in (("loss", True), ("neg_log_loss", False)):
        model.set_params(scoring=scoring)
        search = BatchedGridSearchCV(model, {"alpha": [0, 0.1]}, cv=3).fit(X, y)
        expected = GridSearchCV(model, {"alpha": [0, 0.1]}, cv=3).fit(X, y)
        assert search.batched_.tolist() == [batched] * 2
        np.testing.assert_array_equal(
            search.cv_results_["mean_test_score"],
            expected.cv_results_["mean_test_score"],
        )


def test_a_diverging_model_has_no_score(parts):
    X, X_val, y, y_val = parts
    model = SoftmaxRegression(
        loss="softmax_mse",
        learning_rate_init=1e38,
        momentum=0,
        alpha=1e38,
        scoring="f1_macro",
    )
    with pytest.warns(match="diverged"):
        model.fit(X.astype("f"), y, X_val=X_val.astype("f"), y_val=y_val)
    assert np.isnan(model.history_["validation_score"].iloc[-1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": 0}, "X_val was passed without y_val"),
        ({"y_val": 0}, "y_val was passed without X_val"),
        ({"sample_weight_val": 0}, "sample_weight_val was passed without X_val"),
    ],
)
def test_both_parts_are_needed(given, message, iris):
    X, y = iris
    with pytest.raises(ValueError, match=message):
        SoftmaxRegression().fit(X, y, **dict.fromkeys(given, X))


@pytest.mark.parametrize(
    ("X_val", "y_val", "weight", "message"),
    [
        (
            np.ones((3, 3)),
            [0, 1, 2],
            None,
            "X has 3 features, but SoftmaxRegression is",
        ),
        (np.ones((3, 4)), [0, 1, 9], None, r"not among the classes: \[9\]"),
        (np.full((3, 4), np.nan), [0, 1, 2], None, "contains NaN"),
        (np.ones((3, 4)), [0, 1], None, "inconsistent numbers of samples"),
        (np.ones((3, 4)), [0, 1, 2], [1, -1, 1], "Negative values"),
    ],
)
def test_bad_validation_sets_are_told_apart_from_x(X_val, y_val, weight, message, iris):
    model = SoftmaxRegression(max_iter=2, tol=None)
    with pytest.raises(
        ValueError, match=r"The validation set \(X_val, y_val\): .*" + message
    ):
        model.fit(*iris, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert not hasattr(model, "coef_")


def test_an_unknown_scorer_is_an_error_whether_needed_or_not(iris):
    with pytest.raises(ValueError, match="'accurate' is not a valid scoring value"):
        SoftmaxRegression(scoring="accurate").fit(*iris)


def test_scorers_that_take_no_weights_are_given_none(parts):
    X, _, y, _ = parts
    settings = PLAIN | {"early_stopping": True, "max_iter": 2, "tol": None}
    for scoring in (lambda model, X, y: model.score(X, y), "adjusted_rand_score"):
        model = SoftmaxRegression(**settings, scoring=scoring, class_weight="balanced")
        assert 0 < model.fit(X, y).best_validation_score_ < 1


def test_feature_names_are_no_trouble(parts):
    X, X_val, y, y_val = parts
    names = [f"pixel {i}" for i in range(64)]
    model = SoftmaxRegression(**PLAIN, max_iter=2, tol=None, scoring="f1_macro")
    model.fit(
        pd.DataFrame(X, columns=names),
        y,
        X_val=pd.DataFrame(X_val, columns=names),
        y_val=y_val,
    )
    assert model.feature_names_in_.tolist() == names
    plain = clone(model).fit(X, y, X_val=X_val, y_val=y_val)
    assert model.validation_scores_ == plain.validation_scores_


def test_a_score_that_is_no_number_is_an_error(iris):
    X, y = iris
    model = SoftmaxRegression(scoring="roc_auc", max_iter=2)
    with (
        pytest.warns(match="Only one class is present"),
        pytest.raises(
            ValueError, match="scoring='roc_auc' gave nan on the validation samples"
        ),
    ):
        model.fit(X[:100], y[:100], X_val=X[:5], y_val=y[:5])
    assert not hasattr(model, "coef_")


def test_an_overflowing_model_has_diverged_whoever_scores_it(digits):
    X, y = digits[0].astype("f"), digits[1]
    settings = PLAIN | {"batch_size": 1000, "learning_rate_init": 1e9, "max_iter": 5}
    for scoring in (None, "f1_macro"):
        model = MLPClassifierTorch(
            (10, 10), **settings, tol=None, early_stopping=True, scoring=scoring
        )
        with pytest.warns(match="diverged: .* that of its best epoch"):
            model.fit(X, y)
        assert np.isfinite(model.predict_proba(X)).all()


def test_a_scorer_that_fails_is_named(digits):
    X, y = digits
    few = y < 5
    model = SoftmaxRegression(max_iter=2, tol=None, scoring="neg_log_loss")
    with pytest.raises(
        ValueError, match="scoring='neg_log_loss' failed on the validation samples"
    ):
        model.fit(X, y, X_val=X[few], y_val=y[few])


def test_an_error_of_a_kind_of_its_own_is_named_as_well(iris):
    def scorer(model, X, y):
        return b"\xff".decode("utf-8")

    model = SoftmaxRegression(max_iter=2, tol=None, scoring=scorer)
    with pytest.raises(
        ValueError, match="failed on the validation samples: 'utf-8' codec can't"
    ):
        model.fit(*iris, X_val=iris[0], y_val=iris[1])


@pytest.mark.parametrize("scaler", [StandardScaler(), PCA(20, whiten=True)])
@pytest.mark.parametrize("scale", [1, 16])
def test_a_validation_set_that_missed_the_pipeline_is_noticed(scaler, scale, digits):
    """It is passed by the name of the step; the cure is that of the message."""
    X, y = digits[0] * scale, digits[1]
    model = SoftmaxRegression(**PLAIN, max_iter=2, tol=None)
    pipeline = Pipeline([("scale", scaler), ("model", model)])
    given = {"X_val": X[1200:], "y_val": y[1200:]}
    message = "X_val.*Pipeline.*set_fit_request.*transform_input=..X_val..."
    by_name = {f"model__{key}": given[key] for key in given}
    # Another number of features is an error, another scale a warning.
    with pytest.raises((UserWarning, ValueError), match=f"(?s){message}"):
        pipeline.fit(X[:1200], y[:1200], **by_name)

    with sklearn.config_context(enable_metadata_routing=True):
        model.set_fit_request(X_val=True, y_val=True)
        pipeline.set_params(transform_input=["X_val"])
        pipeline.fit(X[:1200], y[:1200], **given)  # does not warn
    scores = model.history_["validation_score"]
    assert scores.iloc[-1] == pipeline.score(X[1200:], y[1200:]) > 0.3


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_a_validation_set_on_another_scale_is_noticed(load):
    X, y = load(return_X_y=True)
    train, val = train_test_split(
        np.arange(len(y)), test_size=0.3, stratify=y, random_state=0
    )
    scaled = StandardScaler().fit(X[train]).transform(X)
    model = SoftmaxRegression(1e-4, max_iter=1, tol=None)
    with pytest.warns(UserWarning, match="X_val is on another scale than X. It lies"):
        model.fit(scaled[train], y[train], X_val=X[val], y_val=y[val])
    model.fit(scaled[train], y[train], X_val=scaled[val], y_val=y[val])
    # Ten samples, and those of a class, are no other scale.
    for some in (val[:10], *(val[y[val] == label] for label in np.unique(y))):
        model.fit(scaled[train], y[train], X_val=scaled[some], y_val=y[some])
    assert np.isfinite(model.history_["validation_loss"]).all()


def test_a_class_too_small_to_set_part_of_it_aside_is_named(digits):
    names = np.array([*"ABCDEFGHIJ", "rare"])[np.append(digits[1][:100], 10)]
    with pytest.raises(
        ValueError, match=r"cannot be done\. .*few members are: \['rare'\]"
    ):
        SoftmaxRegression(early_stopping=True).fit(digits[0][:101], names)


def test_words_in_a_validation_set_lead_to_transform_input(rng):
    table = rng.choice(list("abc"), (60, 1))
    y = table[:, 0] == "a"
    pipeline = make_pipeline(OneHotEncoder(), MLPClassifierTorch(4, max_iter=2))
    with pytest.raises(ValueError, match=r"X_val has columns .*transform_input"):
        pipeline.fit(
            table, y, mlpclassifiertorch__X_val=table, mlpclassifiertorch__y_val=y
        )
