"""refit_epochs="best": the number of epochs is chosen together with the candidate."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import small_models
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdigits.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from skdigits.model_selection._refit import best_number_of_epochs

RATES = {"learning_rate_init": [0.3, 0.1, 0.001]}

mlp = partial(small_models.mlp, max_iter=12)
softmax = partial(small_models.softmax, max_iter=12)


def best(model, grid, X, y, fit_params=None, **options):
    options = {"cv": 3, "scoring": "neg_log_loss", "refit_epochs": "best"} | options
    return BatchedGridSearchCV(model, grid, **options).fit(X, y, **(fit_params or {}))


def curves(*lists):
    column = np.empty(len(lists), dtype=object)
    column[:] = [np.array(values, dtype=float) for values in lists]
    last = np.array([values[-1] if values else np.nan for values in lists])
    return {"mean_test_score_by_epoch": column, "mean_test_score": last}


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (([0.1, 0.3, 0.2], [0.2, 0.2]), (0, 2, 0.3)),
        (([0.1], [0.1, 0.4]), (1, 2, 0.4)),
        (([0.3, 0.3], [0.3]), (0, 1, 0.3)),
        (([0.1, 0.2], [0.2, 0.1]), (0, 2, 0.2)),
        (([np.nan, 0.2], [0.1, np.nan]), (0, 2, 0.2)),
        (([np.nan], [0.1, np.nan]), (1, 1, 0.1)),
        (([], [-5.0, -4.0]), (1, 2, -4.0)),
        (([-3.0, -1.0], []), (0, 2, -1.0)),
    ],
)
def test_best_number_of_epochs(lists, expected):
    assert best_number_of_epochs(curves(*lists), "score", None) == expected


def test_best_number_of_epochs_of_a_chosen_candidate():
    results = curves([0.1, 0.9], [0.3, 0.2])
    assert best_number_of_epochs(results, "score", 1) == (1, 1, 0.3)


def test_best_number_of_epochs_has_to_have_a_choice():
    with pytest.raises(ValueError, match="no candidate was batched"):
        best_number_of_epochs({}, "score", None)


@small_models.in_vain
@pytest.mark.parametrize(
    "model",
    [
        softmax(),
        mlp(),
        mlp(dropout=0.2, learning_rate_init=0.1),
        softmax(solver="lbfgs"),
    ],
    ids=str,
)
def test_the_best_is_a_fit_of_so_many_epochs(model, few):
    X, y = few
    search = best(model, {"alpha": [0.0, 0.1], **RATES}, X, y)
    means = search.cv_results_["mean_test_score_by_epoch"]
    assert search.best_score_ == max(curve.max() for curve in means)
    assert search.best_score_ == means[search.best_index_][search.best_n_epochs_ - 1]
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    plain = clone(model).set_params(
        **search.best_params_, max_iter=search.best_n_epochs_
    )
    plain.fit(X, y)
    found = search.best_estimator_
    assert found.n_iter_ == search.best_n_epochs_ == len(found.history_)
    assert found.max_iter == 12
    np.testing.assert_allclose(
        found.predict_proba(X), plain.predict_proba(X), rtol=1e-10
    )


def test_it_is_not_always_the_last_epoch(few):
    """Else the tests above would show little."""
    search = best(mlp(solver="sgd"), {"learning_rate_init": [1.0, 0.5]}, *few)
    assert 1 < search.best_n_epochs_ < 12


def test_the_schedule_is_that_of_all_epochs(few):
    X, y = few
    model = mlp(solver="sgd", learning_rate="one_cycle")
    search = best(model, {"learning_rate_init": [3.0]}, X, y)
    whole = clone(model).set_params(**search.best_params_).fit(X, y)
    epochs = search.best_n_epochs_
    assert epochs < 12
    ours, theirs = search.best_estimator_.history_, whole.history_[:epochs]
    same = ["epoch", "learning_rate", "train_loss"]
    pd.testing.assert_frame_equal(ours[same], theirs[same], rtol=1e-10)


def test_no_warning_that_training_did_not_end(few):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
        search = best(softmax(tol=1e-6), RATES, *few, refit=False, refit_epochs=None)
    assert not hasattr(search, "best_n_epochs_")
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as caught:
        best(softmax(tol=1e-6), RATES, *few)
    # The folds' fits; not the refit, which is as long as was wanted.
    (warning,) = caught
    assert str(warning.message).endswith("(9 fits)")


def test_in_a_pipeline(few):
    X, y = few
    steps = [
        ("scale", StandardScaler()),
        ("pca", PCA(10, random_state=0)),
        ("model", mlp()),
    ]
    grid = {"pca__n_components": [5, 20], "model__learning_rate_init": [0.5, 0.1]}
    search = best(Pipeline(steps), grid, X, y)
    assert not hasattr(steps[0][1], "mean_")
    settings = {**search.best_params_, "model__max_iter": search.best_n_epochs_}
    plain = clone(Pipeline(steps)).set_params(**settings).fit(X, y)
    found = search.best_estimator_
    assert found[-1].n_iter_ == search.best_n_epochs_
    np.testing.assert_allclose(
        found.predict_proba(X), plain.predict_proba(X), rtol=1e-8
    )
    assert search.n_features_in_ == 64


def test_in_a_pipeline_of_one_step(few):
    search = best(Pipeline([("model", mlp())]), {"model__alpha": [0.1, 1.0]}, *few)
    assert search.best_estimator_[-1].n_iter_ == search.best_n_epochs_


def test_with_frames_and_steps_left_out(few):
    frame = pd.DataFrame(few[0], columns=[f"pixel{i}" for i in range(64)])
    model = Pipeline([("scale", StandardScaler()), ("model", softmax(max_iter=3))])
    search = best(model, {"scale": ["passthrough", StandardScaler()]}, frame, few[1])
    assert search.feature_names_in_.tolist() == list(frame.columns)


def test_with_weights(few, rng):
    X, y = few
    weight = rng.integers(0, 4, len(X)).astype(float)
    search = best(softmax(), RATES, X, y, fit_params={"sample_weight": weight})
    plain = softmax(**search.best_params_, max_iter=search.best_n_epochs_)
    plain.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(
        search.predict_proba(X), plain.predict_proba(X), rtol=1e-10
    )


def test_with_weights_of_a_step(few, rng):
    X, y = few
    params = {"model__sample_weight": rng.uniform(0.1, 2, len(X))}
    model = Pipeline([("scale", StandardScaler()), ("model", softmax())])
    search = best(model, {"model__alpha": [0.1, 1.0]}, X, y, fit_params=params)
    settings = {**search.best_params_, "model__max_iter": search.best_n_epochs_}
    plain = clone(model).set_params(**settings).fit(X, y, **params)
    np.testing.assert_allclose(
        search.predict_proba(X), plain.predict_proba(X), rtol=1e-8
    )


def test_by_one_metric_of_many(few):
    scoring = ["accuracy", "neg_log_loss"]
    search = best(mlp(), RATES, *few, scoring=scoring, refit="accuracy")
    means = search.cv_results_["mean_test_accuracy_by_epoch"]
    assert search.best_score_ == max(curve.max() for curve in means)


def test_of_a_candidate_that_a_callable_chooses_by_many_metrics(few):
    """No metric is named to choose the epochs by, which the error says."""
    options = {"scoring": ["accuracy", "neg_log_loss"], "refit": lambda results: 1}
    with pytest.raises(ValueError, match="metric"):
        best(mlp(), RATES, *few, **options)


def test_of_a_candidate_that_a_callable_chooses(few):
    search = best(mlp(), RATES, *few, refit=lambda results: 1)
    curve = search.cv_results_["mean_test_score_by_epoch"][1]
    assert search.best_index_ == 1
    assert search.best_n_epochs_ == np.argmax(curve) + 1
    assert search.best_estimator_.n_iter_ == search.best_n_epochs_
    assert not hasattr(search, "best_score_")


@pytest.mark.parametrize(
    ("index", "error", "match"),
    [(7, IndexError, "out of range"), ("first", TypeError, "not an integer")],
)
def test_of_a_candidate_that_a_callable_chooses_wrongly(index, error, match, few):
    with pytest.raises(error, match=match):
        best(softmax(), RATES, *few, refit=lambda results: index)


def test_randomized(few):
    search = BatchedRandomizedSearchCV(
        softmax(), RATES, n_iter=2, cv=3, refit_epochs="best", random_state=0
    ).fit(*few)
    assert search.best_estimator_.n_iter_ == search.best_n_epochs_


def test_without_it_there_is_no_number_of_epochs(few):
    search = best(softmax(), RATES, *few, refit_epochs=None)
    assert not hasattr(search, "best_n_epochs_")
    assert search.best_estimator_.n_iter_ == 12


@pytest.mark.parametrize("piped", [False, True])
def test_early_stopping_chooses_already(piped, few):
    model = mlp(early_stopping=True)
    model = Pipeline([("model", model)]) if piped else model
    with pytest.raises(ValueError, match="both choose the number of epochs"):
        best(model, {}, *few)


def test_early_stopping_in_the_grid_chooses_already(few):
    grid = {"early_stopping": [True], "validation_fraction": [0.3], **RATES}
    with pytest.raises(ValueError, match="both choose the number of epochs"):
        best(mlp(), grid, *few)


def test_early_stopping_that_the_grid_turns_off(few):
    search = best(mlp(early_stopping=True), {"early_stopping": [False], **RATES}, *few)
    assert search.best_estimator_.n_iter_ == search.best_n_epochs_


def test_early_stopping_means_nothing_to_lbfgs(few):
    search = best(mlp(solver="lbfgs", early_stopping=True), {"alpha": [0.1, 1.0]}, *few)
    assert search.best_estimator_.n_iter_ == search.best_n_epochs_


def test_a_refit_is_needed(few):
    with pytest.raises(ValueError, match="needs a refit, but refit=False"):
        best(softmax(), RATES, *few, refit=False)


def test_something_has_to_be_batched(few):
    with pytest.raises(ValueError, match="no candidate was batched"):
        best(LogisticRegression(), {"C": [0.1, 1.0]}, *few)
