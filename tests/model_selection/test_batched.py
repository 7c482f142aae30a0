"""BatchedGridSearchCV and BatchedRandomizedSearchCV against scikit-learn's searches."""

import random
import subprocess
import sys
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils._param_validation import InvalidParameterError
from small_models import in_vain, mlp, softmax

from skdigits import SoftmaxRegression
from skdigits.callbacks import Checkpoint, load_checkpoint
from skdigits.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV

RATES = {"learning_rate_init": [0.01, 0.1, 0.001]}


both_models = pytest.mark.parametrize("make", [softmax, mlp])


@both_models
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw", "lbfgs"])
def test_solvers(make, solver, few, assert_same_search):
    grid = {"alpha": [0.0, 0.1, 10.0]} | ({} if solver == "lbfgs" else RATES)
    assert_same_search(make(solver=solver), grid, *few)


@in_vain
@both_models
@pytest.mark.parametrize(
    "schedule", ["constant", "invscaling", "adaptive", "one_cycle"]
)
def test_schedules(make, schedule, few, assert_same_search):
    model = make(solver="sgd", learning_rate=schedule, max_iter=5)
    assert_same_search(model, RATES | {"power_t": [0.3, 0.5]}, *few)


def test_adaptive_rates_fall_for_each_model_by_itself(few, assert_same_search):
    model = softmax(
        learning_rate="adaptive", max_iter=12, tol=0.1, n_iter_no_change=1, solver="sgd"
    )
    grid = {"learning_rate_init": [1e-6, 1e-5, 0.01, 0.5]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_search(model, grid, *few, by_epoch=True)
    assert len({len(c) for c in search.cv_results_["split0_test_score_by_epoch"]}) > 1


@both_models
@pytest.mark.parametrize("loss", ["cross_entropy", "softmax_mse", "sigmoid_mse"])
def test_losses(make, loss, few, assert_same_search):
    assert_same_search(make(loss=loss, label_smoothing=0.1), RATES, *few)


@both_models
def test_accuracies_are_the_same_to_the_last_bit(make, few):
    X, y = few
    options = {"param_grid": RATES, "cv": 3, "scoring": "accuracy"}
    found = BatchedGridSearchCV(make(), **options).fit(X, y)
    expected = GridSearchCV(make(), **options).fit(X, y)
    for key in ("split0_test_score", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(found.cv_results_[key], expected.cv_results_[key])


@in_vain
@both_models
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("with_zeros", [False, True])
def test_sample_weight(make, solver, with_zeros, few, rng, assert_same_search):
    weight = rng.uniform(0.1, 3, size=len(few[0]))
    if with_zeros:
        weight[rng.random(len(weight)) < 0.2] = 0
    assert_same_search(
        make(solver=solver), RATES, *few, fit_params={"sample_weight": weight}
    )


@both_models
def test_early_stopping(make, few, assert_same_search):
    model = make(early_stopping=True, tol=1e-4, max_iter=25, n_iter_no_change=2)
    model.set_params(validation_fraction=0.2, solver="adam")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_search(
            model, {"learning_rate_init": [1e-5, 0.01, 0.3]}, *few, by_epoch=True
        )
    curves = search.cv_results_["mean_test_score_by_epoch"]
    assert len({len(curve) for curve in curves}) > 1  # they did stop by themselves


def test_early_stopping_with_weights_some_zero(few, rng, assert_same_search):
    weight = rng.integers(0, 3, size=len(few[0])).astype(float)
    model = softmax(early_stopping=True, validation_fraction=0.2, max_iter=4)
    assert_same_search(model, RATES, *few, fit_params={"sample_weight": weight})


def test_stopping_by_the_loss(few, assert_same_search):
    model = softmax(tol=0.05, n_iter_no_change=1, max_iter=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_search(
            model, {"learning_rate_init": [1e-4, 0.01, 0.2]}, *few, by_epoch=True
        )
    assert len({len(c) for c in search.cv_results_["split1_test_score_by_epoch"]}) > 1


@pytest.mark.parametrize("shuffle", [True, False])
def test_dropout(shuffle, few, assert_same_search):
    grid = {"dropout": [0.0, 0.2, 0.5], "random_state": [0, 7]}
    assert_same_search(mlp(shuffle=shuffle), grid, *few)


def test_all_kinds_of_batchable_parameters(few, assert_same_search):
    grid = [
        {
            "learning_rate_init": [0.1, 0.01],
            "momentum": [0.0, 0.9],
            "alpha": [0.0, 1.0],
        },
        {"solver": ["adamw"], "beta_1": [0.5, 0.9], "beta_2": [0.9, 0.99]},
        {"solver": ["adamw"], "epsilon": [1e-8, 1e-2], "weight_decay": [0.0, 1.0]},
    ]
    assert_same_search(mlp(solver="sgd"), grid, *few)


@both_models
def test_seeds(make, few, assert_same_search):
    grid = {"random_state": [0, 1, 2], **RATES}
    assert_same_search(make(weight_init="glorot"), grid, *few)


def test_seeds_with_unlike_numbers_of_candidates(few, assert_same_search):
    grid = [
        {"random_state": [0, 1], **RATES},
        {"random_state": [2], "learning_rate_init": [0.1]},
        {"random_state": [3], "learning_rate_init": [0.02]},
    ]
    assert_same_search(mlp(), grid, *few)


def test_seeds_with_early_stopping(few, assert_same_search):
    model = mlp(early_stopping=True, validation_fraction=0.2)
    assert_same_search(model, {"random_state": [0, 1], **RATES}, *few)


def test_random_states_that_are_generators(few, assert_same_search):
    states = [np.random.RandomState(3), np.random.RandomState(4)]
    assert_same_search(mlp(), {"random_state": states, **RATES}, *few)


@both_models
def test_a_diverging_neighbour_harms_nobody(make, few, assert_same_search):
    grid = {"learning_rate_init": [0.1, 1e200, 0.01]}
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        assert_same_search(make(solver="sgd"), grid, *few)
    ours, *theirs = (str(one.message) for one in caught)
    assert ours.endswith(" (3 fits)")
    assert theirs == [ours.removesuffix(" (3 fits)")] * 3  # each fold's


@pytest.mark.parametrize("scoring", [None, "accuracy"], ids=["batched", "one by one"])
def test_equal_warnings_are_given_once_with_their_number(scoring, few):
    model = softmax(tol=1e-9, scoring=scoring)
    search = BatchedGridSearchCV(model, RATES, cv=3, refit=False)
    with pytest.warns(ConvergenceWarning) as caught:
        search.fit(*few)
    assert search.batched_.all() == (scoring is None)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert text.startswith("Stochastic Optimizer: Maximum iterations (3) reached")
    assert text.endswith("does not warn. (9 fits)")

    with pytest.warns(ConvergenceWarning) as caught:
        GridSearchCV(model, RATES, cv=3, refit=False).fit(*few)
    assert [str(one.message) for one in caught] == [text.removesuffix(" (9 fits)")] * 9


def texts_of(search, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X, y)
    return Counter(str(one.message) for one in caught)


def hesitant(y_true, y_pred):
    warnings.warn("I do not know.", UserWarning, stacklevel=1)
    return accuracy_score(y_true, y_pred)


TOLD = {
    # Model, factor and dtype of X, whether y is one-hot, options; words and fits.
    "too few epochs": (softmax(tol=1e-9), None, False, {}, "Maximum iterations", 7),
    "one-hot y": (mlp(), None, True, {}, "one-hot form", 7),
    "uint8 in 16": (mlp(), (16, np.uint8), False, {}, "largest value is only 16", 7),
    "features": (mlp(), (1e4, float), False, {}, "root mean square", 7),
    "diverged": (
        softmax(solver="sgd", learning_rate_init=1e200), None, False, {}, "diverged", 7,
    ),
    "batches": (mlp(batch_size=999), None, False, {}, "Got batch_size=999", 7),
    "scorers": (
        mlp(), None, False, {"scoring": make_scorer(hesitant)}, "I do not know", 6,
    ),
    "scorers after epochs": (
        mlp(), None, False,
        {"scoring": make_scorer(hesitant), "return_epoch_scores": True},
        "I do not know", 6,
    ),
}  # fmt: skip


@pytest.mark.parametrize("given", TOLD.values(), ids=TOLD)
@pytest.mark.parametrize("alone", [False, True], ids=["batched", "one by one"])
def test_every_warning_of_a_search_is_given_once(given, alone, few):
    """With the number of fits: two candidates in three folds, and the refit."""
    model, scale, one_hot, options, words, number = given
    X, y = few
    if scale is not None:
        X = (X * scale[0]).astype(scale[1])
    if one_hot:
        y = np.eye(10, dtype=int)[y]
    model = clone(model).set_params(scoring="accuracy" if alone else None)
    grid = {"alpha": [0.0, 1e-9]}
    texts = texts_of(BatchedGridSearchCV(model, grid, cv=3, **options), X, y)
    told = [text for text in texts if words in text]
    assert len(told) == 1
    assert texts[told[0]] == 1
    assert f"({number} fits" in told[0]


def test_fits_of_both_kinds_warn_together(few):
    """A fold that lacks a class is not batched: its warning is that of the others."""
    X, y = few
    order = np.argsort(y, kind="stable")
    lacking = order[: np.searchsorted(y[order], 5)]
    splits = [(lacking, order[-50:]), (np.arange(0, 240, 2), np.arange(1, 240, 2))]
    search = BatchedGridSearchCV(softmax(tol=1e-9), RATES, cv=splits)
    ((text, number),) = texts_of(search, X, y).items()
    assert number == 1
    assert text.endswith("(7 fits)")
    assert not search.batched_.any()

    single = np.flatnonzero(y == 1)
    splits[0] = (single, order[-50:])
    texts = texts_of(
        BatchedGridSearchCV(softmax(batch_size="auto"), RATES, cv=splits), X, y
    )
    ((text, number),) = texts.items()
    assert number == 1
    assert text.startswith("y has one class only, 1, ")
    assert text.endswith("(3 fits)")


def test_losses_that_differ_are_told_once_for_a_rate(few):
    X, y = few
    rates = [0.1, 0.01, 0.001]
    model = mlp(max_iter=3, batch_size=200)
    search = BatchedGridSearchCV(model, {"learning_rate_init": rates}, cv=5)
    texts = texts_of(search.set_params(refit=False), X * 1e4, y)
    hopeless = [text for text in texts if "did not learn" in text]
    assert len(hopeless) == 3
    for rate, text in zip(rates, hopeless, strict=True):
        assert f"which is {rate:g}, " in text
        assert text.endswith(" (5 fits; this is the first)")


def test_warnings_come_out_where_a_search_fails(few):
    def refuse(results):
        raise ValueError("None of them.")

    search = BatchedGridSearchCV(softmax(tol=1e-9), RATES, cv=3, refit=refuse)
    with (
        pytest.warns(ConvergenceWarning, match=r"Maximum iterations.*\(9 fits\)"),
        pytest.raises(ValueError, match="None of them"),
    ):
        search.fit(*few)


class Unsure(Warning):
    """A warning that is not made of a text."""

    def __init__(self, n_samples, n_features):
        super().__init__(f"{n_samples} samples of {n_features} features")


def unsure(X):
    warnings.warn(Unsure(*X.shape), stacklevel=1)
    return X


def test_warnings_of_others_keep_their_place_and_kind(few):
    model = softmax(scoring="accuracy")
    steps = Pipeline([("unsure", FunctionTransformer(unsure)), ("model", model)])
    search = BatchedGridSearchCV(steps, {"model__alpha": [0.1, 1]}, cv=3, refit=False)
    with pytest.warns(UserWarning, match="64 features") as caught:
        search.fit(*few)
    assert [str(one.message) for one in caught] == [
        "160 samples of 64 features (6 fits)",
        "80 samples of 64 features (6 fits)",
    ]
    line = unsure.__code__.co_firstlineno + 1
    assert {(one.filename, one.lineno) for one in caught} == {(__file__, line)}


def test_a_warning_that_is_an_error_fails_the_search(few):
    search = BatchedGridSearchCV(softmax(tol=1e-9), RATES, cv=3, refit=False)
    with pytest.raises(ConvergenceWarning, match=r"Maximum iterations.*\(9 fits\)"):
        search.fit(*few)


def test_rates_and_no_rate_are_in_runs_of_their_own(few, assert_same_search):
    """Of ``solver="auto"``: steps for a rate, and L-BFGS without any."""
    model = SoftmaxRegression(max_iter=20, tol=1e-3, random_state=0)
    grid = {"alpha": ["auto", 0.01], "learning_rate_init": ["auto", 0.01, 0.1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = assert_same_search(model, grid, *few)
    scores = search.cv_results_["mean_test_score"]
    by_lbfgs = clone(model).set_params(solver="lbfgs", alpha=0.01)
    expected = cross_val_score(by_lbfgs, *few, cv=3, scoring="neg_log_loss")
    np.testing.assert_allclose(scores[3], expected.mean(), rtol=1e-8)
    assert len(np.unique(scores.round(4))) == 6


def by_setting(search):
    """Scores of the folds, and curves, by setting."""
    results = search.cv_results_
    columns = [key for key in results if key.startswith("split")]
    return {
        repr(sorted(setting.items())): np.concatenate(
            [np.atleast_1d(results[column][i]) for column in columns]
        )
        for i, setting in enumerate(results["params"])
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_neither_order_nor_company_matter(seed, few):
    X, y = few
    rates = [0.3, 0.1, 0.03, 0.01]
    grid = [
        {"learning_rate_init": [rate], "alpha": [alpha], "dropout": [dropout]}
        for rate in rates
        for alpha in (0.0, 1.0)
        for dropout in (0.0, 0.4)
    ]
    permuted = random.Random(seed).sample(grid, len(grid))
    longer = [{"learning_rate_init": [0.5]}, *permuted, {"momentum": [0.1]}]
    options = {"cv": 3, "scoring": "neg_log_loss", "refit": False}
    base, *others = (
        by_setting(BatchedGridSearchCV(mlp(solver="sgd"), some, **options).fit(X, y))
        for some in (grid, permuted, longer, permuted[:5])
    )
    for other in others:
        shared = base.keys() & other.keys()
        assert len(shared) >= 5
        for setting in shared:
            np.testing.assert_allclose(other[setting], base[setting], rtol=1e-8)


def test_structural_parameters_have_runs_of_their_own(few, assert_same_search):
    grid = {"hidden_layer_sizes": [4, (6, 5)], "batch_size": [40, 80], **RATES}
    assert_same_search(mlp(), grid, *few)


def test_solvers_losses_and_activations_may_be_mixed(few, assert_same_search):
    grid = [
        {"solver": ["sgd", "adam"], "loss": ["cross_entropy", "softmax_mse"]},
        {"solver": ["lbfgs"], "activation": ["tanh", "relu"], "alpha": [0.1, 1.0]},
        {"learning_rate": ["one_cycle"], "learning_rate_init": [0.1]},
    ]
    assert_same_search(mlp(), grid, *few)


def test_one_candidate_shares_its_run_across_folds(few, assert_same_search):
    search = assert_same_search(mlp(), {"hidden_layer_sizes": [3]}, *few)
    assert search.batched_.tolist() == [True]


@both_models
def test_max_iter_in_the_grid(make, few, assert_same_search):
    assert_same_search(make(), {"max_iter": [1, 4], **RATES}, *few)


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, BatchedRandomizedSearchCV])
def test_parameters_are_those_of_scikit_learn_and_three_more(Search):
    parent = next(S for S in Search.__mro__ if S.__module__.startswith("sklearn"))
    ours, theirs = (
        set(S(SoftmaxRegression(), {}).get_params(deep=False)) for S in (Search, parent)
    )
    assert ours - theirs == {"refit_epochs", "return_epoch_scores", "working_memory"}
    assert theirs <= ours


def test_clone_and_set_params():
    search = BatchedGridSearchCV(
        softmax(), RATES, cv=4, refit_epochs="best", working_memory=2.0
    )
    copy = clone(search).set_params(estimator__alpha=0.5, working_memory=3)
    assert search.estimator.alpha == "auto"
    assert copy.get_params()["estimator__alpha"] == 0.5
    assert (copy.cv, copy.refit_epochs, copy.working_memory) == (4, "best", 3)
    assert copy.param_grid == RATES


@pytest.mark.parametrize("Search", [BatchedGridSearchCV, BatchedRandomizedSearchCV])
@pytest.mark.parametrize(
    "wrong",
    [
        {"refit_epochs": "last"},
        {"working_memory": 0},
        {"working_memory": -1.0},
        {"working_memory": "much"},
        {"error_score": "ignore"},
        {"return_train_score": "some"},
        {"return_epoch_scores": "all"},
        {"return_epoch_scores": None},
    ],
)
def test_invalid_parameters(Search, wrong, few):
    with pytest.raises(
        InvalidParameterError, match=f"The '{next(iter(wrong))}' parameter"
    ):
        Search(softmax(), {"alpha": [0.1]}, **wrong).fit(*few)


def test_an_estimator_is_needed(few):
    with pytest.raises(InvalidParameterError, match="'estimator' parameter"):
        BatchedGridSearchCV(3, {"alpha": [0.1]}).fit(*few)


def test_predictions_are_known_of_before_a_fit():
    search = BatchedGridSearchCV(softmax(), RATES)
    assert hasattr(search, "predict")
    assert hasattr(search, "predict_proba")
    assert not hasattr(search, "transform")
    assert not hasattr(search, "classes_")


def test_a_search_is_a_classifier_that_predicts_by_its_best(few):
    X, y = few
    search = BatchedGridSearchCV(mlp(), RATES, cv=3).fit(X, y)
    best = search.best_estimator_
    assert search.n_features_in_ == 64
    assert search.refit_time_ >= 0
    np.testing.assert_array_equal(search.predict(X), best.predict(X))
    np.testing.assert_array_equal(
        search.decision_function(X), best.decision_function(X)
    )
    assert search.score(X, y) == best.score(X, y)
    assert {"n_iter_", "loss_curve_"} <= vars(best).keys()
    assert len(best.history_) == best.n_iter_


def test_nested_in_cross_validation(few):
    scores = [
        cross_val_score(Search(softmax(), RATES, cv=2), *few, cv=3)
        for Search in (BatchedGridSearchCV, GridSearchCV)
    ]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("verbose", [0, 1, 2, 3])
def test_verbose(verbose, few, capsys):
    BatchedGridSearchCV(softmax(), RATES, cv=3, verbose=verbose).fit(*few)
    printed = capsys.readouterr().out
    header = "Fitting 3 folds for each of 3 candidates, totalling 9 fits"
    assert (header in printed) == (verbose > 0)
    assert printed.count("END") == (9 if verbose > 1 else 0)
    assert printed.count("learning_rate_init=0.01") == (3 if verbose > 1 else 0)
    assert printed.count("[CV 2/3] END") == (3 if verbose > 2 else 0)
    assert printed.count("score=0.") == (9 if verbose > 2 else 0)


def test_verbose_lines_of_what_is_not_batched(few, capsys):
    class Own(SoftmaxRegression):
        pass

    model = Own(max_iter=2, tol=None, random_state=0)
    BatchedGridSearchCV(model, RATES, cv=3, verbose=3).fit(*few)
    assert capsys.readouterr().out.count("END") == 9


def test_global_state_is_left_alone(few):
    def state():
        numbers = np.random.get_state()[1]  # noqa: NPY002
        return numbers.tolist(), torch.get_rng_state().tolist(), torch.get_num_threads()

    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    before = state()
    BatchedGridSearchCV(mlp(dropout=0.3), {"random_state": [0, None]}, cv=3).fit(*few)
    assert state() == before


def test_what_is_passed_in_stays_as_it_was(few):
    X, y = few[0].copy(), few[1].copy()
    weight, model, grid = np.ones(len(X)), mlp(), {"random_state": [0, 1], **RATES}
    weight[:5] = 0
    kept = clone(model).get_params()
    BatchedGridSearchCV(model, grid, cv=3).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(X, few[0])
    np.testing.assert_array_equal(y, few[1])
    assert weight.sum() == len(X) - 5
    assert not model.__sklearn_is_fitted__()
    assert model.get_params() == kept
    assert grid == {"random_state": [0, 1], **RATES}


def test_rows_may_be_read_only(few, assert_same_search):
    X, y = few[0].copy(), few[1].copy()
    X.flags.writeable = y.flags.writeable = False
    assert_same_search(mlp(), RATES, X, y)


def test_fitting_twice_gives_the_same(few):
    search = BatchedGridSearchCV(mlp(dropout=0.2), RATES, cv=3, scoring="neg_log_loss")
    scores = [search.fit(*few).cv_results_["mean_test_score"] for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_a_smaller_search_leaves_nothing_of_a_larger_one(few):
    search = BatchedGridSearchCV(softmax(), RATES, cv=3).fit(*few)
    search.set_params(cv=2, param_grid={"alpha": [0.1]}).fit(*few)
    assert "split2_test_score" not in search.cv_results_
    assert len(search.batched_) == 1


def test_randomized_search(few, assert_same_results):
    X, y = few
    distributions = {"learning_rate_init": loguniform(1e-3, 1), "alpha": [0.0, 0.1]}
    options = {"n_iter": 7, "cv": 3, "scoring": "neg_log_loss", "random_state": 3}
    found = BatchedRandomizedSearchCV(mlp(), distributions, **options).fit(X, y)
    expected = RandomizedSearchCV(mlp(), distributions, **options).fit(X, y)
    assert_same_results(found, expected)
    assert found.batched_.all()
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))


def test_randomized_search_over_several_spaces(few, assert_same_results):
    spaces = [
        {"hidden_layer_sizes": [3, 5]},
        {"learning_rate_init": loguniform(1e-3, 1)},
    ]
    options = {"n_iter": 6, "cv": 3, "scoring": "neg_log_loss", "random_state": 0}
    found = BatchedRandomizedSearchCV(mlp(), spaces, **options).fit(*few)
    expected = RandomizedSearchCV(mlp(), spaces, **options).fit(*few)
    assert_same_results(found, expected)
    assert found.batched_.all()


def test_a_generator_that_draws_settings_and_folds(few, assert_same_results):
    """Settings come first, then folds, as in scikit-learn."""
    searches = []
    for Search in (BatchedRandomizedSearchCV, RandomizedSearchCV):
        rng = np.random.RandomState(0)
        searches.append(
            Search(
                softmax(),
                {"learning_rate_init": loguniform(1e-3, 1)},
                n_iter=3,
                random_state=rng,
                cv=KFold(3, shuffle=True, random_state=rng),
                scoring="neg_log_loss",
            ).fit(*few)
        )
    assert_same_results(*searches)


def test_a_distribution_has_to_be_one(few):
    with pytest.raises(TypeError, match="not iterable or a distribution"):
        BatchedRandomizedSearchCV(softmax(), {"alpha": 3}).fit(*few)


def test_rows_in_any_order(few, assert_same_search):
    cv = ShuffleSplit(3, train_size=100, test_size=50, random_state=0)
    assert_same_search(
        mlp(early_stopping=True, validation_fraction=0.3), RATES, *few, cv=cv
    )


def test_a_frame_of_results(few):
    search = BatchedGridSearchCV(softmax(), RATES, cv=3, return_epoch_scores=True)
    search.fit(*few)
    frame = pd.DataFrame(search.cv_results_)
    assert frame.shape[0] == 3
    assert frame["mean_test_score_by_epoch"].map(len).tolist() == [3, 3, 3]


@pytest.mark.gpu
@both_models
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_the_gpu_searches_as_the_cpu_does(make, solver, few, assert_same_results, cuda):
    """Folds, seeds, weights and early stopping on a GPU."""
    grid = {"alpha": [0.0, 0.1, 10.0], "random_state": [0, 1]}
    if solver != "lbfgs":
        grid |= RATES | {"early_stopping": [False, True]}
    weight = np.random.default_rng(0).uniform(0, 2, len(few[1])).round()
    found, expected = (
        BatchedGridSearchCV(
            make(solver=solver, device=device), grid, cv=3, scoring="neg_log_loss"
        ).fit(*few, sample_weight=weight)
        for device in ("cuda", "cpu")
    )
    assert found.batched_.all()
    assert found.best_estimator_.device_ == "cuda:0"
    assert_same_results(found, expected, rtol=1e-6)


SEARCHES_IN_THREADS = """
import threading
import warnings

import numpy as np

from skdigits import SoftmaxRegression
from skdigits.model_selection import BatchedGridSearchCV

X = np.random.default_rng(0).standard_normal((90, 4))
y = np.arange(90) % 3
model = SoftmaxRegression(solver="sgd", max_iter=5, tol=1e-9, random_state=0)
search = BatchedGridSearchCV(model, {"learning_rate_init": [0.01, 0.1]}, cv=3)


def fit_many():
    for _ in range(6):
        search.__sklearn_clone__().fit(X, y)


before = warnings.showwarning, warnings._showwarnmsg_impl
threads = [threading.Thread(target=fit_many) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
after = warnings.showwarning, warnings._showwarnmsg_impl
print("restored:", before == after)
warnings.warn("Does anybody see this?")
"""


def test_searches_in_threads_leave_warnings_alone():
    """In a process of its own, which has no filters of pytest's."""
    command = [sys.executable, "-W", "always", "-c", SEARCHES_IN_THREADS]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["restored:", "True"]
    assert "UserWarning: Does anybody see this?" in ended.stderr
    assert "Maximum iterations (5) reached" in ended.stderr


def test_a_search_in_a_thread_warns_in_the_users_context(few):
    search = BatchedGridSearchCV(softmax(tol=1e-9), RATES, cv=3, refit=False)
    search.set_params(scoring=make_scorer(hesitant))
    with pytest.warns() as caught, ThreadPoolExecutor(1) as pool:
        pool.submit(search.fit, *few).result()
    texts = Counter(str(one.message) for one in caught)
    assert texts.pop("I do not know.") == 9  # each as it comes
    ((text, number),) = texts.items()
    assert text.endswith("(9 fits)")
    assert number == 1


class Refuses:
    """A metric that warns in every call, and raises an error in one of them."""

    def __init__(self, error, call):
        self.error = error
        self.call = call
        self.n_calls = 0

    def __call__(self, y_true, y_pred):
        self.n_calls += 1
        warnings.warn(f"Call {self.n_calls}.", UserWarning, stacklevel=1)
        if self.n_calls >= self.call:
            raise self.error
        return accuracy_score(y_true, y_pred)


@pytest.mark.parametrize(
    "error", [ValueError("No more."), KeyboardInterrupt("No more.")]
)
@pytest.mark.parametrize("alone", [False, True], ids=["batched", "one by one"])
@pytest.mark.parametrize("call", [1, 4])
def test_an_evaluation_that_fails_gives_its_warnings(error, alone, call, few):
    metric = Refuses(error, call)
    model = softmax(scoring="accuracy" if alone else None)
    options = {"scoring": make_scorer(metric), "error_score": "raise"}
    search = BatchedGridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=3, **options)
    with (
        pytest.warns(UserWarning, match=r"Call \d") as caught,
        pytest.raises(type(error), match="No more"),
    ):
        search.fit(*few)
    texts = [str(one.message) for one in caught]
    calls = [text for text in texts if text.startswith("Call")]
    assert calls == [f"Call {number + 1}." for number in range(metric.n_calls)]
    assert metric.n_calls >= call


def test_a_search_is_whole_where_its_warnings_are_errors(few, tmp_path):
    """Scorers are set, and the file of its Checkpoint has the fitted search."""
    scoring = ["accuracy", "neg_log_loss"]
    search = BatchedGridSearchCV(
        softmax(tol=1e-9), RATES, cv=3, refit=False, scoring=scoring
    )
    search.set_callbacks(Checkpoint(tmp_path / "search"))
    with pytest.raises(ConvergenceWarning, match=r"Maximum iterations.*\(9 fits\)"):
        search.fit(*few)
    assert search.scorer_.keys() == set(scoring)
    saved = load_checkpoint(tmp_path / "search")
    found = saved.cv_results_["mean_test_accuracy"]
    np.testing.assert_array_equal(found, search.cv_results_["mean_test_accuracy"])


def test_an_error_stays_itself_where_warnings_are_errors(few):
    def refuse(results):
        raise ValueError("None of them.")

    search = BatchedGridSearchCV(softmax(tol=1e-9), RATES, cv=3, refit=refuse)
    with pytest.raises(ValueError, match="None of them"):
        search.fit(*few)
