"""scikit-learn's meta-estimators give the results that are computed here by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import mode
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    ParameterGrid,
    ParameterSampler,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdigits import (
    ConvNetClassifier,
    MLPClassifierTorch,
    SoftmaxRegression,
    TemplateMatchingClassifier,
)

QUICK = {"max_iter": 8, "tol": None, "batch_size": 40, "random_state": 0}
TEMPLATES = TemplateMatchingClassifier("cosine", random_state=0)
SOFTMAX = SoftmaxRegression(0.03, **QUICK)
MLP = MLPClassifierTorch(12, learning_rate_init=0.02, **QUICK)
CONV = ConvNetClassifier(3, learning_rate_init=0.05, **QUICK)
CV = StratifiedKFold(3)

each = pytest.mark.parametrize(
    "model", [TEMPLATES, SOFTMAX, MLP], ids=lambda m: type(m).__name__
)
each_and_conv = pytest.mark.parametrize(
    "model", [TEMPLATES, SOFTMAX, MLP, CONV], ids=lambda m: type(m).__name__
)
trained = pytest.mark.parametrize(
    "model", [SOFTMAX, MLP], ids=lambda m: type(m).__name__
)


@pytest.fixture(scope="module")
def few(digits):
    """Return X and y of 240 training digits and of 120 test digits."""
    X, y = digits
    return X[:240], y[:240], X[240:360], y[240:360]


@pytest.fixture(scope="module")
def two(few):
    """Return the same digits in two classes: 0 to 4 against 5 to 9."""
    X, y, queries, answers = few
    return X, y > 4, queries, answers > 4


def fitted(model, X, y, *weight, **parameters):
    return clone(model).set_params(**parameters).fit(X, y, *weight)


def scores_by_hand(model, X, y, **parameters):
    """Return the accuracy on each fold."""
    return [
        (
            fitted(model, X[train], y[train], **parameters).predict(X[test]) == y[test]
        ).mean()
        for train, test in CV.split(X, y)
    ]


def candidates_of(model):
    """Return candidates with different scores, the best of which is not the first."""
    if model is TEMPLATES:
        return {"metric": ["mae", "cosine", "mse"], "n_templates": [1, 2]}
    return {"learning_rate_init": [1e-5, 0.03, 1e-3]}


@each_and_conv
def test_pipeline(model, few):
    X, y, queries, _ = few
    mean, spread = X.mean(0), X.std(0)
    spread[spread == 0] = 1
    steps = [("scale", StandardScaler()), ("model", clone(model))]
    found = Pipeline(steps).fit(X, y)
    expected = fitted(model, (X - mean) / spread, y).predict_proba(
        (queries - mean) / spread
    )
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-8)
    assert np.abs(expected - fitted(model, X, y).predict_proba(queries)).max() > 0.01


@each
def test_column_transformer(model, few):
    """Scale some columns, pass others on and drop the rest, all by name."""
    X, y, queries, _ = few
    names = [f"pixel {column}" for column in range(64)]
    columns = ColumnTransformer(
        [
            ("half", StandardScaler(with_std=False), names[8:40]),
            ("as it is", "passthrough", names[:8]),
        ]
    ).set_output(transform="pandas")
    found = Pipeline([("columns", columns), ("model", clone(model))])
    found.fit(pd.DataFrame(X, columns=names), y)

    def by_hand(rows):
        return np.hstack([rows[:, 8:40] - X[:, 8:40].mean(0), rows[:, :8]])

    expected = fitted(model, by_hand(X), y).predict_proba(by_hand(queries))
    # Columns are found by name, in any order.
    backwards = pd.DataFrame(queries, columns=names)[names[::-1]]
    np.testing.assert_allclose(found.predict_proba(backwards), expected, rtol=1e-8)
    assert found[-1].feature_names_in_[0] == "half__pixel 8"


@each_and_conv
def test_cross_val_score(model, few):
    X, y, _, _ = few
    found = cross_val_score(model, X, y, cv=CV)
    np.testing.assert_array_equal(found, scores_by_hand(model, X, y))
    assert found.min() > 0.5


@each
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_val_predict(model, method, few):
    X, y, _, _ = few
    found = cross_val_predict(model, X, y, cv=CV, method=method)
    for train, test in CV.split(X, y):
        expected = getattr(fitted(model, X[train], y[train]), method)(X[test])
        np.testing.assert_array_equal(found[test], expected)


@each
@pytest.mark.parametrize("Search", [GridSearchCV, RandomizedSearchCV])
def test_searches(model, Search, few):
    X, y, queries, _ = few
    space, more = candidates_of(model), {}
    candidates = list(ParameterGrid(space))
    if Search is RandomizedSearchCV:
        more = {"n_iter": 2, "random_state": 1}
        candidates = list(ParameterSampler(space, 2, random_state=1))
    search = Search(model, space, cv=CV, **more).fit(X, y)
    scores = [
        np.mean(scores_by_hand(model, X, y, **candidate)) for candidate in candidates
    ]
    assert search.cv_results_["params"] == candidates
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], scores, rtol=1e-12
    )
    assert len(set(scores)) > 1
    assert search.best_params_ == candidates[np.argmax(scores)]
    best = fitted(model, X, y, **search.best_params_)
    np.testing.assert_array_equal(
        search.predict_proba(queries), best.predict_proba(queries)
    )


@trained
def test_halving_gives_more_epochs_to_better_candidates(model, few):
    """Four learning rates get 2 epochs, the better two get 4, the best gets 8."""
    X, y, queries, _ = few
    rates = [1e-5, 1e-4, 0.003, 0.02]
    search = HalvingGridSearchCV(
        model,
        {"learning_rate_init": rates},
        resource="max_iter",
        factor=2,
        min_resources=2,
        max_resources=8,
        cv=CV,
    ).fit(X, y)
    found = pd.DataFrame(search.cv_results_)
    left = rates
    for round_, epochs in enumerate((2, 4, 8)):
        scores = [
            np.mean(
                scores_by_hand(model, X, y, learning_rate_init=rate, max_iter=epochs)
            )
            for rate in left
        ]
        of_round = found[found["iter"] == round_].set_index("param_learning_rate_init")
        assert (of_round["n_resources"] == epochs).all()
        assert set(of_round.index) == set(left)
        np.testing.assert_allclose(
            of_round.loc[left, "mean_test_score"], scores, rtol=1e-12
        )
        left = [left[i] for i in np.argsort(scores)[-((len(left) + 1) // 2) :]]
    assert search.best_params_ == {"learning_rate_init": left[0], "max_iter": 8}
    assert search.best_estimator_.n_iter_ == 8
    best = fitted(model, X, y, **search.best_params_)
    np.testing.assert_array_equal(
        search.predict_proba(queries), best.predict_proba(queries)
    )


@each
def test_learning_curve(model, few):
    X, y, _, _ = few
    sizes, found_train, found_test = learning_curve(
        model, X, y, cv=CV, train_sizes=[40, 160]
    )
    assert sizes.tolist() == [40, 160]
    for fold, (train, test) in enumerate(CV.split(X, y)):
        for at, size in enumerate(sizes):
            rows = train[:size]
            expected = fitted(model, X[rows], y[rows])
            assert (
                found_train[at, fold] == (expected.predict(X[rows]) == y[rows]).mean()
            )
            assert found_test[at, fold] == (expected.predict(X[test]) == y[test]).mean()
    assert found_test[1].mean() > found_test[0].mean()


@each_and_conv
def test_learning_curve_by_partial_fits(model, few):
    X, y, _, _ = few
    sizes, _, found = learning_curve(
        model,
        X,
        y,
        cv=CV,
        train_sizes=[40, 100, 160],
        exploit_incremental_learning=True,
    )
    for fold, (train, test) in enumerate(CV.split(X, y)):
        expected = clone(model)
        for at, rows in enumerate(np.split(train, sizes)[: len(sizes)]):
            expected.partial_fit(X[rows], y[rows], classes=np.arange(10))
            assert found[at, fold] == (expected.predict(X[test]) == y[test]).mean()


def likeliest_beta(logits, codes, weight=None):
    """Return the factor of the logits under which the labels are most likely."""
    rows = np.arange(len(codes))

    def loss(log_beta):
        losses = -log_softmax(np.exp(log_beta) * logits, axis=1)[rows, codes]
        return np.average(losses, weights=weight)

    return np.exp(minimize_scalar(loss, bounds=(-10, 10), options={"xatol": 1e-10}).x)


def two_columns(decision):
    """Return logits as in scikit-learn: −d and d for two classes."""
    return decision if decision.ndim == 2 else np.column_stack([-decision, decision])


@each
@pytest.mark.parametrize("data", ["few", "two"])
@pytest.mark.parametrize("frozen", [False, True])
def test_calibration_by_temperature(model, data, frozen, request):
    """One factor scales the logits, out of fold or of a model fitted before."""
    X, y, queries, answers = request.getfixturevalue(data)
    before = fitted(model, X, y)
    if frozen:
        learnt_from, labels = queries, answers
        logits = before.decision_function(queries)
        base = FrozenEstimator(before)
    else:
        learnt_from, labels = X, y
        logits = cross_val_predict(model, X, y, cv=CV, method="decision_function")
        base = clone(model)
    calibrated = CalibratedClassifierCV(
        base, method="temperature", cv=CV, ensemble=False
    )
    found = calibrated.fit(learnt_from, labels).predict_proba(queries)
    beta = likeliest_beta(
        two_columns(logits), np.unique(labels, return_inverse=True)[1]
    )
    expected = softmax(beta * two_columns(before.decision_function(queries)), axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected - before.predict_proba(queries)).max() > 1e-3


@each_and_conv
def test_a_frozen_model_is_not_fitted_again(model, few):
    X, y, queries, answers = few
    before = fitted(model, X, y)
    expected = before.predict_proba(queries)
    frozen = clone(FrozenEstimator(before)).fit(queries, 9 - answers)
    np.testing.assert_array_equal(frozen.predict_proba(queries), expected)
    voted = VotingClassifier([("frozen", frozen)], voting="soft").fit(queries, answers)
    np.testing.assert_array_equal(voted.predict_proba(queries), expected)


NAMED = [("templates", TEMPLATES), ("softmax", SOFTMAX), ("mlp", MLP)]


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_soft_voting(weights, few):
    X, y, queries, _ = few
    found = VotingClassifier(NAMED, voting="soft", weights=weights).fit(X, y)
    shares = [fitted(model, X, y).predict_proba(queries) for _, model in NAMED]
    expected = np.average(shares, axis=0, weights=weights)
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-12)
    np.testing.assert_array_equal(found.predict(queries), expected.argmax(1))


def test_hard_voting(few):
    X, y, queries, _ = few
    found = VotingClassifier(NAMED).fit(X, y).predict(queries)
    votes = [fitted(model, X, y).predict(queries) for _, model in NAMED]
    np.testing.assert_array_equal(found, mode(votes).mode)
    assert any((found != vote).any() for vote in votes)


@each
@pytest.mark.parametrize("data", ["few", "two"])
def test_stacking(model, data, request):
    """The final estimator learns from out-of-fold probabilities of the others."""
    X, y, queries, _ = request.getfixturevalue(data)
    below = [("linear", LogisticRegression()), ("ours", model)]
    found = StackingClassifier(below, clone(model), cv=CV).fit(X, y)
    # With two classes, the probability of the second one is enough.
    skip = 1 if data == "two" else 0
    out_of_fold = []
    of_queries = []
    for _, one in below:
        proba = cross_val_predict(one, X, y, cv=CV, method="predict_proba")
        out_of_fold.append(proba[:, skip:])
        of_queries.append(fitted(one, X, y).predict_proba(queries)[:, skip:])
    last = fitted(model, np.hstack(out_of_fold), y)
    expected = last.predict_proba(np.hstack(of_queries))
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-8)


@each
def test_bagging(model, few):
    """Each model learns from its drawn columns, with draws as sample weights."""
    X, y, queries, _ = few
    bag = BaggingClassifier(model, 4, max_samples=0.8, max_features=0.5, random_state=0)
    found = bag.fit(X, y).predict_proba(queries)
    shares = []
    for member, rows, columns in zip(
        bag.estimators_, bag.estimators_samples_, bag.estimators_features_, strict=True
    ):
        assert len(set(rows)) < len(rows)
        seed = member.get_params()["random_state"]
        expected = clone(model).set_params(random_state=seed)
        expected.fit(X[:, columns], y, np.bincount(rows, minlength=len(X)))
        shares.append(expected.predict_proba(queries[:, columns]))
        np.testing.assert_array_equal(
            member.predict_proba(queries[:, columns]), shares[-1]
        )
    np.testing.assert_allclose(found, np.mean(shares, axis=0), rtol=1e-10)
    assert np.abs(shares[0] - shares[1]).max() > 0.05


def test_bagging_draws_rows_as_if_they_were_copied(few):
    """Weights by the number of draws are as good as repeated samples."""
    X, y, queries = few[0][:200], few[1][:200], few[2]
    # All samples fit into one batch, so that their order does not matter.
    model = SoftmaxRegression(0.1, max_iter=30, tol=None, random_state=0)
    bag = BaggingClassifier(model, 2, random_state=0).fit(X, y)
    for member, rows in zip(bag.estimators_, bag.estimators_samples_, strict=True):
        expected = fitted(model, X[np.sort(rows)], y[np.sort(rows)]).predict_proba(
            queries
        )
        np.testing.assert_allclose(member.predict_proba(queries), expected, rtol=1e-6)


@each_and_conv
def test_bagging_where_a_class_may_not_be_drawn(model, few):
    X, y, queries, _ = few
    # A single nine is missing from some of the draws.
    rows = np.r_[np.flatnonzero(y == 9)[:1], np.flatnonzero(y < 9)]
    bag = BaggingClassifier(model, 6, random_state=0).fit(X[rows], y[rows])
    assert {len(member.classes_) for member in bag.estimators_} == {9, 10}
    expected = np.zeros((len(queries), 10))
    for member in bag.estimators_:
        expected[:, member.classes_] += member.predict_proba(queries) / 6
    np.testing.assert_allclose(bag.predict_proba(queries), expected, rtol=1e-10)


@each
def test_adaboost(model, few):
    """Two rounds of SAMME: errors of the first weigh more in the second."""
    X, y, queries, _ = few
    weak = clone(model).set_params(metric="mae") if model is TEMPLATES else clone(model)
    if model is not TEMPLATES:
        weak.set_params(max_iter=2)
    boost = AdaBoostClassifier(weak, n_estimators=2, random_state=0).fit(X, y)
    weight = np.full(len(X), 1 / len(X))
    votes = np.zeros((len(queries), 10))
    for at, member in enumerate(boost.estimators_):
        expected = (
            clone(weak).set_params(random_state=member.random_state).fit(X, y, weight)
        )
        wrong = expected.predict(X) != y
        error = weight[wrong].sum()
        say = np.log((1 - error) / error) + np.log(9)
        assert 0.01 < error < 0.9
        assert boost.estimator_errors_[at] == pytest.approx(error, rel=1e-10)
        assert boost.estimator_weights_[at] == pytest.approx(say, rel=1e-10)
        votes[np.arange(len(queries)), expected.predict(queries)] += say
        weight = np.where(wrong, weight * np.exp(say), weight)
        weight /= weight.sum()
    np.testing.assert_array_equal(boost.predict(queries), votes.argmax(1))


@each
def test_one_versus_rest(model, few):
    X, y, queries, _ = few
    found = OneVsRestClassifier(model).fit(X, y)
    own = [fitted(model, X, (y == c).astype(int)) for c in range(10)]
    shares = np.column_stack([one.predict_proba(queries)[:, 1] for one in own])
    scores = np.column_stack([one.decision_function(queries) for one in own])
    expected = shares / shares.sum(1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-10)
    np.testing.assert_array_equal(found.predict(queries), scores.argmax(1))


@each
def test_one_versus_rest_of_several_labels(model, few):
    X, y, queries, _ = few
    labels = np.column_stack([y > 4, y % 2, y % 3 == 0]).astype(int)
    found = OneVsRestClassifier(model).fit(X, labels).predict(queries)
    expected = [fitted(model, X, column).predict(queries) for column in labels.T]
    np.testing.assert_array_equal(found, np.column_stack(expected))


@each
def test_one_versus_one(model, iris):
    X, y = iris
    found = OneVsOneClassifier(model).fit(X, y)
    votes = np.zeros((len(X), 3))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        rows = (y == a) | (y == b)
        won = fitted(model, X[rows], (y[rows] == b).astype(int)).predict(X)
        votes[np.arange(len(X)), np.where(won, b, a)] += 1
    clear = np.sort(votes, axis=1)[:, -1] == 2
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found.predict(X)[clear], votes.argmax(1)[clear])


@each
@pytest.mark.parametrize("planted", [0, 3])
def test_permutation_importance_finds_what_was_planted(model, planted, rng):
    """One feature determines the class, the others are noise."""
    X, y = rng.normal(size=(300, 5)), np.arange(300) % 3
    X[:, planted] = y + rng.normal(scale=0.1, size=300)
    X[:, planted] -= X[:, planted].mean()
    settings = {"metric": "mse"} if model is TEMPLATES else {"max_iter": 40}
    mean = permutation_importance(
        fitted(model, X, y, **settings), X, y, n_repeats=5, random_state=0
    ).importances_mean
    assert mean.argmax() == planted
    # Without the planted feature, a third of the predictions would be right.
    assert mean[planted] > 0.4
    assert np.abs(np.delete(mean, planted)).max() < 0.1


@pytest.fixture
def routing():
    with config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def weight(few):
    """Return weights that favour the lower digits, and differ among samples."""
    return np.where(few[1] < 5, 3.0, 0.2) * (1 + np.arange(240) % 3)


def asking(model):
    """Return a copy that requests sample weights in fit and score."""
    model = clone(model).set_fit_request(sample_weight=True)
    return model.set_score_request(sample_weight=True)


@each_and_conv
@pytest.mark.usefixtures("routing")
def test_weights_reach_a_model_in_a_pipeline(model, few, weight):
    X, y, queries, _ = few
    for asks in (True, False):
        scale = StandardScaler().set_fit_request(sample_weight=asks)
        found = Pipeline([("scale", scale), ("model", asking(model))])
        found.fit(X, y, sample_weight=weight)
        scale = StandardScaler().fit(X, sample_weight=weight if asks else None)
        expected = fitted(model, scale.transform(X), y, weight)
        expected = expected.predict_proba(scale.transform(queries))
        np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-8)
    without = fitted(model, scale.transform(X), y).predict_proba(
        scale.transform(queries)
    )
    assert np.abs(without - expected).max() > 0.01


@each
@pytest.mark.usefixtures("routing")
def test_weights_reach_every_fold_and_its_score(model, few, weight):
    X, y, _, _ = few
    found = cross_validate(
        asking(model),
        X,
        y,
        cv=CV,
        params={"sample_weight": weight},
        return_estimator=True,
    )
    for fold, (train, test) in enumerate(CV.split(X, y)):
        expected = fitted(model, X[train], y[train], weight[train])
        hit = expected.predict(X[test]) == y[test]
        assert found["test_score"][fold] == pytest.approx(
            np.average(hit, weights=weight[test])
        )
        np.testing.assert_array_equal(
            found["estimator"][fold].predict_proba(X), expected.predict_proba(X)
        )


@each
@pytest.mark.usefixtures("routing")
def test_weights_reach_the_candidates_and_the_winner_of_a_search(model, few, weight):
    X, y, queries, _ = few
    space = candidates_of(model)
    search = GridSearchCV(asking(model), space, cv=CV).fit(X, y, sample_weight=weight)
    for candidate, score in zip(
        ParameterGrid(space), search.cv_results_["mean_test_score"], strict=True
    ):
        expected = [
            np.average(
                fitted(model, X[train], y[train], weight[train], **candidate).predict(
                    X[test]
                )
                == y[test],
                weights=weight[test],
            )
            for train, test in CV.split(X, y)
        ]
        assert score == pytest.approx(np.mean(expected))
    best = fitted(model, X, y, weight, **search.best_params_)
    np.testing.assert_array_equal(
        search.predict_proba(queries), best.predict_proba(queries)
    )


@each
@pytest.mark.usefixtures("routing")
def test_weights_reach_the_models_that_vote(model, few, weight):
    X, y, queries, _ = few
    found = VotingClassifier([("one", asking(model))], voting="soft")
    found.fit(X, y, sample_weight=weight)
    expected = fitted(model, X, y, weight).predict_proba(queries)
    np.testing.assert_array_equal(found.predict_proba(queries), expected)
    assert np.abs(expected - fitted(model, X, y).predict_proba(queries)).max() > 0.01


@each
@pytest.mark.usefixtures("routing")
def test_weights_reach_a_model_and_its_calibration(model, few, weight):
    X, y, queries, _ = few
    found = CalibratedClassifierCV(
        asking(model), method="temperature", cv=CV, ensemble=False
    )
    found.fit(X, y, sample_weight=weight)
    logits = np.empty((len(X), 10))
    for train, test in CV.split(X, y):
        fold = fitted(model, X[train], y[train], weight[train])
        logits[test] = fold.decision_function(X[test])
    beta = likeliest_beta(logits, y, weight)
    scores = fitted(model, X, y, weight).decision_function(queries)
    expected = softmax(beta * scores, axis=1)
    np.testing.assert_allclose(found.predict_proba(queries), expected, atol=1e-5)
    assert (
        np.abs(expected - softmax(likeliest_beta(logits, y) * scores, axis=1)).max()
        > 1e-3
    )


@each
@pytest.mark.usefixtures("routing")
def test_weights_reach_the_models_of_a_stack(model, few, weight):
    X, y, queries, _ = few
    found = StackingClassifier([("one", asking(model))], asking(SOFTMAX), cv=CV)
    found.fit(X, y, sample_weight=weight)
    rows = cross_val_predict(
        asking(model),
        X,
        y,
        cv=CV,
        method="predict_proba",
        params={"sample_weight": weight},
    )
    of_queries = fitted(model, X, y, weight).predict_proba(queries)
    expected = fitted(SOFTMAX, rows, y, weight).predict_proba(of_queries)
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-10)


@each
@pytest.mark.usefixtures("routing")
def test_weights_without_a_request_are_an_error(model, few, weight):
    X, y, _, _ = few
    found = Pipeline([("model", clone(model))])
    with pytest.raises(
        ValueError, match="are passed but are not explicitly set as requested"
    ):
        found.fit(X, y, sample_weight=weight)
    found[-1].set_fit_request(sample_weight=False)
    with pytest.raises(TypeError, match="unexpected argument"):
        found.fit(X, y, sample_weight=weight)


@each
@pytest.mark.usefixtures("routing")
def test_weights_and_classes_reach_a_partial_fit(model, few, weight):
    X, y, queries, _ = few
    asks = clone(model).set_partial_fit_request(sample_weight=True)
    found = OneVsRestClassifier(asks)
    own = [clone(model) for _ in range(10)]
    for rows in (np.arange(120), np.arange(120, 240)):
        found.partial_fit(
            X[rows], y[rows], classes=range(10), sample_weight=weight[rows]
        )
        for c, one in enumerate(own):
            hit = (y[rows] == c).astype(int)
            one.partial_fit(X[rows], hit, classes=[0, 1], sample_weight=weight[rows])
    expected = np.column_stack([one.predict_proba(queries)[:, 1] for one in own])
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(queries), expected, rtol=1e-10)
