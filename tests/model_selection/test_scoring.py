"""Scorers of all kinds get to see what they would in scikit-learn's search."""

import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    fbeta_score,
    make_scorer,
    top_k_accuracy_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from small_models import softmax

from skdigits import MLPClassifierTorch
from skdigits.model_selection import BatchedGridSearchCV
from skdigits.model_selection._scoring import (
    KnownPredictions,
    Scoring,
    ScoringData,
    _by_metric,
    score_models,
)

RATES = {"learning_rate_init": [0.1, 0.01, 0.001]}
GREAT = ["accuracy", "neg_log_loss"]


def piped(model):
    return Pipeline([("scale", StandardScaler()), ("model", model)])


def by_weights(estimator, X, y):
    """Not to be had without the fitted estimator."""
    return float(np.abs(estimator.coef_).sum() + len(estimator.classes_) + len(X))


def by_record(estimator, X, y):
    """Not to be had without its records."""
    return float(estimator.n_iter_ * 100 + estimator.loss_ + len(estimator.history_))


def many(estimator, X, y):
    return {
        "right": float(estimator.score(X, y)),
        "size": float(abs(estimator.coef_).sum()),
    }


def many_with_records(estimator, X, y):
    return {"right": float(estimator.score(X, y)), "epochs": float(estimator.n_iter_)}


def failing(y_true, y_pred):
    raise ValueError("no score today")


def named(value):
    """Functions by name: their addresses are others in each process."""
    return getattr(value, "__name__", re.sub(" at 0x[0-9a-f]+", "", str(value)))


@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize(
    "scoring",
    [
        None,
        "accuracy",
        "balanced_accuracy",
        "roc_auc_ovr",
        "neg_brier_score",
        make_scorer(fbeta_score, beta=2, average="macro"),
        make_scorer(
            top_k_accuracy_score,
            k=2,
            response_method="decision_function",
            labels=range(10),
        ),
        make_scorer(accuracy_score, greater_is_better=False),
        by_weights,
    ],
    ids=named,
)
def test_one_metric(scoring, return_train_score, few, assert_same_search):
    options = {"scoring": scoring, "return_train_score": return_train_score}
    search = assert_same_search(softmax(), RATES, *few, **options)
    assert callable(search.scorer_)


@pytest.mark.parametrize("return_train_score", [False, True])
@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        (GREAT, "neg_log_loss"),
        (tuple(GREAT), "accuracy"),
        (GREAT, False),
        (
            {
                "right": "accuracy",
                "macro": make_scorer(fbeta_score, beta=2, average="macro"),
            },
            "macro",
        ),
        ({"right": "accuracy", "own": by_weights}, "own"),
        (many, "right"),
        (many, False),
    ],
    ids=named,
)
def test_many_metrics(scoring, refit, return_train_score, few, assert_same_search):
    options = {"scoring": scoring, "return_train_score": return_train_score}
    search = assert_same_search(softmax(), RATES, *few, refit=refit, **options)
    assert search.multimetric_
    assert isinstance(search.scorer_, dict) or search.scorer_ is many


@pytest.mark.parametrize("scoring", [by_record, many_with_records], ids=named)
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_scorers_that_read_the_records_of_a_fit(
    scoring, solver, few, assert_same_search
):
    """They may fail after an epoch; the search fails only if GridSearchCV does."""
    refit = "right" if scoring is many_with_records else True
    model = softmax(solver=solver)
    options = {"scoring": scoring, "refit": refit, "by_epoch": True}
    assert_same_search(model, {"alpha": [0.1, 1.0]}, *few, **options)


@pytest.mark.parametrize("scoring", [by_record, many_with_records], ids=named)
def test_scorers_that_read_the_records_warn_of_nothing(scoring, few):
    """As above, where warnings are not errors."""
    options = {"refit": False, "return_epoch_scores": True}
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, scoring=scoring, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = search.fit(*few).cv_results_
    assert [str(w.message).splitlines()[-1] for w in caught] == []
    name = "epochs" if scoring is many_with_records else "score"
    assert np.isfinite(np.stack(results[f"mean_test_{name}_by_epoch"])).all()


def test_scorers_see_the_whole_pipeline(few, assert_same_search):
    def own(estimator, X, y):
        scaled = estimator.named_steps["scale"].transform(X)
        model = estimator.named_steps["model"]
        assert np.array_equal(estimator.predict(X), model.predict(scaled))
        return float(np.abs(model.coef_).sum() + scaled.sum())

    grid = {"model__alpha": [0.1, 1.0]}
    options = {"scoring": own, "return_train_score": True, "error_score": "raise"}
    assert_same_search(piped(softmax()), grid, *few, **options)


