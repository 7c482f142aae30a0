"""Metrics of many models at once against scikit-learn's, one model after the other."""

import math
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import small_models
import torch
from sklearn import config_context, metrics
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut
from sklearn.preprocessing import scale
from small_models import in_vain, mlp, softmax

from skdigits import _arrays
from skdigits.engine import train
from skdigits.model_selection import BatchedGridSearchCV, _scoring
from skdigits.model_selection._metrics import METRICS, Responses, Targets, roc_auc
from skdigits.model_selection._scoring import (
    KnownPredictions,
    Scoring,
    as_metric,
    score_models,
    scoring_data,
)

RATES = {"learning_rate_init": [0.1, 0.01, 0.001]}
OF_TWO = [
    "accuracy",
    "balanced_accuracy",
    "neg_log_loss",
    "neg_brier_score",
    "roc_auc",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
]
TOP_3 = make_scorer(
    metrics.top_k_accuracy_score, k=3, response_method="decision_function"
)
OF_MANY = [*OF_TWO[:4], *OF_TWO[5:], "top_k_accuracy", TOP_3]
WORDS = np.array(["first", "second", "third"])
NUMBERS = np.array([2, 3, 7])


@pytest.fixture
def one_by_one(monkeypatch):
    """Names of all metrics that scikit-learn's scorers are called for, once a model."""
    called = []
    score = _scoring._score

    def counting(model, X, y, scorer, *rest):
        called.append(list(getattr(scorer, "_scorers", {"score": scorer})))
        return score(model, X, y, scorer, *rest)

    monkeypatch.setattr(_scoring, "_score", counting)
    return called


@pytest.fixture(scope="module")
def cancer():
    """150 samples of two classes."""
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X)[:150], y[:150]


def drawn(rng, n_models, classes, n_samples=60, dtype=torch.float64):
    """Logits of models from good to bad, and labels of all classes."""
    codes = rng.permutation(np.arange(n_samples) % len(classes))
    noise = rng.normal(size=(n_models, n_samples, len(classes)))
    size = np.geomspace(0.1, 20, n_models)[:, None, None]
    logits = 2 * np.eye(len(classes))[codes] + size * noise
    return torch.tensor(logits, dtype=dtype), classes[codes]