def test_scorers_see_a_pipeline_of_one_step(few, assert_same_search):
    def own(estimator, X, y):
        return float(np.abs(estimator.named_steps["model"].coef_).sum())

    pipeline, grid = Pipeline([("model", softmax())]), {"model__alpha": [0.1, 1.0]}
    assert_same_search(pipeline, grid, *few, scoring=own, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # as errors, they would hide what users get
        assert_same_search(pipeline, grid, *few, scoring=own, refit=False)


def test_scorers_see_the_candidates_parameters(few, assert_same_search):
    def own(estimator, X, y):
        return estimator.alpha + estimator.random_state

    grid = {"alpha": [0.1, 1.0], "random_state": [0, 1]}
    search = assert_same_search(softmax(), grid, *few, scoring=own)
    assert search.best_params_ == {"alpha": 1.0, "random_state": 1}


def test_a_scorer_may_do_with_its_estimator_as_it_likes(few, assert_same_search):
    def own(estimator, X, y):
        score = -float(np.abs(estimator.coef_).sum())
        estimator.coef_ *= 0
        X *= 0
        return score

    assert_same_search(softmax(), RATES, *few, scoring=own)


def test_early_stopping_is_scored_by_its_best_epoch(few, assert_same_search):
    model = MLPClassifierTorch(
        8,
        max_iter=6,
        early_stopping=True,
        validation_fraction=0.2,
        tol=None,
        random_state=0,
    )
    grid = {"learning_rate_init": [0.3, 0.01]}
    for scoring in ("neg_log_loss", lambda model, X, y: float(model.coefs_[0].sum())):
        assert_same_search(model, grid, *few, scoring=scoring, return_train_score=True)


def test_refit_by_a_callable(few, assert_same_search):
    def last(results):
        return len(results["params"]) - 1

    search = assert_same_search(softmax(), RATES, *few, refit=last)
    assert search.best_index_ == 2
    assert not hasattr(search, "best_score_")
    assert_same_search(softmax(), RATES, *few, refit=last, scoring=GREAT)


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [(7, IndexError, "out of range"), ("first", TypeError, "not an integer")],
)
def test_refit_by_a_callable_that_is_wrong(index, error, match, few):
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, refit=lambda results: index)
    with pytest.raises(error, match=match):
        search.fit(*few)


def test_without_refit(few, assert_same_search):
    search = assert_same_search(softmax(), RATES, *few, refit=False)
    assert not hasattr(search, "best_estimator_")
    with pytest.raises(AttributeError, match="has no attribute 'predict'"):
        search.predict(few[0])


@pytest.mark.parametrize("scoring", [GREAT, many])
def test_many_metrics_need_to_know_which_to_refit_by(scoring, few):
    with pytest.raises(
        ValueError, match="For multi-metric scoring, the parameter refit"
    ):
        BatchedGridSearchCV(softmax(), RATES, cv=3, scoring=scoring).fit(*few)


def test_a_scorer_that_fails(few, assert_same_search):
    options = {"scoring": make_scorer(failing), "error_score": -1.0}
    with pytest.warns(UserWarning, match=r"Scoring failed(.|\n)*no score today"):
        search = assert_same_search(softmax(), RATES, *few, **options)
    assert search.cv_results_["mean_test_score"].tolist() == [-1, -1, -1]


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_one_scorer_of_many_that_fails(few, assert_same_search):
    scoring = {"right": "accuracy", "wrong": make_scorer(failing)}
    with pytest.warns(UserWarning, match=r"will be set to nan(.|\n)*no score today"):
        search = assert_same_search(
            softmax(), RATES, *few, scoring=scoring, refit="right"
        )
    assert np.isnan(search.cv_results_["mean_test_wrong"]).all()
    assert np.isfinite(search.cv_results_["mean_test_right"]).all()


def test_a_scorer_that_raises(few):
    options = {"scoring": make_scorer(failing), "error_score": "raise"}
    with pytest.raises(ValueError, match="no score today"):
        BatchedGridSearchCV(softmax(), RATES, cv=3, **options).fit(*few)


def test_many_metrics_in_a_dict_that_fail_at_first_only(few, assert_same_search):
    """A score of one epoch is nothing to fail by where the fitted model has one."""

    def choosy(estimator, X, y):
        if np.abs(estimator.coef_).sum() < 15:  # as after the first epoch
            raise ValueError("too small")
        return many(estimator, X, y)

    model, grid = softmax(max_iter=8), {"learning_rate_init": [0.1, 0.2]}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Scoring failed")
        search = assert_same_search(
            model, grid, *few, scoring=choosy, refit="right", by_epoch=True
        )
    assert np.isnan(search.cv_results_["mean_test_right_by_epoch"][0][0])


def test_a_scorer_has_to_give_a_number(few):
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, scoring=lambda *asked: "good")
    with pytest.raises(ValueError, match="scoring must return a number, got good"):
        search.fit(*few)


@pytest.mark.parametrize("classes", [np.arange(3), np.array(["a", "b", "c"])])
def test_known_predictions(classes):
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    model = KnownPredictions(classes, logits, overflow=False)
    X = np.zeros((2, 5))
    exponents = np.exp(logits.numpy())
    expected = exponents / exponents.sum(1, keepdims=True)
    assert model.predict(X).tolist() == classes[[1, 0]].tolist()
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-14)
    np.testing.assert_array_equal(model.decision_function(X), logits.numpy())
    assert model.score(X, classes[[1, 1]]) == 0.5


def test_score_models_asks_for_estimators_only_where_they_are_needed():
    y = np.array([0, 1])
    logits = torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
    data = ScoringData("seen", "passed", y, {})

    def own(estimator, X, y):
        return len(estimator + X)

    def scores(scorer, fitted):
        return score_models(
            Scoring(scorer, {}, False, "raise"), data, y, logits, fitted
        )

    assert scores(make_scorer(accuracy_score), None) == [1.0, 1.0, 1.0]
    names = ["first ", "second ", "third "]
    assert scores(own, names.__getitem__) == [12, 13, 12]


def test_known_predictions_that_overflow_are_an_error():
    logits = torch.tensor([[0.0, torch.inf]])
    model = KnownPredictions(np.arange(2), logits, overflow=True)
    with pytest.raises(ValueError, match=r"KnownPredictions overflow torch\.float32"):
        model.predict(np.zeros((1, 5)))


def test_by_metric():
    assert dict(_by_metric([])) == {"score": []}
    assert dict(_by_metric([0.1, 0.2])) == {"score": [0.1, 0.2]}
    found = dict(_by_metric([{"a": 1, "b": 2}, {"a": 3, "b": 4}]))
    assert found == {"a": [1, 3], "b": [2, 4]}