def both(scorer, logits, classes, y, weight=None):
    """Scores of all models by this package, and one by one by scikit-learn."""
    scorer = get_scorer(scorer) if isinstance(scorer, str) else scorer
    params = {} if weight is None else {"sample_weight": weight}
    X = np.zeros((len(y), 1))
    scoring = Scoring(scorer, params, False, "raise")
    data = scoring_data(scoring, X, y, np.arange(len(y)), classes)
    found = score_models(scoring, data, classes, logits, None)
    models = [KnownPredictions(classes, one, False) for one in logits]
    return found, [scorer(model, X, y, **params) for model in models]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rounded", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize(
    ("scorer", "classes"),
    [*((name, WORDS[:2]) for name in OF_TWO if name != "neg_brier_score"),
     *((name, NUMBERS[1:]) for name in OF_TWO),
     *((name, WORDS) for name in OF_MANY[:-1]),
     *((name, np.arange(10)) for name in OF_MANY)],
    ids=str,
)  # fmt: skip
def test_all_models_at_once(scorer, classes, rounded, weighted, rng, one_by_one):
    logits, y = drawn(rng, 40, classes)
    if rounded:
        logits = logits.round()
        logits[0] = 0  # a model that knows nothing
    weight = rng.integers(0, 4, len(y)) / 3 if weighted else None
    found, expected = both(scorer, logits, classes, y, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if scorer == "accuracy":
        assert found == expected
    assert all(type(score) is float for score in found)
    assert len(set(expected)) > 3
    assert one_by_one == []


@pytest.mark.parametrize("scorer", OF_MANY, ids=str)
def test_float32(scorer, rng, one_by_one):
    logits, y = drawn(rng, 20, np.arange(10), dtype=torch.float32)
    np.testing.assert_allclose(*both(scorer, logits, np.arange(10), y), rtol=1e-6)
    assert one_by_one == []


@pytest.mark.parametrize("scorer", ["accuracy", "neg_log_loss", "roc_auc"])
def test_hundreds_of_models(scorer, rng, one_by_one, monkeypatch):
    logits, y = drawn(rng, 800, NUMBERS[1:], n_samples=50)
    found, expected = both(scorer, logits, NUMBERS[1:], y)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # In parts, as samples are many:
    monkeypatch.setattr(_scoring, "NUMBERS_AT_ONCE", 7 * logits[0].numel())
    assert both(scorer, logits, NUMBERS[1:], y)[0] == found
    assert one_by_one == []


@pytest.mark.parametrize(
    "y",
    [
        list,
        pd.Series,
        partial(pd.Series, dtype="category"),
        partial(np.array, dtype=object),
    ],
    ids=["list", "series", "category", "object"],
)
@pytest.mark.parametrize("scorer", ["accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_labels_of_other_kinds(scorer, y, rng):
    logits, labels = drawn(rng, 5, WORDS)
    classes = WORDS.astype(object) if y is not list else WORDS
    np.testing.assert_allclose(*both(scorer, logits, classes, y(labels)), rtol=1e-12)


OF_PROBA = {"response_method": "predict_proba"}
MICRO = make_scorer(
    metrics.roc_auc_score, multi_class="ovr", average="micro", **OF_PROBA
)
TOP_1 = make_scorer(metrics.top_k_accuracy_score, labels=range(3), k=1, **OF_PROBA)
LISTED = make_scorer(metrics.log_loss, labels=range(3), **OF_PROBA)
COUNT = make_scorer(accuracy_score, normalize=False)
THREE = np.arange(12) % 3


@pytest.mark.parametrize(
    ("scorer", "y", "weight"),
    [
        ("roc_auc_ovo", THREE, None),
        ("f1_macro", THREE, None),
        (COUNT, THREE, None),
        (MICRO, THREE, None),
        (TOP_1, THREE[THREE < 2], None),
        (LISTED, THREE[THREE > 0], None),
        ("balanced_accuracy", THREE, np.where(THREE, 1.0, 0.0)),
        ("accuracy", THREE + 1, None),  # a label that the models do not know
    ],
)
def test_anything_else_is_scikit_learns(scorer, y, weight, rng, one_by_one):
    logits = torch.tensor(rng.normal(size=(4, len(y), 3)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        found, expected = both(scorer, logits, np.arange(3), np.asarray(y), weight)
    assert found == expected
    assert len(one_by_one) == 4


@pytest.mark.parametrize("scorer", ["top_k_accuracy", "neg_brier_score"])
def test_two_words_are_scikit_learns(scorer, rng, one_by_one):
    """It warns of two classes for top_k_accuracy, and has no positive word."""
    logits, y = drawn(rng, 3, WORDS[:2])
    error, match = UndefinedMetricWarning, "will result in a perfect score"
    if scorer == "neg_brier_score":
        error, match = ValueError, "pos_label is not specified"
    with pytest.raises(error, match=match):
        both(scorer, logits, WORDS[:2], y)
    assert len(one_by_one) == 1


def test_a_function_by_the_name_of_scikit_learns_is_not_it():
    def log_loss(y_true, y_proba):
        return 5.0

    assert as_metric(make_scorer(log_loss, response_method="predict_proba")) is None
    assert as_metric(get_scorer("neg_log_loss")) is not None


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_scikit_learns_by_name(name):
    assert callable(getattr(metrics, name))


@pytest.mark.parametrize("scorer", ["accuracy", "neg_log_loss", "roc_auc"])
def test_a_model_whose_logits_overflow_is_an_error_of_its_own(scorer, rng, one_by_one):
    logits, y = drawn(rng, 3, NUMBERS[1:])
    logits[1, 4, 0] = torch.inf
    scoring = Scoring(get_scorer(scorer), {}, False, -5.0)
    data = scoring_data(scoring, np.zeros((60, 1)), y, np.arange(60), NUMBERS[1:])
    with pytest.warns(UserWarning, match="Scoring failed(.|\n)* overflow"):
        found = score_models(scoring, data, NUMBERS[1:], logits, None)
    expected = both(scorer, logits[[0, 2]], NUMBERS[1:], y)[1]
    np.testing.assert_allclose([found[0], found[2]], expected, rtol=1e-12)
    assert found[1] == -5
    assert len(one_by_one) == 1


def test_differences_of_logits_that_overflow_have_no_curve():
    scores = np.array([[0.0, np.inf, 1.0], [0.0, 2.0, 1.0]])
    targets = Targets(np.array([0, 1, 0]), NUMBERS[:2], None)
    np.testing.assert_array_equal(roc_auc(scores, targets), [np.nan, 1])


@pytest.mark.parametrize(
    ("scores", "weight", "expected"),
    [
        ([0.1, 0.2, 0.3, 0.4], None, 0.75),
        ([0.5, 0.5, 0.5, 0.5], None, 0.5),  # a guess is a diagonal
        ([0.1, 0.2, 0.2, 0.4], None, 0.875),  # a tie counts by half
        ([0.4, 0.3, 0.2, 0.1], None, 0.25),
        ([0.1, 0.2, 0.3, 0.4], [1, 3, 1, 1], 0.625),
        ([0.1, 0.2, 0.3, 0.4], [1, 0, 1, 1], 1.0),
    ],
)
def test_areas_counted_by_hand(scores, weight, expected):
    targets = Targets(
        np.array([0, 1, 0, 1]),
        NUMBERS[:2],
        None if weight is None else np.array(weight),
    )
    assert roc_auc(np.array([scores]), targets).tolist() == [expected]


def test_responses_are_computed_once(monkeypatch):
    counted = []
    softmax = torch.log_softmax
    monkeypatch.setattr(
        torch, "log_softmax", lambda *a: counted.append(1) or softmax(*a)
    )
    responses = Responses(torch.zeros(2, 3, 4))
    for _ in range(3):
        assert responses.predict_proba.shape == (2, 3, 4)
    assert counted == [1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", [None, *OF_TWO])
def test_searches_of_two_classes(
    scoring, weighted, cancer, rng, one_by_one, assert_same_search
):
    X, y = cancer
    options = {"scoring": scoring, "return_train_score": True}
    if weighted:
        options["fit_params"] = {"sample_weight": rng.uniform(0.1, 2, len(y))}
    assert_same_search(mlp(), RATES, X, y, rtol=1e-12, **options)
    assert one_by_one == []


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scoring", [None, *OF_MANY], ids=str)
def test_searches_of_many_classes(
    scoring, weighted, few, rng, one_by_one, assert_same_search
):
    options = {"scoring": scoring, "return_train_score": True}
    if weighted:
        options["fit_params"] = {"sample_weight": rng.uniform(0.1, 2, len(few[1]))}
    assert_same_search(softmax(), RATES, *few, rtol=1e-12, **options)
    assert one_by_one == []


@in_vain
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_several_metrics(solver, few, one_by_one, assert_same_search):
    options = {"scoring": ["accuracy", "neg_log_loss", "f1_macro"], "refit": False}
    assert_same_search(softmax(solver=solver), RATES, *few, **options)
    assert one_by_one == [["f1_macro"]] * 9  # nothing but what is not known


def test_several_metrics_with_weights_that_are_routed(few, rng, assert_same_search):
    weight = rng.uniform(0.1, 2, len(few[1]))
    with config_context(enable_metadata_routing=True):
        scoring = {
            "weighted": get_scorer("accuracy").set_score_request(sample_weight=True),
            "plain": make_scorer(accuracy_score).set_score_request(sample_weight=False),
        }
        model = softmax().set_fit_request(sample_weight=True)
        search = assert_same_search(
            model, RATES, *few, scoring=scoring, refit=False,
            fit_params={"sample_weight": weight},
        )  # fmt: skip
    names = ("mean_test_weighted", "mean_test_plain")
    assert not np.array_equal(*(search.cv_results_[name] for name in names))


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc", "neg_log_loss"])
def test_folds_that_lack_a_class_in_their_test_samples(
    scoring, cancer, assert_same_search
):
    X, y = cancer
    order = np.argsort(y, kind="stable")
    folds = [(order[20:], order[:20]), (np.arange(100), np.arange(100, 150))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert_same_search(mlp(), RATES, X, y, cv=folds, scoring=scoring, refit=False)


def test_folds_of_one_sample(iris, assert_same_search):
    X, y = (part[::5] for part in iris)
    model = softmax(batch_size=10)
    options = {"cv": LeaveOneOut(), "scoring": "accuracy"}
    search = assert_same_search(model, RATES, X, y, **options)
    assert search.n_splits_ == 30


@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
def test_several_labels_go_scikit_learns_way(scoring, few, assert_same_search):
    X, y = few
    labels = np.stack([y % 2, y > 4], 1).astype(int)
    options = {"cv": KFold(3), "scoring": scoring, "batched": False}
    assert_same_search(mlp(), RATES, X, labels, **options)


def counting_scorer(calls):
    def score(estimator, X, y):
        calls.append(len(estimator.history_))
        return float(estimator.score(X, y))

    return score


@in_vain
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_a_callable_is_called_once_a_model(solver, few):
    calls = []
    options = {"cv": 3, "scoring": counting_scorer(calls), "refit": False}
    search = BatchedGridSearchCV(softmax(solver=solver, max_iter=4), RATES, **options)
    results = search.fit(*few).cv_results_
    assert search.batched_.all()
    assert calls == [4] * 9
    assert not any(name.endswith("_by_epoch") for name in results)


def test_a_callable_is_called_after_every_epoch_where_that_is_wanted(few):
    for wanted in ({"return_epoch_scores": True}, {"refit_epochs": "best"}):
        calls = []
        options = {"cv": 3, "scoring": counting_scorer(calls)} | wanted
        search = BatchedGridSearchCV(softmax(max_iter=4), RATES, **options).fit(*few)
        # Once more for the fitted model, which has all its attributes.
        assert sorted(calls) == sorted([1, 2, 3, 4, 4] * 9)
        assert len(search.cv_results_["mean_test_score_by_epoch"][0]) == 4


def test_scores_at_the_end_are_those_with_scores_by_epoch(few):
    for scoring in ("accuracy", "neg_log_loss", counting_scorer([])):
        options = {"cv": 3, "scoring": scoring, "refit": False}
        model = small_models.mlp(max_iter=5)
        one, other = (
            BatchedGridSearchCV(model, RATES, return_epoch_scores=wanted, **options)
            .fit(*few)
            .cv_results_
            for wanted in (False, True)
        )
        added = {name for name in other if name.endswith("_by_epoch")}
        assert other.keys() - one.keys() == added
        assert len(added) == 4
        np.testing.assert_allclose(one["mean_test_score"], other["mean_test_score"])


def test_no_epoch_is_followed_that_nobody_wants_to_know(few, monkeypatch):
    """Parameters of running models are then not even selected."""
    seen = []
    monkeypatch.setattr(train, "_observe", lambda *args: seen.append(args))
    monkeypatch.setattr(_arrays, "DEALT", math.inf)
    BatchedGridSearchCV(softmax(), RATES, cv=3).fit(*few)
    assert seen == []


def test_scikit_learns_searches_have_the_same_winner(few):
    """The ranks depend on ties, and those on the last digit of accuracies."""
    rates = {"learning_rate_init": np.geomspace(0.01, 0.1, 12)}
    options = {"cv": 3, "scoring": "accuracy", "refit": False}
    found, expected = (
        Search(softmax(), rates, **options).fit(*few).cv_results_
        for Search in (BatchedGridSearchCV, GridSearchCV)
    )
    ranks = found["rank_test_score"].tolist()
    assert ranks == expected["rank_test_score"].tolist()
    assert len(set(ranks)) < 12
